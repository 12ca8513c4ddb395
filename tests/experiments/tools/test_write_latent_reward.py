"""The command writes a function that was verified, or says why not."""

import json

import numpy as np
import pytest
from absl.testing import flagsaver

from jaxcredit.latent_rewards import (
  examples,
  local_model,
  recorded_answers,
  stored,
  tasks,
  verification,
)
from tests.experiments import imported_script, script
from tests.latent_rewards import scripted_model

MODULE = 'experiments.tools.write_latent_reward'


@pytest.fixture(scope='module')
def command():
  with imported_script.imported(MODULE) as module:
    yield module


@pytest.fixture
def call(command, tmp_path):
  """Calls the script with flags; returns the status."""

  def called(**flags):
    flags = {'task': 'reacher', 'output': str(tmp_path / 'r.json'), **flags}
    with flagsaver.flagsaver(**flags):
      return command.main([MODULE])

  return called


@pytest.mark.system
def test_as_a_user_runs_it(tmp_path):
  output = tmp_path / 'reward.json'
  result = script.run(
    '--task=half_cheetah', f'--output={output}', '--quality=partial',
    '--date=2024-01-01', module=MODULE,
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  record = json.loads(output.read_text())
  source = examples.source('half_cheetah', 'partial')
  assert record['source'] == source
  assert source in result.stdout
  assert record['sha256'] in result.stdout
  assert 'accepted on 256 transitions' in result.stdout
  assert record['provenance']['date'] == '2024-01-01'
  assert len(record['provenance']['proposals']) == 5


@pytest.mark.system
def test_help():
  result = script.run('--help', module=MODULE)
  assert 'Has a language model write' in result.stdout


def test_what_it_writes_is_loaded(call, tmp_path):
  assert call(candidates=2) == 0
  task = tasks.named('reacher')
  reward = stored.load(
    tmp_path / 'r.json', task, task.random_transitions(4, 32)
  )
  assert reward.program.source == examples.source('reacher')
  assert reward.provenance['candidates'] == 2


def test_an_output_that_exists(call, tmp_path, capsys):
  (tmp_path / 'r.json').touch()
  assert call() == 1
  assert 'choose another --output' in capsys.readouterr().err


def test_a_larger_team(call, tmp_path, capsys):
  assert call(task='predator_prey', agents=6) == 0
  task = tasks.named('predator_prey', 6)
  recorded = task.random_transitions(4, 99)
  reward = stored.load(tmp_path / 'r.json', task, recorded)
  assert reward.program.source == examples.source('predator_prey', 'good', 6)
  assert call(agents=3, output=str(tmp_path / 'x')) == 1
  assert 'reacher comes in one size' in capsys.readouterr().err


def test_recorded_transitions(call, tmp_path, capsys):
  path = tmp_path / 'recorded.npz'
  generator = np.random.default_rng(0)
  np.savez(
    path,
    observation=generator.normal(size=(50, 10)),
    action=generator.normal(size=(50, 2)),
  )
  assert call(transitions=str(path)) == 0
  assert 'accepted on 50 transitions' in capsys.readouterr().out
  call(transitions=str(path), task='walker2d', output=str(tmp_path / 'x'))
  assert 'not [N, 17]' in capsys.readouterr().err
  # On steps that are all alike every factor is constant.
  np.savez(path, observation=np.ones((50, 10)), action=np.ones((50, 2)))
  assert call(transitions=str(path), output=str(tmp_path / 'y')) == 1
  error = capsys.readouterr().err
  assert 'says nothing' in error and 'example (good) wrote no func' in error


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    ({'model': 'endpoint'}, '--model=endpoint needs --url'),
    ({'model': 'endpoint', 'url': 'http://localhost:1/v1'}, '--model_name'),
    ({'model': 'local'}, '--model=local needs --pretrained'),
    ({'model': 'local', 'pretrained': 'none.gguf'}, 'does not exist'),
    ({'answers': 'no_such_folder'}, 'no recorded answers'),
    ({'transitions': 'none.npz'}, 'none.npz'),
  ],
)
def test_flags_that_do_not_fit(call, capsys, flags, words):
  assert call(**flags) == 1
  assert words in capsys.readouterr().err


def test_arguments_without_dashes(command, capsys):
  assert command.main([MODULE, 'reacher']) == 1
  assert 'flags start with --' in capsys.readouterr().err


def test_recording_and_repeating(call, command, tmp_path, monkeypatch):
  model = scripted_model.ScriptedModel('no', examples.source('reacher'))
  with monkeypatch.context() as patch:
    patch.setattr(command.examples, 'ExampleModel', lambda *flags: model)
    assert call(candidates=1, record=str(tmp_path / 'answers'), seed=3) == 0
  assert sorted(p.name for p in (tmp_path / 'answers').iterdir()) == [
    '000.json', '001.json',
  ]  # fmt: skip
  again = {
    'answers': str(tmp_path / 'answers'), 'candidates': 1, 'seed': 3,
    'output': str(tmp_path / 'again.json'),
  }  # fmt: skip
  assert call(**again) == 0
  first, second = (
    json.loads((tmp_path / name).read_text())
    for name in ('r.json', 'again.json')
  )
  assert first['source'] == second['source']
  assert len(second['provenance']['failures']) == 1
  assert second['provenance']['model'] == 'recorded: scripted'


def test_every_flag_arrives(call, command, monkeypatch, tmp_path):
  asked, made = {}, {}

  def write(task, model, recorded, **options):
    asked.update(options, model=model)
    raise ValueError('enough')

  def make(url, name, **options):
    made.update(options, url=url, name=name)

  monkeypatch.setattr(command.writing, 'write', write)
  monkeypatch.setattr(command.endpoint, 'Endpoint', make)
  assert 1 == call(
    model='endpoint', url='https://h', model_name='m', key_variable='K',
    timeout=3.0, max_tokens=9, candidates=4, temperature=0.9, rounds=2,
    later_temperature=0.2, seed=8, date='d',
  )  # fmt: skip
  assert made == {
    'url': 'https://h', 'name': 'm', 'key_variable': 'K', 'timeout': 3.0,
    'max_tokens': 9,
  }  # fmt: skip
  del asked['model']
  assert asked == {
    'candidates': 4, 'temperature': 0.9, 'later_temperature': 0.2, 'rounds': 2,
    'seed': 8, 'date': 'd',
  }  # fmt: skip


def test_a_local_model_that_cannot_write(call, tmp_path, monkeypatch, capsys):
  made = {}

  def load(path, **options):
    made.update(options, path=path)
    return scripted_model.ScriptedModel('hm')

  monkeypatch.setattr(local_model, 'load', load)
  said = tmp_path / 'said'
  status = call(
    model='local', pretrained='folder', max_tokens=5, candidates=1, rounds=0,
    record=str(said),
  )  # fmt: skip
  assert status == 1
  assert made == {'path': 'folder', 'new_tokens': 5}
  assert 'wrote no function that was accepted' in capsys.readouterr().err
  assert not (tmp_path / 'r.json').exists()
  assert recorded_answers.RecordedAnswers(said).name == 'recorded: scripted'


@pytest.fixture(scope='module', autouse=True)
def end_of_the_child():
  yield
  verification._close()
  verification._shared.clear()
