"""Where parameters and activations lie on a mesh ("data", "fsdp", "tensor").

One table maps patterns of parameter paths to axes. Matrices are cut over
"fsdp" on the side of the residual stream and over "tensor" on the other; rows
of a batch are cut over "data" and "fsdp" together. A mesh must divide the
parameters that it cuts; activations that it does not divide are left whole.
"""

import math
import re
from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ('data', 'fsdp', 'tensor')

# Path pattern -> axes of the parameter's last dimensions (a leading layer
# dimension is never cut).
RULES = (
  (r'embedder/embedding$', ('tensor', 'fsdp')),
  (r'head/kernel$', ('fsdp', 'tensor')),
  (r'layers/(q|k|v|gate|up)/kernel$', ('fsdp', 'tensor')),
  (r'layers/(o|down)/kernel$', ('tensor', 'fsdp')),
  (r'layers/(q|k|v)/bias$', ('tensor',)),
  (r'layers/o/bias$', (None,)),
  (r'norm/scale$', (None,)),
)

Rules = Sequence[tuple[str, tuple[str | tuple[str, ...] | None, ...]]]

# Names of activation dimensions -> mesh axes.
_ACTIVATIONS = {
  'batch': ('data', 'fsdp'),
  'heads': 'tensor',
  'hidden': 'tensor',
  'vocabulary': 'tensor',
  None: None,
}


def make_mesh(data: int = 1, fsdp: int = 1, tensor: int = 1) -> Mesh:
  """A mesh over the first data * fsdp * tensor devices, axes of type Auto.

  jax.make_mesh defaults to Explicit axes, under which gathers from a sharded
  vocabulary raise.
  """
  count = data * fsdp * tensor
  if count > jax.device_count():
    raise ValueError(
      f'a mesh of {data} x {fsdp} x {tensor} needs {count} devices, but '
      f'there are {jax.device_count()}'
    )
  return jax.make_mesh(
    (data, fsdp, tensor),
    AXES,
    axis_types=(AxisType.Auto,) * 3,
    devices=jax.devices()[:count],
  )


def spec_of(
  path: str,
  shape: tuple[int, ...],
  mesh: Mesh,
  rules: Rules = RULES,
  *,
  strict: bool = True,
) -> PartitionSpec:
  """The axes of one parameter.

  Args:
    path: keys joined by '/', such as 'layers/q/kernel'.
    shape: of the parameter.
    mesh: with the axes that the rules name.
    rules: (pattern of the path, axes of the last dimensions); the first that
      fits counts.
    strict: whether an axis that does not divide its dimension is an error; if
      not, the dimension is left whole.

  Raises:
    ValueError: no rule fits, so that a new parameter cannot be forgotten; or
      the mesh does not divide a dimension.
  """
  fitting = [axes for pattern, axes in rules if re.search(pattern, path)]
  if not fitting:
    raise ValueError(f'no sharding rule fits the parameter {path!r}')
  axes = (None,) * (len(shape) - len(fitting[0])) + tuple(fitting[0])
  spec = []
  for number, (axis, size) in enumerate(zip(axes, shape, strict=True)):
    names = (axis,) if isinstance(axis, str) else axis or ()
    parts = math.prod(mesh.shape[name] for name in names)
    if size % parts and strict:
      raise ValueError(
        f'the mesh axis {axis!r} ({parts} devices) does not divide dimension '
        f'{number} ({size}) of the parameter {path!r} {list(shape)}: choose '
        f'a mesh whose {axis!r} divides {size}, or give rules that leave this '
        'dimension whole'
      )
    spec.append(None if size % parts else axis)
  return PartitionSpec(*spec)


def shardings(params, mesh: Mesh, rules: Rules = RULES, *, strict: bool = True):
  """A tree of NamedSharding for a tree of parameters (or their shapes).

  Args:
    params: as `decoder.init` makes them.
    mesh: of the devices.
    rules: as for `spec_of`.
    strict: as for `spec_of`.
  """

  def one(path, leaf):
    name = '/'.join(str(key.key) for key in path)
    spec = spec_of(name, leaf.shape, mesh, rules, strict=strict)
    return NamedSharding(mesh, spec)

  return jax.tree_util.tree_map_with_path(one, params)


def constrain(x: jax.Array, *dimensions: str | None) -> jax.Array:
  """Constrains an activation where a mesh is set (`jax.set_mesh`).

  Args:
    x: the activation.
    *dimensions: name of each dimension, 'batch', 'heads', 'hidden',
      'vocabulary' or None.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or not set(AXES) <= set(mesh.axis_names):
    return x
  spec = []
  for size, name in zip(x.shape, dimensions, strict=True):
    axes = _ACTIVATIONS[name]
    parts = 1
    for axis in (axes,) if isinstance(axes, str) else axes or ():
      parts *= mesh.shape[axis]
    spec.append(axes if size % parts == 0 else None)
  return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))
