"""Flags of the scripts that train a text policy: each one matters."""

import dataclasses
import pathlib

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.run import option_flags
from jaxcredit import methods
from tests.experiments import imported_script, script

SCRIPTS = {'gigpo': 'gigpo', 'spa': 'spa', 'tempo': 'tempo'}
FLAGFILES = [
  path
  for name in SCRIPTS
  for path in sorted(
    (script.REPOSITORY / 'experiments/flagfiles' / name).glob('*.cfg')
  )
]
# Flags that mean something beside others.
_TREE = {'sampler': 'tree', 'max_steps': '1'}
BESIDE = {
  'history_length': {'format': 'think_action'},
  'kl_reward_target': {'method': 'ppo', 'kl_reward': '0.1'},
  'tree_first': _TREE,
  'tree_branches': _TREE,
  'tree_exclude_parent': _TREE,
  'tree_skip_last': _TREE,
  'sampler': {'max_steps': '1'},
}
# Flags that set other options than that of their name.
OTHER_NAMES = {
  'chunk': {'limits.chunks'},
  'critic_learning_rate': {'critic.learning_rate'},
  'max_new_tokens': {'limits.new_tokens', 'loop.new_tokens'},
  'max_steps': {'loop.max_steps', 'limits.steps', 'max_steps'},
  'row_tokens': {'limits.row_tokens', 'loss.normaliser'},
  'sampler': {
    'loop.tree',
    'loop.tree.first',
    'loop.tree.branches',
    'loop.tree.skip_first',
    'loop.tree.skip_last',
    'loop.tree.exclude_parent',
    'loop.tree.group_size',
    'loop.tree.token_budget',
  },  # fmt: skip
  'temperature': {'loop.temperature', 'loss.temperature'},
  'seed': {'seed', 'loop.seed', 'domain.seed'},
  'tree_branches': {'tree.branches'},
  'tree_exclude_parent': {'tree.exclude_parent'},
  'tree_first': {'tree.first'},
  'tree_skip_last': {'tree.skip_last'},
  'tree_tokens': {'loop.learn_shared_prefix'},
  'value_clip': {'critic.clip'},
}
# Where a run lies, what is kept, and how it is shared out.
NOT_IN_PARTS = {'run', 'compilation_cache'}


@pytest.fixture(scope='module')
def gigpo():
  with imported_script.imported('experiments.gigpo') as module:
    yield module


def flat(value, path='') -> dict[str, object]:
  """Objects of options as path -> value."""
  found = {}
  for field in dataclasses.fields(value):
    part = getattr(value, field.name)
    inner = f'{path}{field.name}'
    if dataclasses.is_dataclass(part):
      found |= flat(part, f'{inner}.')
    found[inner] = part
  return found


def parts(module) -> dict[str, object]:
  """All that a run is made of, by path."""
  built = module.script.build()
  progress = next(s for s in built.stages if s.name == 'fit_progress')
  return {
    **flat(built.settings),
    **flat(built.domain._options, 'domain.'),
    'domain': type(built.domain).__name__,
    'domain.seed': getattr(built.domain, '_seed', None),
    'max_steps': getattr(built.domain, '_max_steps', None),
    'method': built.method.name,
    **flat(built.method_options, 'method.'),
    **flat(progress._options, 'stage.'),
    **flat(progress._estimator_options, 'stage.estimator_'),
  }


def unions(module) -> dict[str, tuple[str, object]]:
  """Options of methods and domains: name -> (flag that chooses, union)."""
  text = module.script
  return {
    **{
      name: ('method', text.method_flags.OPTIONS)
      for name in text.method_flags.OPTIONS.holders
    },
    **{
      name: ('domain', text.domain_flags.OPTIONS)
      for name in text.domain_flags.OPTIONS.holders
    },
  }


def another(kind: type, choices, default) -> str | list[str]:
  """A value that is not the default, as one would type it."""
  if choices:
    return next(c for c in choices if c != default)
  if kind is bool:
    return 'false' if default else 'true'
  if kind is int:
    return str(2 * default if default else 1)
  if kind is float:
    return str((default or 1.0) / 2)
  if isinstance(default, (list, tuple)):
    if default and isinstance(default[0], int):
      return [str(2 * value) for value in default]
    return 'q,v'
  return '/another'


def of_flag(flag) -> str | list[str]:
  kind = {'bool': bool, 'int': int, 'float': float}.get(flag.flag_type(), str)
  choices = getattr(flag.parser, 'enum_values', None)
  return another(kind, choices, flag.value)


def of_union(union, name, holder) -> tuple[str, str]:
  """Who has an option, and another value of it."""
  for user, kind in union.kinds.items():
    for field in dataclasses.fields(kind):
      if field.name == name:
        hint = option_flags.kind_of(kind, name)
        choices = field.metadata['choices']
        value = another(hint, choices, field.default)
        if field.name == 'ddof':
          value = '0'
        return user, value
  raise AssertionError(holder)


def test_every_flag_is_explained(gigpo):
  own = imported_script.own_flags(gigpo)
  assert len(own) > 100
  for flag in own:
    assert len(flag.help or '') >= 9, flag.name


def test_every_flag_sets_its_option_and_no_other(gigpo):
  by_module = flags.FLAGS.flags_by_module_dict()
  shared_out = {
    flag.name for flag in by_module['experiments.run.process_flags']
  }
  of_unions = unions(gigpo)
  for flag in imported_script.own_flags(gigpo):
    name = flag.name
    if name in NOT_IN_PARTS | shared_out | {'method', 'domain'}:
      continue
    beside = dict(BESIDE.get(name, {}))
    if name in of_unions:
      chooses, union = of_unions[name]
      user, value = of_union(union, name, flag)
      beside.setdefault(chooses, user)
    else:
      value = of_flag(flag)
    with flagsaver.as_parsed(**beside):
      before = parts(gigpo)
      with flagsaver.as_parsed(**{name: value}):
        after = parts(gigpo)
    changed = {
      path
      for path in before.keys() | after.keys()
      if before.get(path) != after.get(path)
    }
    allowed = OTHER_NAMES.get(name, {name})
    leaves = {
      path
      for path in changed
      # Groups of options differ with what is in them.
      if not dataclasses.is_dataclass(before.get(path, after.get(path)))
    }
    assert changed, f'--{name} is ignored'
    for path in leaves:
      last = path.rpartition('.')[2]
      assert (
        last == name
        or any(path == a or path.endswith(f'.{a}') for a in allowed)
        or (last.startswith('format') and name == 'format')
        or f'warm_start_{last}' == name
      ), (name, path)


def test_flags_that_may_change_exist(gigpo):
  names = {flag.name for flag in imported_script.own_flags(gigpo)}
  assert names >= gigpo.script.training_flags.MAY_CHANGE


@pytest.mark.parametrize('name', list(methods.TABLE))
def test_every_method_of_the_table_is_built_with_its_options(gigpo, name):
  method = methods.TABLE[name]
  with flagsaver.as_parsed(method=name):
    built = gigpo.script.build()
  assert built.method is method
  assert built.method_options == method.options()


def test_options_of_other_methods_are_named_and_not_looked_at(gigpo, capsys):
  with flagsaver.as_parsed(method='rloo', discount='0.5', grounding_weight='2'):
    built = gigpo.script.build()
  assert built.method_options == methods.TABLE['rloo'].options()
  words = 'not looked at by rloo: --discount, --grounding_weight'
  assert words in capsys.readouterr().out


def test_options_of_other_domains_are_refused(gigpo):
  with flagsaver.as_parsed(domain='shop', anchor='state'):
    with pytest.raises(ValueError, match='--anchor: not an option of --domain'):
      gigpo.script.build()


def test_what_is_recorded_makes_the_same_parts_again(gigpo):
  from experiments.run import script as run_script

  given = {'games': None, 'domain': 'virtualhome', 'chores': '2',
           'method': 'spa', 'discount': '0.5'}  # fmt: skip
  given = {name: value for name, value in given.items() if value}
  text = gigpo.script
  with flagsaver.as_parsed(**given):
    config = run_script.own_flags(gigpo.__name__)
    method, options = text.method_flags.read()
    domain = text.domain_flags.domain(3, 4)
  assert text.method_flags.recorded(config) == (method, options)
  again = text.domain_flags.recorded({**config, 'max_steps': 3, 'seed': 4})
  assert again._options == domain._options
  assert again._max_steps == 3


@pytest.mark.parametrize(
  'path', FLAGFILES, ids=lambda path: f'{path.parent.name}/{path.name}'
)
def test_flagfiles(path):
  module_name = path.parent.name
  text = path.read_text(encoding='utf-8')
  with imported_script.imported(f'experiments.{module_name}') as module:
    before = parts(module)
    own = {flag.name: flag for flag in imported_script.own_flags(module)}
    with flagsaver.flagsaver():
      assert flags.FLAGS([module_name, f'--flagfile={path}']) == [module_name]
      after = parts(module)
      run = flags.FLAGS['run'].value
      named = module.script.method_flags.unused()
  assert before != after
  # It says its own place, and does not meet that of another.
  assert run and run.startswith('runs/')
  others = [
    line
    for other in FLAGFILES
    if other != path
    for line in other.read_text(encoding='utf-8').splitlines()
  ]
  assert f'--run={run}' not in others
  # It opens with the command, the time it takes and the score to expect.
  head = [line for line in text.splitlines() if line.startswith('#')]
  opening = ' '.join(line.lstrip('# ') for line in head)
  assert f'python -m experiments.{module_name}' in opening
  assert 'Time:' in opening and 'Expected:' in opening
  names = [
    line[2:].split('=')[0]
    for line in text.splitlines()
    if line.startswith('--')
  ]
  names = [n for n in names if not isinstance(own.get(n), flags.MultiFlag)]
  assert sorted(set(names)) == sorted(names), 'a flag is given twice'
  assert not named or 'comparison' in path.name


def test_paths_of_home_folders(gigpo):
  with flagsaver.as_parsed(pretrained='~/p'):
    built = gigpo.script.build()
  assert built.settings.pretrained == f'{pathlib.Path.home()}/p'
