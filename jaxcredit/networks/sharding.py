"""Where parameters and activations lie on a mesh ("data", "fsdp", "tensor").

One table maps patterns of parameter paths to axes. Matrices are cut over
"fsdp" on the side of the residual stream and over "tensor" on the other; rows
of a batch are cut over "data" and "fsdp" together. An axis that does not divide
a dimension is left out there, so that small models run on any mesh.
"""

import re

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
  (r'norm/scale$', (None,)),
)

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


def spec_of(path: str, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
  """The axes of one parameter.

  Args:
    path: keys joined by '/', such as 'layers/q/kernel'.
    shape: of the parameter.
    mesh: with the axes of AXES.

  Raises:
    ValueError: no rule fits, so that a new parameter cannot be forgotten.
  """
  for pattern, axes in RULES:
    if re.search(pattern, path):
      axes = (None,) * (len(shape) - len(axes)) + axes
      return PartitionSpec(
        *(
          axis if axis and size % mesh.shape[axis] == 0 else None
          for axis, size in zip(axes, shape, strict=True)
        )
      )
  raise ValueError(f'no sharding rule fits the parameter {path!r}')


def shardings(params, mesh: Mesh):
  """A tree of NamedSharding for a tree of parameters (or their shapes)."""

  def one(path, leaf):
    name = '/'.join(str(key.key) for key in path)
    return NamedSharding(mesh, spec_of(name, leaf.shape, mesh))

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
