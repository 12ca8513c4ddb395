"""The experiment script: its flags, and what it tells a user who errs."""

import dataclasses
import json
import pathlib
import re
import types

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.run import script as run_script
from jaxcredit.environments import household
from tests.experiments import imported_script, script

# Those of the bandits belong to another script, and to its tests.
FLAGFILES = [
  path
  for path in sorted(
    (script.REPOSITORY / 'experiments/flagfiles/gigpo').glob('*.cfg')
  )
  if not path.name.startswith(('dynlin_', 'lare_', 'spa_', 'tempo_'))
]
QWEN = 'gigpo/alfworld_qwen2_5_1_5b.cfg'

# Flags that set other fields of `Settings` than those of their own name.
FIELDS = {
  'chunk': {'limits.chunks'},
  # Without a file, games are generated.
  'evaluate_on': {'evaluate_on', 'evaluation_count'},
  'format': {'text_format'},
  'games': {'games', 'generated_games'},
  'history_length': {'text_format.history_length'},
  'max_new_tokens': {'limits.new_tokens'},
  'max_steps': {'loop.max_steps', 'limits.steps'},
  'repeat_task': {'text_format.repeats_task'},
  'row_tokens': {'limits.row_tokens', 'loss.normaliser'},
}
# Flags that mean something beside another one.
BESIDE = {'history_length': {'format': 'think_action'}}
# Fields that no flag sets, and flags that set no field.
FIELDS_WITHOUT_FLAG = {
  # Of experiments.tempo.
  'loop.tree', 'loop.learn_taken_over',
  'credit.ddof', 'loop.generation_batches', 'loss.credit_of',
  # GiGPO has no critic.
  'critic.learning_rate', 'critic.clip', 'critic.weight_decay',
  'critic.clip_norm',
}  # fmt: skip
FLAGS_WITHOUT_FIELD = {'compilation_cache'}


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


def fields(value, path='') -> dict[str, object]:
  """Settings as path -> value; a text format is its kind and its fields."""
  result = {}
  parts = (
    {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if dataclasses.is_dataclass(value)
    else getattr(value, '__dict__', value)
  )
  for name, part in parts.items():
    inner = f'{path}{name}'
    if name == 'text_format':
      result[inner] = type(part).__name__
    if dataclasses.is_dataclass(part) or isinstance(part, dict):
      result.update(fields(part, f'{inner}.'))
    else:
      result[inner] = part
  return result


def settings_of(gigpo) -> types.SimpleNamespace:
  """All settings, those of the training and of the domain as one."""
  run = gigpo.read_flags()
  parts = (run.training, run.domain)
  return types.SimpleNamespace(
    **{
      field.name: getattr(part, field.name)
      for part in parts
      for field in dataclasses.fields(part)
    },
    credit=run.credit,
  )


def another(flag: flags.Flag) -> str | list[str]:
  """A value that the flag does not have, as one would type it."""
  kind = flag.flag_type()
  if kind == 'bool':
    return 'false' if flag.value else 'true'
  if kind == 'string enum':
    values = flag.parser.enum_values
    return values[(values.index(flag.value) + 1) % len(values)]
  if kind == 'multi int':
    return [str(2 * value) for value in flag.value]
  if kind == 'int':
    # Twice as many heads are shared, and even, as these are.
    return str(2 * flag.value or 1)
  if kind == 'float':
    return str((flag.value or 1.0) / 2)
  if kind == 'comma separated list of strings':
    return 'q,v'
  assert kind == 'string', f'{flag.name}: how to change a {kind}?'
  return '/another'


def test_every_flag_is_explained(gigpo):
  own = imported_script.own_flags(gigpo)
  assert len(own) > 60
  for flag in own:
    assert len(flag.help or '') >= 9, flag.name


def test_every_flag_sets_its_fields_and_no_other(gigpo):
  set_by_flags = set()
  # What belongs to other domains is tested with them, and how a run is shared
  # out with its flags.
  by_module = flags.FLAGS.flags_by_module_dict()
  others = {'domain'} | {
    flag.name
    for name in ('virtualhome_flags', 'shop_flags', 'process_flags')
    for flag in by_module[f'experiments.{name}']
  }
  for flag in imported_script.own_flags(gigpo):
    if flag.name in others:
      continue
    beside = BESIDE.get(flag.name, {})
    with flagsaver.as_parsed(**beside):
      before = fields(settings_of(gigpo))
      with flagsaver.as_parsed(**{flag.name: another(flag)}):
        after = fields(settings_of(gigpo))
        value = flag.value
    changed = {
      name
      for name in before.keys() | after.keys()
      if before.get(name) != after.get(name)
    }
    if flag.name == 'format':
      changed = {name.split('.')[0] for name in changed}
    expected = FIELDS.get(flag.name) or {
      name
      for name in before.keys() - FIELDS_WITHOUT_FLAG
      if name.split('.')[-1] == flag.name
    }
    if flag.name in FLAGS_WITHOUT_FIELD:
      expected = set()
    else:
      assert expected, f'--{flag.name} is ignored'
    assert changed == expected, flag.name
    if expected and flag.name != 'format':
      given = tuple(value) if isinstance(value, list) else value
      assert str(given) in {str(after[name]) for name in expected}, flag.name
    set_by_flags |= changed
  alternatives = {'text_format.repeats_task', 'text_format.history_length'}
  assert (
    set_by_flags
    == fields(settings_of(gigpo)).keys() - FIELDS_WITHOUT_FLAG | alternatives
  )


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


def test_what_a_value_of_zero_stands_for(gigpo):
  with flagsaver.as_parsed(dual_clip='0'):
    settings = settings_of(gigpo)
  assert settings.loss.dual_clip is None
  assert (settings.generated_games, settings.evaluation_count) == (2000, 120)
  with flagsaver.as_parsed(games='a', evaluate_on='b'):
    settings = settings_of(gigpo)
  assert (settings.generated_games, settings.evaluation_count) == (0, 0)


def test_a_home_folder_is_found(gigpo):
  with flagsaver.as_parsed(run='~/r', pretrained='~/p'):
    settings = settings_of(gigpo)
  home = pathlib.Path.home()
  assert (settings.run, settings.pretrained) == (home / 'r', f'{home}/p')
  with flagsaver.as_parsed(start_from='~/s'):
    assert settings_of(gigpo).start_from == f'{home}/s'


def test_flags_that_may_change_exist(gigpo):
  names = {flag.name for flag in imported_script.own_flags(gigpo)}
  assert names >= gigpo.training_flags.MAY_CHANGE
  assert run_script.own_flags(gigpo.__name__).keys() == names


@pytest.mark.parametrize('path', FLAGFILES, ids=lambda path: path.name)
def test_flagfiles_parse(gigpo, path):
  with flagsaver.flagsaver():
    rest = flags.FLAGS(['gigpo', f'--flagfile={path}'])
    assert rest == ['gigpo']
    run_script.check_finite(run_script.own_flags(gigpo.__name__))
    settings = settings_of(gigpo)
  own = {flag.name: flag for flag in imported_script.own_flags(gigpo)}
  assert settings != settings_of(gigpo)
  lines = path.read_text(encoding='utf-8').splitlines()
  names = [line[2:].split('=')[0] for line in lines if line.startswith('--')]
  # Those that collect values, as --chunk does, may be.
  names = [n for n in names if not isinstance(own.get(n), flags.MultiFlag)]
  assert sorted(set(names)) == sorted(names), 'a flag is given twice'


def test_the_published_settings(gigpo):
  # arXiv 2505.10978, App. E.1, and the script released with it.
  path = script.REPOSITORY / 'experiments/flagfiles' / QWEN
  with flagsaver.flagsaver():
    flags.FLAGS(['gigpo', f'--flagfile={path}'])
    given = fields(settings_of(gigpo))
  published = {
    'text_format': 'ThinkAction',
    'text_format.history_length': 2,
    'wording': '2.1.1',
    'anchor': 'observation',
    'credit.method': 'gigpo',
    'credit.discount': 0.95,
    'credit.step_weight': 1.0,
    'credit.episode_weight': 1.0,
    'credit.scale': 'std',
    'credit.episode_statistics': 'steps',
    'credit.ddof': 1,
    'loop.groups': 16,
    'loop.group_size': 8,
    'loop.max_steps': 50,
    'loop.temperature': 1.0,
    'loop.minibatch_rows': 256,
    'loop.epochs': 1,
    'loop.reward_scale': 10.0,
    'loop.invalid_penalty': 0.1,
    'loop.penalise': 'format',
    'loop.filter_groups': False,
    'loss.clip': 0.2,
    'loss.clip_high': None,
    'loss.dual_clip': 3.0,
    'loss.ratio': 'token',
    'loss.aggregation': 'token-mean',
    'loss.kl_coefficient': 0.01,
    'loss.kl_estimator': 'k3',
    'loss.entropy_coefficient': 0.001,
    'loss.temperature': 1.0,
    # A prompt of 2048 tokens and an answer of 512.
    'limits.row_tokens': 2048 + 512,
    'limits.new_tokens': 512,
    'limits.steps': 50,
    'learning_rate': 1e-6,
    'weight_decay': 0.01,
    'clip_norm': 1.0,
    'evaluation_temperature': 0.4,
    'iterations': 150,
    'warm_start_steps': 0,
  }
  assert {name: given[name] for name in published} == published


@pytest.mark.parametrize(
  ('values', 'words'),
  [
    ({'group_size': '1'}, '--group_size must be at least 2'),
    ({'kv_heads': '3'}, '--kv_heads must divide --heads'),
    ({'head_dim': '15'}, '--head_dim=15: must be even'),
    ({'dual_clip': '0.5'}, '--dual_clip=0.5: must be 0'),
    ({'start_from': 'a', 'pretrained': 'b'}, 'without --pretrained'),
    (
      {
        'overlap': 'true',
        'processes': '2',
        'process': '0',
        'coordinator': 'a:1',
      },
      'without --processes',
    ),  # fmt: skip
    ({'discount': '1.1'}, r'not a number in the range \[0.0, 1.0\]'),
    ({'groups': '0'}, '--groups=0: 0 is not a positive integer'),
    ({'method': 'ppo'}, 'should be one of <gigpo|grpo|'),
  ],
  ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_values_that_cannot_be(gigpo, values, words):
  arguments = [f'--{name}={value}' for name, value in values.items()]
  with flagsaver.flagsaver(), pytest.raises(flags.Error, match=words):
    flags.FLAGS(['gigpo', *arguments])


def test_a_lone_rollout_is_enough_where_nothing_is_trained(gigpo):
  with flagsaver.flagsaver():
    flags.FLAGS(['gigpo', '--group_size=1', '--iterations=0'])
    assert settings_of(gigpo).loop.group_size == 1


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_numbers_are_finite(errors, tmp_path, value):
  words = errors(run=str(tmp_path / 'run'), learning_rate=value)
  assert words == f'error: --learning_rate={value}: must be a finite number\n'
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
  assert list((tmp_path / 'run').iterdir()) == []


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
  assert list((tmp_path / 'run').iterdir()) == []


def test_a_warm_start_that_is_not_complete(errors, tmp_path):
  source = tmp_path / 'source'
  (source / 'checkpoints' / 'warm_start' / '75').mkdir(parents=True)
  config = {'warm_start_steps': 300, 'pretrained': None}
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
    ('--group_size=1', '--group_size must be at least 2'),
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
