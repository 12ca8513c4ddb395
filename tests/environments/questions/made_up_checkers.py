"""Checkers that do what checkers should not."""

import time


def contains_yes(text: str) -> float:
  return float('yes' in text)


def half(text: str) -> float:
  return 0.5 * ('half' in text) + ('whole' in text)


def misbehave(text: str):
  """Fails in the way that the text names."""
  if text == 'raise':
    raise KeyError('\ud800 inside')
  if text == 'recurse':
    return misbehave(text)
  if text == 'spin':
    while True:
      try:
        time.sleep(0.01)
      except Exception:
        continue
  if text == 'swallow':
    deadline = time.monotonic() + 0.4
    while time.monotonic() < deadline:
      try:
        time.sleep(1)
      except BaseException:
        continue
    return 1.0
  return {
    'nan': float('nan'),
    'infinite': float('inf'),
    'nothing': None,
    'word': 'good',
    'large': 7.0,
    'negative': -3,
    'true': True,
  }[text]
