"""Builds the documentation: `make docs`, into docs/_build."""

import importlib
import inspect
import pkgutil
import re

import jaxcredit
from jaxcredit import algorithms

project = 'jaxcredit'
copyright = 'the authors of jaxcredit'
version = release = jaxcredit.__version__

extensions = [
  'myst_parser',
  'sphinx.ext.autodoc',
  'sphinx.ext.napoleon',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'jaxcredit {version}'

# Docstrings name the shape and dtype of each argument; annotations, all
# jax.Array, would hide the defaults.
autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Code stands between single backticks.
default_role = 'code'
myst_heading_anchors = 3

_SECTION = re.compile(r'(Args|Attributes|Example|Raises|Returns):$')
_ITEM = re.compile(r'(\*|-|\d+\.) ')
_CODE = re.compile(r'(`[^`]*`)')


def _escaped(line: str) -> str:
  """A line of text in which none but code is marked up."""
  parts = _CODE.split(line)
  parts[::2] = [re.sub(r'([*|])', r'\\\1', part) for part in parts[::2]]
  return ''.join(parts)


def _plain_text(app, what, name, obj, options, lines: list[str]) -> None:
  """Makes reStructuredText of docstrings that are plain text.

  Indented blocks outside the sections are equations and tables, shown as they
  stand; lists need no empty line before them; asterisks and bars are those of
  mathematics.
  """
  del app, what, name, obj, options
  result: list[str] = []
  section, base, literal = '', 0, False
  for line in lines:
    indent = len(line) - len(line.lstrip())
    if not line:
      result.append(line)
      continue
    if indent == 0:
      match = _SECTION.match(line)
      section = match[1] if match else ''
    if section:
      result.append(line if section == 'Example' else _escaped(line))
      continue
    item = _ITEM.match(line)
    if item or (indent == 0 and result and not result[-1]):
      begins, base = item and base == 0, 2 if item else 0
      if begins and result and result[-1]:
        result.append('')
    if literal and indent <= base:
      literal = False
      if result[-1]:
        result.append('')
    elif not literal and indent >= base + 2:
      literal = True
      if result and result[-1]:
        result.append('')
      result += [' ' * base + '::', '']
    if literal:
      result.append(line)
    elif item:
      result.append(item[0] + _escaped(line[item.end() :]))
    else:
      result.append(_escaped(line))
  lines[:] = result


def _show_compiled_functions_as_functions() -> None:
  """autodoc takes what `jax.jit` returns for a value without a signature."""
  for found in pkgutil.walk_packages(
    algorithms.__path__, f'{algorithms.__name__}.'
  ):
    module = importlib.import_module(found.name)
    for name, value in list(vars(module).items()):
      if hasattr(value, '__wrapped__') and not inspect.isfunction(value):
        setattr(module, name, inspect.unwrap(value))


def setup(app) -> None:
  _show_compiled_functions_as_functions()
  # Before napoleon, which has the default priority of 500.
  app.connect('autodoc-process-docstring', _plain_text, priority=100)
