"""What comparisons share: their command and spreads over seeds."""

from experiments.benchmarks.comparisons import comparison


def test_spread():
  assert comparison.spread([None]) == '-'
  assert comparison.spread([1.0]) == '1.0'
  assert comparison.spread([1.0, 2.0, None]) == '1.5 ± 0.7'
  assert comparison.spread([0.25, 0.25], 3) == '0.250 ± 0.000'


def test_the_command(tmp_path, capsys):
  folder = tmp_path / 'a' / 'b'
  assert comparison.command(['x'], folder, lambda path: f'in {path.name}') == 0
  assert (folder / 'comparison.md').read_text() == 'in b'
  assert capsys.readouterr().out == 'in b\n'
  assert comparison.command(['x', 'seed=1'], folder, str) == 1
  assert 'unknown arguments: seed=1' in capsys.readouterr().err

  def fails(path):
    raise ChildProcessError('a run ended with status 1')

  assert comparison.command(['x'], folder, fails) == 1
  assert 'error: a run ended with status 1' in capsys.readouterr().err
  # The table of an earlier call is not lost.
  assert (folder / 'comparison.md').read_text() == 'in b'
  (tmp_path / 'file').touch()
  assert comparison.command(['x'], tmp_path / 'file', str) == 1
  assert 'file' in capsys.readouterr().err
