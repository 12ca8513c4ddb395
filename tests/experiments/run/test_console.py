"""What a run shows: shares, lines, bars."""

import io

import pytest
from rich import console as rich_console

from experiments.run import console

METRICS = {
  'success_rate': 0.25,
  'mean_return': 2.5,
  'episode_length': 12.5,
  'invalid_share': 0.125,
  'singleton_share': 0.5,
  'seconds_total': 4.0,
  'seconds_rollout': 2.5,
  'seconds_credit': 0.0123,
  'seconds_update': 1.5,
}


@pytest.mark.parametrize(
  ('value', 'words'),
  [(0.125, '12.5 %'), (1, '100.0 %'), (None, '-'), (float('nan'), '-')],
)
def test_percent(value, words):
  assert console.percent(value) == words


def test_an_iteration_in_one_line():
  line = console.iteration_line(7, 40, METRICS)
  assert ' '.join(line.split()) == (
    'iteration 7/40 success 25.0 % return 2.50 steps 12.5 invalid 12.5 % '
    'singletons 50.0 % 4.0 s (rollout 2.5, credit 0.0123, update 1.5)'
  )
  of_tokens = {**METRICS, 'branch_share': 0.25}
  del of_tokens['singleton_share']
  words = ' '.join(console.iteration_line(7, 40, of_tokens).split())
  assert 'invalid 12.5 % branch tokens 25.0 % 4.0 s' in words
  # Where all episodes were lost there is nothing to take the mean of.
  lost = {**METRICS, 'success_rate': float('nan')}
  words = ' '.join(console.iteration_line(7, 40, lost).split())
  assert 'success - return' in words


def written(terminal: bool, monkeypatch, done=2) -> str:
  file = io.StringIO()
  monkeypatch.setattr(
    console,
    'console',
    rich_console.Console(file=file, force_terminal=terminal, width=100),
  )
  with console.bar('episodes', 5, done) as advance:
    advance()
    advance(1, 'loss 0.5')
  return file.getvalue()


def test_a_bar_counts_on_a_terminal(monkeypatch):
  words = written(True, monkeypatch)
  assert 'episodes' in words and '4/5' in words and 'loss 0.5' in words
  assert '2/5' in written(True, monkeypatch, done=0)


def test_a_bar_leaves_a_file_alone(monkeypatch):
  assert written(False, monkeypatch) == ''
