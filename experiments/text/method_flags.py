"""The method of a run: --method, and the options of each method.

Both are made from the table of methods. An option that is not given has the
default of the method. Options of other methods are ignored, so that one
flagfile serves a comparison of several.
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from experiments.run import option_flags
from jaxcredit import methods

METHOD = flags.DEFINE_enum(
  'method', 'gigpo', list(methods.TABLE), 'How credit is assigned.'
)
OPTIONS = option_flags.define_union(
  {name: method.options for name, method in methods.TABLE.items()}
)


def read() -> tuple[methods.Method, Any]:
  """The method that the flags name, and its options.

  Raises:
    ValueError: values that the options do not allow.
  """
  name = METHOD.value
  return methods.choose(name), OPTIONS.read(name)


def recorded(config: Mapping[str, Any]) -> tuple[methods.Method, Any]:
  """The method of a run that was recorded, and its options.

  Args:
    config: name of a flag -> value.
  """
  name = config['method']
  return methods.choose(name), OPTIONS.recorded(name, config)


def unused() -> str:
  """A message about options given for other methods; '' without any."""
  names = OPTIONS.unused(METHOD.value)
  if not names:
    return ''
  given = ', '.join(f'--{name}' for name in names)
  return f'not looked at by {METHOD.value}: {given}'
