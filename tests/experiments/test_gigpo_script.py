"""The experiment script: its flags, and what it tells a user who errs."""

import json
import pathlib
import re

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.run import script as run_script
from jaxcredit.environments import household
from jaxcredit.rollouts import formats
from tests.experiments import imported_script, script

QWEN = 'gigpo/alfworld_qwen2_5_1_5b.cfg'


@pytest.fixture(scope='module')
def gigpo():
  with imported_script.imported('experiments.gigpo') as module:
    yield module


@pytest.fixture
def errors(gigpo, capsys):
  """Runs the script in this process; returns its words, which are an error."""

  def run(**values):
    # An error that is not noticed ends here, not after a whole run.
    few = {'warm_start_games': '1', 'compilation_cache': ''}
    with flagsaver.as_parsed(**few, **values):
      assert gigpo.main(['gigpo']) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith('error: ')
    return captured.err

  return run


def build(gigpo):
  """The parts of a run, as the flags say."""
  return gigpo.script.build()


def test_the_compilation_cache(gigpo, tmp_path):
  options = (
    'jax_compilation_cache_dir',
    'jax_persistent_cache_min_compile_time_secs',
  )
  before = {name: getattr(jax.config, name) for name in options}
  try:
    with flagsaver.as_parsed(compilation_cache=''):
      run_script.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before[options[0]]
    with flagsaver.as_parsed(compilation_cache=str(tmp_path)):
      run_script.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)
  finally:
    for name, value in before.items():
      jax.config.update(name, value)


def test_a_home_folder_is_found(gigpo):
  with flagsaver.as_parsed(run='~/r', start_from='~/s'):
    assert run_script.folder(gigpo.__name__) == pathlib.Path.home() / 'r'
    assert build(gigpo).settings.start_from == f'{pathlib.Path.home()}/s'


def test_the_published_settings(gigpo):
  # arXiv 2505.10978, App. E.1, and the script released with it.
  path = script.REPOSITORY / 'experiments/flagfiles' / QWEN
  with flagsaver.flagsaver():
    flags.FLAGS(['gigpo', f'--flagfile={path}'])
    built = build(gigpo)
  settings, domain = built.settings, built.domain._options
  assert isinstance(settings.format.text_format(), formats.ThinkAction)
  assert settings.format.history_length == 2
  assert (domain.wording, domain.anchor) == ('2.1.1', 'observation')
  assert built.method.name == 'gigpo'
  assert vars(built.method_options) == {
    'discount': 0.95, 'step_weight': 1.0, 'episode_weight': 1.0, 'scale': 'std',
    'episode_statistics': 'steps', 'ddof': 1,
  }  # fmt: skip
  published = {
    'groups': 16, 'group_size': 8, 'max_steps': 50, 'temperature': 1.0,
    'minibatch_rows': 256, 'epochs': 1, 'reward_scale': 10.0,
    'invalid_penalty': 0.1, 'penalise': 'format', 'filter_groups': False,
  }  # fmt: skip
  assert vars(settings.loop).items() >= published.items()
  published = {
    'clip': 0.2, 'clip_high': None, 'dual_clip': 3.0, 'ratio': 'token',
    'aggregation': 'token-mean', 'kl_coefficient': 0.01, 'kl_estimator': 'k3',
    'entropy_coefficient': 0.001, 'temperature': 1.0,
  }  # fmt: skip
  assert vars(settings.loss).items() >= published.items()
  # A prompt of 2048 tokens and an answer of 512.
  limits = settings.limits
  assert (limits.row_tokens, limits.new_tokens) == (2048 + 512, 512)
  assert limits.steps == 50
  learner = settings.learner
  assert (learner.learning_rate, learner.weight_decay) == (1e-6, 0.01)
  assert learner.clip_norm == 1
  assert settings.evaluation_temperature == 0.4
  assert (settings.run.iterations, settings.warm_start.steps) == (150, 0)


@pytest.mark.parametrize(
  ('values', 'words'),
  [
    ({'group_size': '1'}, '--group_size=1: 1 is not an integer in the range'),
    ({'discount': '1.1'}, r'not a number in the range \[0.0, 1.0\]'),
    ({'groups': '0'}, '--groups=0: 0 is not a positive integer'),
    ({'method': 'gigp'}, 'should be one of <gigpo|grpo|'),
  ],
  ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_values_that_no_flag_takes(gigpo, values, words):
  arguments = [f'--{name}={value}' for name, value in values.items()]
  with flagsaver.flagsaver(), pytest.raises(flags.Error) as error:
    flags.FLAGS(['gigpo', *arguments])
  assert re.search(words, str(error.value)) or (
    'group_size' in values and 'group_size=1' in str(error.value)
  )


@pytest.mark.parametrize(
  ('values', 'words'),
  [
    ({'kv_heads': '3'}, '--kv_heads must divide --heads'),
    ({'head_dim': '15'}, '--head_dim must be even'),
    ({'dual_clip': '0.5'}, 'dual_clip must be 0'),
    ({'start_from': 'a', 'pretrained': 'b'}, 'without --pretrained'),
    ({'kl_reward_target': '1', 'method': 'ppo'}, 'adapts kl_reward'),
    ({'anchor': 'state', 'domain': 'shop'}, 'not an option of --domain=shop'),
    ({'method': 'vineppo'}, '--method=vineppo cannot be trained here: it need'),
    ({'method': 'tempo', 'format': 'think_action'}, 'an episode as one text'),
  ],
  ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_values_that_do_not_go_together(errors, tmp_path, values, words):
  assert words in errors(run=str(tmp_path / 'run'), **values)
  assert not list(tmp_path.glob('run/*'))


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_numbers_are_finite(errors, tmp_path, value):
  words = errors(run=str(tmp_path / 'run'), weight_decay=value)
  assert words == f'error: --weight_decay={value}: must be a finite number\n'
  assert not (tmp_path / 'run').exists()


def test_unknown_arguments(gigpo, capsys):
  assert gigpo.main(['gigpo', 'seed=1']) == 1
  assert 'unknown arguments: seed=1' in capsys.readouterr().err


def game_line(**changes) -> str:
  game = household.generate_game(0)
  entry = {
    'task_type': game.task_type,
    'task_desc': game.task_description,
    'problem': game.problem,
  }
  return json.dumps({**entry, **changes}) + '\n'


@pytest.mark.parametrize('flag', ['games', 'evaluate_on'])
@pytest.mark.parametrize(
  ('text', 'words'),
  [
    (game_line() + '{"task_type": \n', ':2: not JSON'),
    (game_line() * 2 + game_line(problem=3), ":3: the game has no text 'prob"),
    (game_line() + game_line(task_type='dance'), ":2: unknown task type 'dan"),
    (game_line(problem='(define'), ':1 (line 1), problem:1: the text ends'),
    ('', ' holds no games: it is empty'),
  ],
  ids=['json', 'field', 'type', 'problem', 'empty'],
)
def test_malformed_games(errors, tmp_path, flag, text, words):
  path = tmp_path / 'games.jsonl'
  path.write_text(text, encoding='utf-8')
  given = {flag: str(path), 'generated_games': '1', 'evaluation_count': '1'}
  if flag == 'games':
    given['generated_games'] = '0'
  else:
    given['evaluation_count'] = '0'
  error = errors(run=str(tmp_path / 'run'), **given)
  assert f'{path}{words}' in error
  # The mended file, or another one, may be given to the same run.
  assert not list(tmp_path.glob('run/*'))


@pytest.mark.parametrize(
  ('flag', 'words'),
  [
    ('start_from', 'holds no run (config.json is missing)'),
    ('pretrained', 'does not exist: give the folder of a model'),
  ],
)
def test_folders_that_are_not_there(errors, tmp_path, flag, words):
  missing = tmp_path / 'missing'
  error = errors(
    run=str(tmp_path / 'run'),
    generated_games='1',
    evaluation_count='1',
    groups='1',
    **{flag: str(missing)},
  )
  assert f'{missing} {words}' in error
  assert not missing.exists()
  assert not list(tmp_path.glob('run/*'))


def test_a_warm_start_that_is_not_complete(errors, tmp_path):
  source = tmp_path / 'source'
  (source / 'checkpoints' / 'warm_start' / '75').mkdir(parents=True)
  config = {
    'warm_start_steps': 300, 'pretrained': None, 'width': 16, 'layers': 1,
    'heads': 2, 'kv_heads': 1, 'head_dim': 8, 'hidden': 24,
  }  # fmt: skip
  (source / 'config.json').write_text(json.dumps(config))
  values = {'generated_games': '1', 'evaluation_count': '1', 'groups': '1'}
  error = errors(run=str(tmp_path / 'run'), start_from=str(source), **values)
  assert f'{source} holds no complete warm start' in error
  assert 'warm_start/300 is missing' in error


def test_a_run_with_other_flags_is_left_alone(errors, tmp_path, gigpo):
  run = tmp_path / 'run'
  run.mkdir()
  with flagsaver.as_parsed(run=str(run), warm_start_games='1'):
    config = run_script.config(gigpo.__name__)
    config |= {'seed': 3, 'clip': 0.3, 'groups': 2}
  (run / 'config.json').write_text(json.dumps(config))
  error = errors(run=str(run), tensorboard='false', groups='2', games='/gone')
  assert f'{run} holds a run with other flags' in error
  named = re.findall(r'^  --(\w+): (.*) then, (.*) now$', error, re.MULTILINE)
  assert sorted(named) == [
    ('clip', '0.3', '0.2'),
    ('games', 'None', "'/gone'"),
    ('seed', '3', '0'),
  ]
  assert json.loads((run / 'config.json').read_text()) == config


def test_places_where_no_run_can_be(errors, tmp_path):
  file = tmp_path / 'file'
  file.write_text('mine')
  assert f'{file} is no folder: choose another --run' in errors(run=str(file))
  below = file / 'run'
  assert f'{below} cannot be made or written to' in errors(run=str(below))
  assert 'is not empty, but holds no run' in errors(run=str(tmp_path))
  assert file.read_text() == 'mine'


@pytest.mark.system
def test_as_a_user_help_lists_the_flags(gigpo):
  done = script.run('--helpfull')
  assert done.stderr == ''
  assert 'Trains a language model on text environments' in done.stdout
  # Long lines are broken, at hyphens too.
  words = re.sub(r'\s', '', done.stdout)
  for flag in imported_script.own_flags(gigpo):
    name = f'[no]{flag.name}' if flag.boolean else flag.name
    assert re.sub(r'\s', '', f'--{name}: {flag.help}') in words


@pytest.mark.system
@pytest.mark.parametrize(
  ('argument', 'words'),
  [
    ('--seeed=1', "Unknown command line flag 'seeed'. Did you mean: seed ?"),
    ('--group_size=1', 'flag --group_size=1'),
    (
      '--games=nowhere.jsonl',
      'error: no games at nowhere.jsonl: give a folder',
    ),
  ],
)
def test_as_a_user_errors_are_short(tmp_path, argument, words):
  done = script.run(f'--run={tmp_path / "run"}', argument)
  assert done.returncode == 1
  assert words in done.stderr
  assert 'Traceback' not in done.stderr
  assert len(done.stderr.splitlines()) <= 3
