"""The array functions of the language, by their names in `jnp`.

None makes an array from a shape, none has a state, reads or writes anything,
or calls what it is given.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

# Arguments that are numbers, tuples of numbers or booleans, never arrays.
STATIC = frozenset({'axis', 'keepdims', 'ord', 'shape', 'ddof'})
# Arguments that are lists of arrays.
LISTS = frozenset({'arrays', 'object'})

CONSTANTS = {'pi': math.pi, 'e': math.e, 'inf': math.inf}


@dataclasses.dataclass(frozen=True)
class Operation:
  """A function and how it is called.

  Attributes:
    function: of jax.numpy.
    arguments: names, in their order.
    required: how many of them a call must give.
  """

  function: Callable[..., Any]
  arguments: tuple[str, ...]
  required: int


def _norm(x, ord=None, axis=None, keepdims=False):
  return jnp.linalg.norm(x, ord, axis, keepdims)


def _stack(arrays, axis=0):
  return jnp.stack(arrays, axis)


def _concatenate(arrays, axis=0):
  return jnp.concatenate(arrays, axis)


def _array(object):
  return jnp.stack([jnp.asarray(x, float) for x in object])


def _clip(x, min=None, max=None):
  return jnp.clip(x, min, max)


def _sort(x, axis=-1):
  return jnp.sort(x, axis=axis)


_UNARY = (
  'abs absolute sqrt square exp expm1 log log1p sign sin cos tan arcsin arccos '
  'arctan sinh cosh tanh floor ceil logical_not negative zeros_like ones_like'
).split()
_BINARY = (
  'maximum minimum arctan2 hypot power add subtract multiply divide '
  'logical_and logical_or dot'
).split()
_REDUCTIONS = 'sum mean max min prod any all'.split()

TABLE = {
  **{n: Operation(getattr(jnp, n), ('x',), 1) for n in _UNARY},
  **{n: Operation(getattr(jnp, n), ('x', 'y'), 2) for n in _BINARY},
  **{
    n: Operation(getattr(jnp, n), ('a', 'axis', 'keepdims'), 1)
    for n in _REDUCTIONS
  },
  'where': Operation(jnp.where, ('condition', 'x', 'y'), 3),
  'clip': Operation(_clip, ('x', 'min', 'max'), 1),
  'stack': Operation(_stack, ('arrays', 'axis'), 1),
  'concatenate': Operation(_concatenate, ('arrays', 'axis'), 1),
  'array': Operation(_array, ('object',), 1),
  'sort': Operation(_sort, ('x', 'axis'), 1),
  'reshape': Operation(jnp.reshape, ('a', 'shape'), 2),
  'expand_dims': Operation(jnp.expand_dims, ('a', 'axis'), 2),
  'squeeze': Operation(jnp.squeeze, ('a', 'axis'), 1),
  'linalg.norm': Operation(_norm, ('x', 'ord', 'axis', 'keepdims'), 1),
}

# What an array can be asked for by a dot: x.sum(axis=1).
METHODS = frozenset({'sum', 'mean', 'max', 'min', 'reshape', 'squeeze', 'clip'})

NAMES = tuple(sorted(TABLE))
