"""Methods are named in the table, and nowhere else."""

import ast
import pathlib

import pytest

from jaxcredit import methods

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Where methods are described.
HOME = ('jaxcredit/methods/', 'jaxcredit/algorithms/')
# File -> names that may stand there, and why.
ALLOWED = {
  # What a script begins with.
  'experiments/gigpo.py': {'gigpo'},
  'experiments/spa.py': {'spa'},
  'experiments/tempo.py': {'tempo'},
  'experiments/text/method_flags.py': {'gigpo'},
  # Of credit accuracy: variants, and which curves are drawn.
  'experiments/accuracy/variants.py': set(methods.TABLE),
  # Control on devices: sources of rewards, some of which have these names.
  'experiments/control/': {'lare', 'rrd', 'ircr'},
  # Benchmarks choose what they compare or time.
  'experiments/benchmarks/': set(methods.TABLE),
  # A field of the records of prefix trees.
  'jaxcredit/reports/prefix_tree.py': {'grpo'},
  'jaxcredit/reports/prefix_tree_records.py': {'grpo'},
  # Names of importable modules, not of methods.
  'jaxcredit/__init__.py': set(methods.TABLE),
}


def strings(text: str) -> set[str]:
  """Literals of a source, those of docstrings and lone strings left out."""
  tree = ast.parse(text)
  lone = {
    id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
  }
  return {
    node.value
    for node in ast.walk(tree)
    if isinstance(node, ast.Constant)
    and isinstance(node.value, str)
    and id(node) not in lone
  }


def allowed(path: str) -> set[str]:
  return set().union(
    *(
      names
      for place, names in ALLOWED.items()
      if path == place or (place.endswith('/') and path.startswith(place))
    )
  )


SOURCES = {
  str(path.relative_to(ROOT)): path
  for folder in ('jaxcredit', 'experiments')
  for path in sorted((ROOT / folder).rglob('*.py'))
}


def test_nothing_else_lists_names_of_methods():
  found = {}
  for name, path in SOURCES.items():
    if name.startswith(HOME):
      continue
    listed = strings(path.read_text(encoding='utf-8')) & set(methods.TABLE)
    if more := listed - allowed(name):
      found[name] = more
  assert found == {}


@pytest.mark.parametrize('place', ALLOWED)
def test_what_is_allowed_is_there(place):
  """An exception that nobody needs any longer is to go."""
  names = set().union(
    *(
      strings(path.read_text(encoding='utf-8'))
      for name, path in SOURCES.items()
      if name == place or (place.endswith('/') and name.startswith(place))
    )
  )
  assert names & ALLOWED[place], place


def test_names_are_found():
  text = '"""gigpo"""\nx = {"gigpo": 1, "other": "spa and more"}\n'
  assert strings(text) & set(methods.TABLE) == {'gigpo'}
