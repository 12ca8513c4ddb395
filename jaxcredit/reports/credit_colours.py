"""Colours of credit and of values, for pages on light and dark ground.

Credit diverges from the ground to blue (gain) and orange (loss), which people
with any of the usual colour deficiencies tell apart; values run from the ground
to green. All are pale enough for text to be read on them.
"""

STEPS = 10

# Ground, text, loss, gain and high value of each theme; then what a page is
# made of beside them, and the colours of curves. Those are told apart by their
# dashes as well.
THEMES = {
  'light': {
    'ground': '#ffffff',
    'text': '#1c1e21',
    'page': '#f5f6f8',
    'faint': '#5d646b',
    'line': '#d9dee4',
    'strong': '#8b939c',
    'focus': '#1f62ab',
    'won': '#0b5cad',
    'lost': '#a84300',
    'curves': (
      '#0067a8',
      '#b84b00',
      '#00775a',
      '#8e3f86',
      '#5d646b',
      '#7a5c00',
    ),  # fmt: skip
    'loss': '#f2953d',
    'gain': '#63a9ee',
    'value': '#5fb592',
  },
  'dark': {
    'ground': '#16191d',
    'text': '#e9ecef',
    'page': '#0e1013',
    'faint': '#a0a8b0',
    'line': '#30363d',
    'strong': '#6d757e',
    'focus': '#7db7f0',
    'won': '#7db7f0',
    'lost': '#f2a65a',
    'curves': (
      '#5db1f0',
      '#f2953d',
      '#4cc3a0',
      '#dd9fd6',
      '#a0a8b0',
      '#d9b840',
    ),  # fmt: skip
    'loss': '#9c560f',
    'gain': '#1f62ab',
    'value': '#1f6f55',
  },
}


def mix(start: str, end: str, share: float) -> str:
  """The colour that lies at a share of the way between two, as '#rrggbb'."""
  pairs = [
    (int(start[i : i + 2], 16), int(end[i : i + 2], 16)) for i in (1, 3, 5)
  ]
  return '#' + ''.join(f'{round(a + share * (b - a)):02x}' for a, b in pairs)


def credit_scale(theme: str) -> list[str]:
  """2 STEPS + 1 colours, from the largest loss to the largest gain."""
  colours = THEMES[theme]
  return [
    mix(
      colours['ground'],
      colours['loss' if step < 0 else 'gain'],
      abs(step) / STEPS,
    )
    for step in range(-STEPS, STEPS + 1)
  ]


def value_scale(theme: str) -> list[str]:
  """STEPS + 1 colours, from the lowest value to the highest."""
  colours = THEMES[theme]
  # The lowest is to be seen as a shape, too.
  return [
    mix(colours['ground'], colours['value'], 0.1 + 0.9 * step / STEPS)
    for step in range(STEPS + 1)
  ]


def credit_index(credit: float, largest: float) -> int:
  """Which colour of `credit_scale`; what is not 0 has a colour."""
  if not credit or not largest:
    return STEPS
  step = min(STEPS, max(1, round(STEPS * abs(credit) / largest)))
  return STEPS + step if credit > 0 else STEPS - step


def value_index(value: float, lowest: float, highest: float) -> int:
  """Which colour of `value_scale`; the middle where all values are alike."""
  if highest <= lowest:
    return STEPS // 2
  share = (value - lowest) / (highest - lowest)
  return min(STEPS, max(0, round(STEPS * share)))
