"""What every notebook has: an install cell, one switch, its runtime."""

import ast
import importlib
import re

import pytest

nbformat = pytest.importorskip(
  'nbformat', reason="nbformat is not installed: pip install '.[test]'"
)

from tests import distribution  # noqa: E402
from tests.colabs import notebooks  # noqa: E402

LARGEST = 40_000  # bytes

by_name = pytest.mark.parametrize('name', notebooks.NAMES)


def test_there_are_these_notebooks_and_no_others():
  found = {p.stem for p in notebooks.FOLDER.glob('*.ipynb')}
  assert found == set(notebooks.NAMES)


@by_name
def test_it_is_a_valid_notebook(name):
  notebook = notebooks.read(name)
  nbformat.validate(notebook)
  assert (notebook.nbformat, notebook.metadata.kernelspec.name) == (
    4,
    'python3',
  )
  ids = [cell.id for cell in notebook.cells]
  assert len(set(ids)) == len(ids)


@by_name
def test_it_holds_no_output(name):
  """Stored outputs would be those of another version one day."""
  assert (notebooks.FOLDER / f'{name}.ipynb').stat().st_size < LARGEST
  for cell in notebooks.read(name).cells:
    assert not cell.get('outputs'), cell.source
    assert cell.get('execution_count') is None, cell.source


@by_name
def test_it_begins_with_what_it_is(name):
  first = notebooks.read(name).cells[0]
  assert first.cell_type == 'markdown'
  assert first.source.startswith('# ')
  assert 'Open in Colab' in first.source
  assert re.search(
    r'\*\*Runtime: about \d+ seconds of one CPU core', first.source
  )
  if name != 'your_own_project':
    assert re.search(r'\(https://arxiv\.org/abs/\d{4}\.\d{5}\)', first.source)


@by_name
def test_the_stated_runtime_is_below_five_minutes(name):
  text = notebooks.read(name).cells[0].source
  assert int(re.search(r'Runtime: about (\d+) seconds', text)[1]) < 300


def test_the_install_cell_is_the_first_and_the_same_everywhere():
  """But for the extras, which are those of the package."""
  cells = set()
  for name in notebooks.NAMES:
    cell = notebooks.sources(notebooks.read(name), 'code')[0]
    extras = re.search(r"^EXTRAS = '(.*)'$", cell, re.M)[1].split(',')
    assert set(extras) <= distribution.extras().keys()
    assert 'train' in extras
    assert ('control' in extras) == (name == 'lare')
    cells.add(re.sub(r'^EXTRAS = .*$', '', cell, flags=re.M))
  (cell,) = cells
  assert 'pip' in cell and 'jaxcredit[{EXTRAS}] @ {SOURCE}' in cell


@by_name
def test_one_cell_chooses_the_setting(name):
  code = notebooks.sources(notebooks.read(name), 'code')
  settings = [
    source for source in code if re.search(r'^REDUCED = ', source, re.M)
  ]
  assert settings == [code[1]]
  assert settings[0].startswith('REDUCED = True\n')
  # It holds settings alone, and at least one of them depends on the switch.
  statements = ast.parse(settings[0]).body
  assert all(isinstance(node, ast.Assign) for node in statements)
  assert ' if REDUCED else ' in settings[0]


@by_name
def test_it_needs_no_more_than_the_package(name):
  """Not `experiments`, which is only in the repository, nor the tests."""
  modules = set()
  for source in notebooks.sources(notebooks.read(name), 'code'):
    for node in ast.walk(ast.parse(source)):
      if isinstance(node, ast.Import):
        modules |= {alias.name.partition('.')[0] for alias in node.names}
      elif isinstance(node, ast.ImportFrom):
        modules.add(node.module.partition('.')[0])
  assert 'jaxcredit' in modules
  assert not modules & {'experiments', 'tests'}


def test_your_own_project_imports_advantages_alone():
  code = '\n'.join(
    notebooks.sources(notebooks.read('your_own_project'), 'code')
  )
  ours = [
    node
    for node in ast.walk(ast.parse(code))
    if isinstance(node, ast.ImportFrom) and node.module.startswith('jaxcredit')
  ]
  (only,) = ours
  assert only.module == 'jaxcredit'
  assert {alias.name for alias in only.names} == {'gigpo', 'grpo'}


@by_name
def test_what_it_imports_and_names_exists(name):
  """Modules of the package, and their attributes that the notebook names."""
  if name == 'lare' and not distribution.has_control():
    pytest.skip('jaxmarl is not installed: make control')
  code = '\n'.join(notebooks.sources(notebooks.read(name), 'code'))
  tree = ast.parse(code)
  modules = {}
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom) and node.module.startswith('jaxcredit'):
      package = importlib.import_module(node.module)
      for alias in node.names:
        if not hasattr(package, alias.name):
          importlib.import_module(f'{node.module}.{alias.name}')
        modules[alias.asname or alias.name] = getattr(package, alias.name)
  assert modules
  # A variable of the notebook may take the name over.
  for node in ast.walk(tree):
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
      modules.pop(node.id, None)
  named = [
    node
    for node in ast.walk(tree)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
  ]
  for node in named:
    if node.value.id in modules:
      assert hasattr(modules[node.value.id], node.attr), ast.unparse(node)
