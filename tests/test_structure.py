"""Imports run downwards, and nothing that is read is executed."""

import ast
import graphlib
import pathlib
import sys

import pytest

from tests import distribution

# From the bottom to the top: what stands in one row does not import what
# stands beside it. 'jaxcredit' is the package's own __init__.py, the public
# face of the algorithms.
LAYERS = (
  ('jaxcredit.types', 'jaxcredit.options', 'jaxcredit.files'),
  ('jaxcredit.algorithms',),
  ('jaxcredit.methods',),
  ('jaxcredit',),
  ('jaxcredit.distributed',),
  ('jaxcredit.networks', 'jaxcredit.environments', 'jaxcredit.integrations'),
  ('jaxcredit.rollouts', 'jaxcredit.latent_rewards'),
  ('jaxcredit.training', 'jaxcredit.agents'),
  ('jaxcredit.reports',),
  ('experiments',),
)

# They build objects, and run code, from the bytes that they read.
UNSAFE_MODULES = {
  'builtins',
  'cloudpickle',
  'dill',
  'joblib',
  'marshal',
  'pickle',
  'shelve',
  'torch',
  'yaml',
}
UNSAFE_NAMES = {'__builtins__', '__import__', 'compile', 'eval', 'exec'}

SAYS_NOTHING = {'common', 'helper', 'helpers', 'misc', 'util', 'utils'}


def source_files() -> dict[str, pathlib.Path]:
  """Files of jaxcredit and experiments by the name of the module.

  Those that time other libraries run in environments of their own, and are
  programs of those.
  """
  files = {}
  for package in ('jaxcredit', 'experiments'):
    for path in (distribution.REPOSITORY / package).rglob('*.py'):
      parts = path.relative_to(distribution.REPOSITORY).with_suffix('').parts
      if 'peers' not in parts:
        files['.'.join(p for p in parts if p != '__init__')] = path
  return files


FILES = source_files()
TREES = {
  name: ast.parse(path.read_text(encoding='utf-8'), str(path))
  for name, path in FILES.items()
}


def imports(tree: ast.AST) -> set[str]:
  """Modules that a module imports, anywhere in it.

  `from package import name` imports `package.name` where that is a module of
  ours, else `package`.
  """
  found = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'line {node.lineno}: a relative import'
      for alias in node.names:
        module = f'{node.module}.{alias.name}'
        found.add(module if module in FILES else node.module)
  return found


def is_in(module: str, package: str) -> bool:
  return module == package or module.startswith(f'{package}.')


def layer(module: str) -> tuple[int, str] | None:
  """Height and name of a module's layer; None for what is not ours."""
  if module == 'jaxcredit':
    return LAYERS.index(('jaxcredit',)), 'jaxcredit'
  for height, names in enumerate(LAYERS):
    for name in names:
      if name != 'jaxcredit' and is_in(module, name):
        return height, name
  assert not is_in(module, 'jaxcredit'), f'{module} is in no layer'
  return None


def upward_imports(module: str, tree: ast.AST) -> list[str]:
  """Imports of ours that do not run downwards."""
  height, name = layer(module)
  wrong = []
  for imported in sorted(imports(tree)):
    if is_in(imported, 'tests'):
      wrong.append(imported)
    elif (below := layer(imported)) is not None:
      inside = below[1] == name
      if not inside and below[0] >= height:
        wrong.append(imported)
  return wrong


def outside_imports(tree: ast.AST) -> set[str]:
  """Top-level packages of others."""
  ours = {'jaxcredit', 'experiments', 'tests'}
  tops = {name.partition('.')[0] for name in imports(tree)}
  return tops - set(sys.stdlib_module_names) - ours


def unsafe(tree: ast.AST) -> list[str]:
  """What might execute what it reads, with its line."""
  found = []
  for node in ast.walk(tree):
    if isinstance(node, ast.Import | ast.ImportFrom):
      names = [alias.name for alias in node.names]
      if isinstance(node, ast.ImportFrom):
        names += [node.module]
      found += [
        (node.lineno, name)
        for name in names
        if name.partition('.')[0] in UNSAFE_MODULES or name == 'import_module'
      ]
    elif isinstance(node, ast.Name) and (
      node.id in UNSAFE_NAMES | UNSAFE_MODULES
    ):
      found.append((node.lineno, node.id))
    elif isinstance(node, ast.Attribute) and (
      # numpy and pandas have doors of their own to pickle.
      node.attr in UNSAFE_MODULES | {'import_module', 'read_pickle'}
    ):
      found.append((node.lineno, node.attr))
    elif isinstance(node, ast.keyword) and node.arg == 'allow_pickle':
      if not (isinstance(node.value, ast.Constant) and not node.value.value):
        found.append((node.value.lineno, 'allow_pickle'))
  return [f'line {line}: {name}' for line, name in sorted(found)]


@pytest.mark.parametrize('module', sorted(FILES))
def test_imports_run_downwards(module):
  assert upward_imports(module, TREES[module]) == []


def test_imports_have_no_cycles():
  graph = {
    module: (imports(tree) & FILES.keys()) - {module}
    for module, tree in TREES.items()
  }
  # Raises CycleError, which names the cycle.
  assert list(graphlib.TopologicalSorter(graph).static_order())


def test_algorithms_need_jax_and_numpy_alone():
  for module, tree in TREES.items():
    if layer(module)[0] <= LAYERS.index(('jaxcredit',)):
      assert outside_imports(tree) <= {'jax', 'numpy'}, module


def test_programs_of_other_environments_import_nothing_of_ours():
  folder = (
    distribution.REPOSITORY
    / 'experiments'
    / 'benchmarks'
    / 'references'
    / 'peers'
  )
  programs = [p for p in folder.glob('*.py') if p.name != '__init__.py']
  assert programs
  for path in programs:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    names = {name.split('.')[0] for name in outside_imports(tree)}
    assert not imports(tree) & FILES.keys()
    assert not names & {'jaxcredit', 'experiments'}


def test_flax_is_imported_in_networks_only():
  users = {m for m, tree in TREES.items() if 'flax' in outside_imports(tree)}
  assert users
  assert {m for m in users if not is_in(m, 'jaxcredit.networks')} == set()


def test_of_nnx_only_what_does_not_change_is_used():
  used = {
    node.attr
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.Attribute)
    and isinstance(node.value, ast.Name)
    and node.value.id == 'nnx'
  }
  conversions = {'to_pure_dict', 'replace_by_pure_dict'}
  assert used <= conversions | {
    'Module',
    'Param',
    'Rngs',
    'merge',
    'split',
    'state',
  }


def test_every_import_is_declared():
  """What is imported is asked for in setup.cfg, and not only by others."""
  declared = {
    distribution.name_of(r) for r in distribution.light_requirements()
  }
  extras = ['train', 'household', 'questions', 'shop']
  if distribution.has_procedural():
    extras.append('procedural')
  if distribution.has_control():
    extras.append('control')
  for extra in extras:
    declared |= {distribution.name_of(r) for r in distribution.extras()[extra]}
  allowed = distribution.modules_of(declared)
  # MuJoCo comes with gymnasium[mujoco].
  allowed |= {
    'brax',
    'gymnasium',
    'jaxmarl',
    'mujoco',
    'reasoning_gym',
    'tunix',
  }
  for module, tree in TREES.items():
    assert outside_imports(tree) <= allowed, module


# The table of methods imports the files of its own folder.
IMPORTERS = {'jaxcredit.methods'}


@pytest.mark.parametrize('module', sorted(FILES))
def test_nothing_that_is_read_is_executed(module):
  found = unsafe(TREES[module])
  if module in IMPORTERS:
    found = [f for f in found if not f.endswith(': import_module')]
  assert found == []


def test_names_say_what_is_inside():
  for package in ('jaxcredit', 'experiments'):
    for path in (distribution.REPOSITORY / package).rglob('*'):
      assert path.stem not in SAYS_NOTHING, path


@pytest.mark.parametrize('name', ['algorithms', 'networks'])
def test_links_at_the_top(name):
  link = distribution.REPOSITORY / name
  assert link.is_symlink()
  assert link.readlink() == pathlib.Path('jaxcredit', name)
  assert (link / '__init__.py').is_file()


# The checks themselves: each finds what it is for.


@pytest.mark.parametrize(
  ('module', 'source'),
  [
    ('jaxcredit.types', 'from jaxcredit.algorithms import gigpo'),
    ('jaxcredit.algorithms.gigpo', 'import jaxcredit'),
    ('jaxcredit.algorithms.gigpo', 'from jaxcredit import gigpo'),
    ('jaxcredit.algorithms.gigpo', 'import jaxcredit.networks.block as block'),
    ('jaxcredit.networks.block', 'from jaxcredit.environments import protocol'),
    ('jaxcredit.environments.protocol', 'from jaxcredit import rollouts'),
    ('jaxcredit.rollouts.pool', 'def f():\n  from jaxcredit import training'),
    ('jaxcredit.training.loop', 'from jaxcredit.reports import page'),
    ('jaxcredit.reports.page', 'from experiments.run import console'),
    ('experiments.run.console', 'from tests import shared_data'),
    ('jaxcredit.reports.page', 'import tests.shared_data'),
  ],
)
def test_upward_import_is_found(module, source):
  assert module in FILES
  assert len(upward_imports(module, ast.parse(source))) == 1


@pytest.mark.parametrize(
  ('module', 'source'),
  [
    ('jaxcredit.algorithms.gigpo', 'from jaxcredit import types'),
    ('jaxcredit.algorithms.gigpo', 'from jaxcredit.algorithms import grpo'),
    ('jaxcredit.networks.block', 'from jaxcredit import gigpo'),
    ('experiments.gigpo', 'from jaxcredit.reports import page'),
    ('experiments.gigpo', 'from experiments.run import console'),
    ('experiments.gigpo', 'import experiments_of_others, jax, os'),
  ],
)
def test_downward_import_is_allowed(module, source):
  assert upward_imports(module, ast.parse(source)) == []


@pytest.mark.parametrize(
  'source',
  [
    'import pickle',
    'import pickle as p',
    'from pickle import loads',
    'def f():\n  import dill',
    'import torch',
    'torch.load(path)',
    'import yaml',
    'yaml.load(text)',
    'jnp.load(path, allow_pickle=True)',
    'np.load(path, allow_pickle=flag)',
    'np.core.pickle.loads(x)',
    'pd.read_pickle(path)',
    'eval(text)',
    'run = exec',
    'from builtins import eval as e',
    '__import__("pickle")',
    'importlib.import_module(name)',
    'from importlib import import_module',
  ],
)
def test_unsafe_code_is_found(source):
  assert unsafe(ast.parse(source))


@pytest.mark.parametrize(
  'source',
  [
    'np.load(path, allow_pickle=False)',
    're.compile(pattern)',
    'jax.eval_shape(f, x)',
    'json.loads(text)',
    '"eval(text)"  # exec',
  ],
)
def test_safe_code_is_allowed(source):
  assert unsafe(ast.parse(source)) == []


def test_relative_import_is_found():
  with pytest.raises(AssertionError, match='line 1: a relative import'):
    imports(ast.parse('from . import grpo'))
