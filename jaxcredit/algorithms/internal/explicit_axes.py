"""Lets the functions of this library run under meshes with Explicit axes.

Under Explicit axes (the default of `jax.make_mesh`) gathers, segment sums and
contractions over a sharded axis raise unless each is told its output sharding.
The functions here treat groups alike and never mix leading axes but to sum over
all of them, so one rule does: inside, the compiler decides as under Auto axes;
outside, what has the leading axes of the first argument is sharded like it.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec


def under_any_mesh(function: Callable) -> Callable:
  """Decorates a function so that it accepts arrays under Explicit axes.

  The first positional argument is an array, or a dataclass whose first leaf is
  one; results are arrays. Under such a mesh shapes are evaluated once more at
  each trace.
  """

  @functools.wraps(function)
  def wrapper(*args, **kwargs):
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or AxisType.Explicit not in mesh.axis_types:
      return function(*args, **kwargs)
    first = jnp.asarray(jax.tree.leaves(args[0])[0])
    spec = tuple(jax.typeof(first).sharding.spec)
    spec += (None,) * (first.ndim - len(spec))
    leaves, tree = jax.tree.flatten((args, kwargs))
    traced = [_is_array(leaf) for leaf in leaves]
    arrays = [x for x, is_array in zip(leaves, traced, strict=True) if is_array]

    def inner(arrays):
      rest = iter(arrays)
      given = [
        next(rest) if is_array else leaf
        for leaf, is_array in zip(leaves, traced, strict=True)
      ]
      args, kwargs = jax.tree.unflatten(tree, given)
      return function(*args, **kwargs)

    def out_spec(leaf):
      shared = 0
      for ours, theirs in zip(leaf.shape, first.shape, strict=False):
        if ours != theirs:
          break
        shared += 1
      axes = spec[:shared] + (None,) * (leaf.ndim - shared)
      return PartitionSpec(*axes)

    # Shapes only: sharding plays no part in them.
    blank = [
      jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)) for x in arrays
    ]
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
      shapes = jax.eval_shape(inner, blank)
    automatic = jax.sharding.auto_axes(
      inner, out_sharding=jax.tree.map(out_spec, shapes)
    )
    return automatic(arrays)

  return wrapper


def _is_array(value) -> bool:
  return isinstance(value, jax.Array) or hasattr(value, '__array__')
