"""The one main: statuses, folders and errors, without any training."""

import json
import signal

import pytest
from absl.testing import flagsaver

from tests.experiments import imported_script

MODULE = 'experiments.run.script'


@pytest.fixture(scope='module')
def script():
  with imported_script.imported(MODULE) as module:
    yield module


@pytest.fixture
def call(script, tmp_path):
  """Runs a script that does what it is given; returns the status."""

  def called(
    execute=None, build=lambda: 7, report=lambda folder: None, **given
  ):
    def works(parts, stop, folder):
      (folder / 'result').write_text(str(parts))
      return True

    given = {'run': str(tmp_path / 'run'), 'compilation_cache': '', **given}
    with flagsaver.as_parsed(**given):
      return script.run(
        ['script'],
        module=MODULE,
        build=build,
        execute=execute or works,
        report=report,
      )

  return called


def test_a_complete_run(call, tmp_path, capsys):
  seen = []
  assert call(report=lambda folder: seen.append(folder)) == 0
  folder = tmp_path / 'run'
  assert seen == [folder]
  assert sorted(p.name for p in folder.iterdir()) == ['config.json', 'result']
  config = json.loads((folder / 'config.json').read_text())
  assert config['script'] == 'script' and config['run'] == str(folder)
  assert config['heartbeat'] == 30
  assert call() == 0
  assert f'{folder} holds this run: going on' in capsys.readouterr().out


@pytest.mark.parametrize(
  'kind', [ValueError, OSError, FloatingPointError, ModuleNotFoundError]
)
@pytest.mark.parametrize('where', ['build', 'execute'])
def test_an_error_is_one_line_and_claims_no_folder(
  call, tmp_path, capsys, kind, where
):
  def fails(*unused):
    raise kind('that will not do')

  assert call(**{where: fails}) == 1
  assert capsys.readouterr().err == 'error: that will not do\n'
  assert not (tmp_path / 'run' / 'config.json').exists()


def test_an_error_of_the_program_is_not_hidden(call):
  def fails(*unused):
    raise TypeError('a mistake')

  with pytest.raises(TypeError, match='a mistake'):
    call(fails)


@pytest.mark.parametrize(
  ('number', 'status', 'reports'),
  [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 0)],
)
def test_a_run_that_is_stopped(call, tmp_path, capsys, number, status, reports):
  def execute(parts, stop, folder):
    (folder / 'result').write_text('half')
    signal.raise_signal(number)
    return not stop.requested

  seen = []
  assert call(execute, report=lambda folder: seen.append(folder)) == status
  assert len(seen) == reports
  words = capsys.readouterr().out
  assert f'stopped; the same command goes on from {tmp_path / "run"}' in words


def test_a_second_signal(call, capsys):
  def execute(parts, stop, folder):
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)

  assert call(execute) == 143
  assert 'stopped at once' in capsys.readouterr().err


def test_a_signal_while_parts_are_built(call, tmp_path):
  def build():
    signal.raise_signal(signal.SIGTERM)
    pytest.fail('it went on')

  assert call(build=build) == 143
  assert not (tmp_path / 'run').exists()


def test_unknown_arguments(script, capsys):
  unused = {'build': None, 'execute': None}
  assert script.run(['x', 'seed=1'], module=MODULE, **unused) == 1
  assert 'unknown arguments: seed=1' in capsys.readouterr().err


def test_numbers_must_be_finite(script):
  script.check_finite({'a': 1.0, 'b': [1.0, 2.0], 'c': 'nan'})
  with pytest.raises(ValueError, match='--a=nan: must be a finite number'):
    script.check_finite({'a': float('nan')})
  with pytest.raises(ValueError, match='--b=inf'):
    script.check_finite({'b': [1.0, float('inf')]})


def test_the_folder_by_default(script):
  with flagsaver.flagsaver(run=None):
    assert str(script.folder('experiments.lare')) == 'runs/lare'
