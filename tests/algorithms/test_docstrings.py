"""Docstrings say what goes in and comes out, and their examples run."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re

import jax
import pytest

import jaxcredit
from jaxcredit import algorithms

# What the modules above are made of; users do not call it.
INTERNAL = 'internal'
# An array by its shape, such as [..., G, S], [] or (N, 2), or a pytree or
# value of the host by its name.
SHAPE = re.compile(r'\[[^\]]*\]')
NAMED = re.compile(
  r'\b(State|Config|Progress|History|Bounds|Constants|Estimate|Packing|'
  r'Advantages|PolicyLoss|ValueLoss|ProgressLoss|StepSample|LinearSystem|'
  r'FiniteActions|Box|Ball|RunningStatistics|ArmStatistics|Statistics|bool|'
  r'int|float|A scalar|d entries|entries|empty tuple|state|Matrix|Vector)\b'
)
DTYPE = re.compile(r'\b(float|int|integers|bool|u?int\d+|float64|dtype|key)\b')


def modules():
  """Modules of the algorithms by name, those of the bandits included."""
  found = {}
  for module in pkgutil.walk_packages(algorithms.__path__):
    name = module.name
    found[name] = importlib.import_module(f'{algorithms.__name__}.{name}')
    if module.ispkg:
      for inner in pkgutil.iter_modules(found[name].__path__):
        found[f'{name}.{inner.name}'] = importlib.import_module(
          f'{algorithms.__name__}.{name}.{inner.name}'
        )
  return {n: m for n, m in found.items() if n.split('.')[0] != INTERNAL}


MODULES = modules()


def defined_in(module) -> dict:
  """What a module itself defines under public names."""
  return {
    name: value
    for name, value in vars(module).items()
    if not name.startswith('_')
    and callable(value)
    and getattr(value, '__module__', None) == module.__name__
  }


FUNCTIONS = {
  f'{module_name}.{name}': value
  for module_name, module in MODULES.items()
  for name, value in defined_in(module).items()
  if not inspect.isclass(value)
}
CLASSES = {
  f'{module_name}.{name}': value
  for module_name, module in MODULES.items()
  for name, value in defined_in(module).items()
  if inspect.isclass(value)
}


def sections(docstring: str) -> dict[str, str]:
  """Text of each section; what stands before the first one under ''."""
  parts = re.split(r'^(\w+):\n(?=  )', docstring, flags=re.M)
  return {'': parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> dict[str, str]:
  """Text of each argument or attribute; `a, b: ...` documents both."""
  found = re.split(r'^  (\*{0,2}\w+(?:, \w+)*):', section, flags=re.M)
  texts = {}
  for names, text in zip(found[1::2], found[2::2], strict=True):
    for name in names.split(', '):
      texts[name.lstrip('*')] = text
  return texts


def raises(function) -> bool:
  """Whether the function's own code can raise, or checks its arguments."""
  source = inspect.getsource(inspect.unwrap(function))
  return bool(
    re.search(r'\braise \w|\barguments\.(one_of|axes|number)', source)
  )


def faults(function) -> list[str]:
  """What the docstring of a function lacks."""
  text = inspect.getdoc(function)
  if not text:
    return ['has no docstring']
  found = sections(text)
  wrong = [] if '>>> ' in found.get('Example', '') else ['has no example']
  signature = inspect.signature(function)
  described = entries(found.get('Args', ''))
  names = list(signature.parameters)
  if names != list(described):
    wrong.append(f'has arguments {names}, but describes {list(described)}')
  for name, parameter in signature.parameters.items():
    if parameter.annotation is jax.Array and not (
      SHAPE.search(described.get(name, ''))
      or re.search(r'\b(key|likewise|same)\b', described.get(name, ''))
    ):
      wrong.append(f'does not say the shape of {name}')
  if signature.return_annotation is not None:
    result = found.get('Returns', '')
    if not result:
      wrong.append('does not say what it returns')
    elif not (SHAPE.search(result) or NAMED.search(result)):
      wrong.append('does not say the shape of what it returns')
    elif not (DTYPE.search(result) or NAMED.search(result)):
      wrong.append('does not say the dtype of what it returns')
  if raises(function) and 'Raises' not in found:
    wrong.append('does not say what it raises')
  return wrong


@pytest.mark.parametrize('name', sorted(FUNCTIONS))
def test_function_is_documented(name):
  assert faults(FUNCTIONS[name]) == []


@pytest.mark.parametrize('name', sorted(CLASSES))
def test_class_is_documented(name):
  kind = CLASSES[name]
  found = sections(inspect.getdoc(kind) or '')
  assert found.get(''), 'no docstring'
  fields = []
  if dataclasses.is_dataclass(kind):
    fields = [field.name for field in dataclasses.fields(kind)]
  elif issubclass(kind, tuple):
    fields = list(kind._fields)
  assert list(entries(found.get('Attributes', ''))) == fields
  for method, value in vars(kind).items():
    if not method.startswith('_') and (
      inspect.isfunction(value) or isinstance(value, property)
    ):
      assert inspect.getdoc(value), f'{method} has no docstring'


@pytest.mark.parametrize('name', sorted(MODULES))
def test_module_says_what_it_is(name):
  assert (MODULES[name].__doc__ or '').strip()


# Modules of mechanics; all others implement somebody's equations.
NO_SOURCE = {
  'bandits',
  'bandits.action_sets',
  'bandits.epochs',
  'bandits.fixed',
  'bandits.play',
  'bandits.ridge',
  'bandits.small_matrices',
  'bandits.stability',
  'fingerprints',
  'packing',
  'prefix_trees',
  'step_sampling',
  'step_tokens',
}


@pytest.mark.parametrize('name', sorted(MODULES.keys() - NO_SOURCE))
def test_module_names_the_source_of_its_equations(name):
  text = MODULES[name].__doc__
  assert re.search(
    r'\b(19|20)\d\d\b|\b\d{4}\.\d{5}\b|Assumption|Section|dynlin_ucb', text
  )


def test_every_exported_function_is_covered():
  """What can be reached from `jaxcredit` by a public name is above."""
  covered = set(FUNCTIONS.values()) | set(CLASSES.values())
  for exported in jaxcredit.__all__:
    module = getattr(jaxcredit, exported)
    for name, value in vars(module).items():
      ours = getattr(value, '__module__', '') or ''
      if name.startswith('_') or not ours.startswith('jaxcredit.algorithms'):
        continue
      if callable(value) and f'.{INTERNAL}' not in ours:
        assert value in covered, f'{exported}.{name}'


def examples(module) -> list[doctest.DocTest]:
  found = doctest.DocTestFinder(exclude_empty=True).find(module)
  return [test for test in found if test.examples]


@pytest.mark.parametrize('name', sorted(MODULES))
def test_examples_run(name):
  """Those of the functions are all found; that they fail shows in the log."""
  tests = examples(MODULES[name])
  functions = {
    f'{MODULES[name].__name__}.{function}'
    for function in defined_in(MODULES[name])
    if f'{name}.{function}' in FUNCTIONS
  }
  assert functions <= {test.name for test in tests}
  runner = doctest.DocTestRunner(
    optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
  )
  log = []
  for test in tests:
    runner.run(test, out=log.append)
  assert runner.failures == 0, ''.join(log)


# The checks themselves: each finds what it is for.

GOOD = """Doubles.

Args:
  values: float [..., S].

Returns:
  float [..., S], dtype of `values`.

Raises:
  ValueError: wrong shapes.

Example:
  >>> 1 + 1
  2
"""


def documented(docstring):
  def function(values: jax.Array) -> jax.Array:
    if values.ndim < 1:
      raise ValueError('values must have an axis')
    return 2 * values

  function.__doc__ = docstring
  return function


def test_complete_docstring_has_no_faults():
  assert faults(documented(GOOD)) == []


@pytest.mark.parametrize(
  ('old', 'new', 'fault'),
  [
    ('>>> 1 + 1\n  2', 'Try it.', 'has no example'),
    ('Example', 'Note', 'has no example'),
    ('values: float [..., S]', 'value: float [..., S]', 'has arguments'),
    ('float [..., S].', 'the values.', 'does not say the shape of values'),
    ('Returns', 'Gives', 'does not say what it returns'),
    ('float [..., S], dtype of `values`', 'the double', 'shape of what'),
    ('float [..., S], dtype of `values`', 'doubles [..., S]', 'dtype of what'),
    ('Raises', 'Errors', 'does not say what it raises'),
    (GOOD, '', 'has no docstring'),
  ],
)
def test_fault_is_found(old, new, fault):
  assert old in GOOD
  assert fault in ' '.join(faults(documented(GOOD.replace(old, new))))
