"""The table of methods."""

import contextlib
import difflib
import types
from collections.abc import Iterator, Mapping

from jaxcredit.methods.method import Method

# The method with which pictures compare others.
BASELINE = 'grpo'

_METHODS: dict[str, Method] = {}
# Name -> method, in the order of the names of their files.
TABLE: Mapping[str, Method] = types.MappingProxyType(_METHODS)


def register(method: Method) -> Method:
  """Adds a method to the table.

  Raises:
    ValueError: another method has this name.
  """
  if _METHODS.get(method.name, method) != method:
    raise ValueError(f'there is a method {method.name!r} already')
  _METHODS[method.name] = method
  return method


@contextlib.contextmanager
def registered(method: Method) -> Iterator[Method]:
  """Adds a method to the table for the duration of a `with` block."""
  register(method)
  try:
    yield method
  finally:
    del _METHODS[method.name]


def choose(name: str) -> Method:
  """The method with a name.

  Raises:
    ValueError: there is none; the message lists the methods.
  """
  if name in TABLE:
    return TABLE[name]
  near = difflib.get_close_matches(name, TABLE, n=1)
  hint = f'; did you mean {near[0]!r}?' if near else '.'
  raise ValueError(
    f'there is no method {name!r}{hint} Methods are {", ".join(TABLE)}'
  )
