"""What every public function does before it computes.

`function` compiles a function where it is defined, and puts in front of it what
has to happen before values are traced: lists become arrays, options and masks
are checked, keywords of the version before are translated. The signature that
`help` shows is the function's own, and its options are written once.
"""

import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from jaxcredit.algorithms.internal import (
  arguments,
  explicit_axes,
  integer_words,
)

# Bounds of options that recur, whatever the function.
_RANGES = {
  'discount': {'low': 0, 'high': 1},
  'gae_lambda': {'low': 0, 'high': 1},
}
_MASKS = frozenset({'mask', 'environment', 'terminated', 'truncated'})


def function(
  *,
  static: Sequence[str] = (),
  words: Sequence[str] = (),
  ranges: Mapping[str, Mapping[str, float]] | None = None,
  renamed: Mapping[str, str] | None = None,
  any_mesh: bool = True,
) -> Callable[[Callable], Callable]:
  """Decorates a public function of arrays.

  Args:
    static: names of options that are compiled in.
    words: names of arguments that hold names of things, as integers, and of
      which no bit may be lost.
    ranges: what `arguments.number` is to check of options that may change
      without a compilation. For `discount` and `gae_lambda` that is known.
    renamed: keyword of the version before -> the argument's name.
    any_mesh: whether the function needs `explicit_axes.under_any_mesh`.

  Returns:
    A decorator. The function may be called with arrays, lists, numbers and
    dataclasses of arrays, traced or not, on any mesh.
  """
  bounds = _RANGES | dict(ranges or {})
  static, words = frozenset(static), frozenset(words)

  def prepared(name, value):
    if value is None or isinstance(value, jax.core.Tracer):
      return value
    if name in static:
      return _option(name, value)
    if dataclasses.is_dataclass(value):
      return value
    if name in words:
      return integer_words.whole(name, value)
    value = arguments.numbers(name, value)
    if name in _MASKS:
      arguments.mask_values(name, value)
    if name in bounds:
      arguments.number(name, value, **bounds[name])
    return value

  def decorate(plain):
    signature = inspect.signature(plain)
    compiled = jax.jit(plain, static_argnames=tuple(static))
    if any_mesh:
      compiled = explicit_axes.under_any_mesh(compiled)

    @functools.wraps(plain)
    def public(*args, **kwargs):
      bound = signature.bind(*args, **kwargs)
      for name, value in bound.arguments.items():
        bound.arguments[name] = prepared(name, value)
      return compiled(*bound.args, **bound.kwargs)

    return renamed_keywords(renamed)(public) if renamed else public

  return decorate


def renamed_keywords(names: Mapping[str, str]) -> Callable:
  """Decorates a function that still takes keywords of the version before.

  Args:
    names: old keyword -> new one.
  """

  def decorate(plain):
    @functools.wraps(plain)
    def public(*args, **kwargs):
      for old, new in names.items():
        if old in kwargs:
          if new in kwargs:
            raise ValueError(f'{old} and {new} are one argument: give {new}')
          warnings.warn(
            f'{plain.__module__.rpartition(".")[2]}.{plain.__name__}: the '
            f'keyword {old} is called {new} now, and will go in the next '
            'version',
            DeprecationWarning,
            stacklevel=2,
          )
          kwargs[new] = kwargs.pop(old)
      return plain(*args, **kwargs)

    public.renamed = dict(names)
    return public

  return decorate


def _option(name, value):
  """A static option as a plain value of Python's."""
  if isinstance(value, (np.generic, np.ndarray, jax.Array)):
    if np.ndim(value):
      raise ValueError(
        f'{name} must be one value, but has shape {np.shape(value)}'
      )
    value = value.item()
  try:
    hash(value)
  except TypeError:
    raise ValueError(f'{name} must be one value, not {value!r}') from None
  return value
