"""Where parameters and activations lie on a mesh ("data", "fsdp", "tensor").

One table maps patterns of parameter paths to axes. Matrices are cut over
"fsdp" on the side of the residual stream and over "tensor" on the other; rows
of a batch are cut over "data" and "fsdp" together. A mesh must divide the
parameters that it cuts; activations that it does not divide are left whole.
"""

import contextlib
import math
import re
from collections.abc import Sequence

import jax
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ('data', 'fsdp', 'tensor')

# Path pattern -> axes of the parameter's last dimensions (a leading layer
# dimension is never cut), for a decoder and its adapters. Heads bring rules of
# their own; `heads.RULES` are all.
RULES = (
  (r'embedder/embedding$', ('tensor', 'fsdp')),
  (r'head/kernel$', ('fsdp', 'tensor')),
  (r'layers/(q|k|v|gate|up)/kernel$', ('fsdp', 'tensor')),
  (r'layers/(o|down)/kernel$', ('tensor', 'fsdp')),
  (r'layers/(q|k|v)/bias$', ('tensor',)),
  (r'layers/o/bias$', (None,)),
  (r'norm/scale$', (None,)),
  (r'layers/(q|k|v|gate|up)/lora_a$', ('fsdp', None)),
  (r'layers/(q|k|v|gate|up)/lora_b$', (None, 'tensor')),
  (r'layers/(o|down)/lora_a$', ('tensor', None)),
  (r'layers/(o|down)/lora_b$', (None, 'fsdp')),
)

# What `gather` collects, for the policies of `jax.checkpoint`.
GATHERED = 'gathered over fsdp'

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


def make_mesh_of_all(data: int = 1, fsdp: int = 1, tensor: int = 1) -> Mesh:
  """A mesh of all devices of all processes.

  Args:
    data: as for `make_mesh`; 1 stands for all that the other two leave.
    fsdp: likewise, but for the 1.
    tensor: likewise.

  Raises:
    ValueError: devices would be left out, or there are fewer.
  """
  count = jax.device_count()
  if data == 1:
    data = max(count // (fsdp * tensor), 1)
  if data * fsdp * tensor < count:
    raise ValueError(
      f'a mesh of {data} x {fsdp} x {tensor} leaves out some of the {count} '
      f'devices of {jax.process_count()} processes: choose sizes whose product '
      f'is {count}'
    )
  return make_mesh(data, fsdp, tensor)


def make_local_mesh(mesh: Mesh) -> Mesh | None:
  """A mesh of this process's devices, like one that spans several processes.

  Args:
    mesh: of all processes.

  Returns:
    One that is cut over "tensor" and "fsdp" as `mesh` is, as far as the process
    has devices for it; None where it has one.
  """
  devices = mesh.local_devices
  tensor = math.gcd(mesh.shape['tensor'], len(devices))
  fsdp = math.gcd(mesh.shape['fsdp'], len(devices) // tensor)
  if len(devices) == 1:
    return None
  return Mesh(
    np.array(devices).reshape(-1, fsdp, tensor),
    AXES,
    axis_types=(AxisType.Auto,) * 3,
  )


def on(mesh: Mesh | None) -> contextlib.AbstractContextManager:
  """Sets a mesh for the programs within; None leaves things as they are."""
  return contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh)


def place(params, mesh: Mesh | None, rules: Rules = RULES):
  """Puts parameters onto a mesh, if there is one, as the rules say.

  Raises:
    ValueError: the mesh does not divide a parameter; it is named.
  """
  if mesh is None:
    return params
  where = shardings(params, mesh, rules)
  if mesh.is_multi_process:
    return jax.tree.map(_place_part, params, where)
  return jax.device_put(params, where)


def _place_part(x, where: NamedSharding) -> jax.Array:
  """The part of a parameter that lies on this process's devices.

  Each process has the whole, or an array that lies on the mesh already: nothing
  is sent to compare them.
  """
  if isinstance(x, jax.Array) and not x.is_fully_addressable:
    return jax.device_put(x, where)
  x = np.asarray(x)
  return jax.make_array_from_callback(x.shape, where, x.__getitem__)


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
    spec = spec_of(_name(path), leaf.shape, mesh, rules, strict=strict)
    return NamedSharding(mesh, _shortest(spec, mesh))

  return jax.tree_util.tree_map_with_path(one, params)


def _shortest(spec: PartitionSpec, mesh: Mesh) -> PartitionSpec:
  """The same without what cuts nothing, which is how the compiler puts it.

  Arrays that come out of a program then lie as those that went in, by name as
  well, and the program is not compiled again for them.
  """
  axes = []
  for axis in spec:
    names = (axis,) if isinstance(axis, str) else axis or ()
    names = tuple(name for name in names if mesh.shape[name] > 1)
    axes.append(names[0] if len(names) == 1 else names or None)
  while axes and axes[-1] is None:
    axes.pop()
  return PartitionSpec(*axes)


def _name(path) -> str:
  return '/'.join(str(key.key) for key in path)


def _collect(x, cut, whole):
  """Lays x out whole; its cotangent whole as well, and then cut.

  Whole first: the devices' parts of the sum are made of their own rows, and the
  compiler is not tempted to cut the activations as the parameter is.
  """
  x = jax.lax.with_sharding_constraint(x, cut)
  return jax.lax.with_sharding_constraint(x, whole)


def gathers() -> bool:
  """Whether the current mesh cuts parameters over "fsdp"."""
  mesh = current_mesh()
  return mesh is not None and mesh.shape['fsdp'] > 1


def gather(params, dtype, prefix: str = ''):
  """Collects what "fsdp" has cut of parameters that are about to be used.

  Said out loud, since the compiler is free to collect the activations instead,
  which are larger. The gradient is cut again as the parameter was. For one
  layer at a time: what is collected is named GATHERED, so that a backward pass
  collects it anew instead of keeping all layers.

  Args:
    params: a tree of parameters (of one layer, say).
    dtype: they are collected in this dtype, in which they are used.
    prefix: path of the tree, such as 'layers/'.

  Returns:
    The tree; as it was where no mesh is set that cuts over "fsdp".
  """
  if not gathers():
    return params
  mesh = current_mesh()

  def one(path, leaf):
    cut = spec_of(prefix + _name(path), leaf.shape, mesh, strict=False)
    whole = PartitionSpec(*(None if a == 'fsdp' else a for a in cut))
    if whole == cut:
      return leaf
    return checkpoint_name(_collect(leaf.astype(dtype), cut, whole), GATHERED)

  return jax.tree_util.tree_map_with_path(one, params)


def keep_all_but_gathered(primitive, *unused, **options) -> bool:
  """A policy of `jax.checkpoint`: whether a result is kept.

  What a constraint gives out is not kept either, since that is what `gather`
  names: the backward pass makes it anew from what went in.
  """
  del unused
  if primitive.name == 'name':
    return options['name'] != GATHERED
  return primitive.name != 'sharding_constraint'


def _axes(dimension: str | None) -> tuple[str, ...]:
  axes = _ACTIVATIONS[dimension]
  return (axes,) if isinstance(axes, str) else axes or ()


def current_mesh():
  """The mesh that is set (`jax.set_mesh`), if it has our axes; else None."""
  mesh = jax.sharding.get_abstract_mesh()
  return None if mesh.empty or not set(AXES) <= set(mesh.axis_names) else mesh


def parts(dimension: str, size: int) -> int:
  """How many parts the current mesh cuts an activation's dimension into.

  Args:
    dimension: its name, as for `constrain`.
    size: of the dimension.

  Returns:
    1 where no mesh is set, or where it does not divide the size.
  """
  mesh = current_mesh()
  if mesh is None:
    return 1
  count = math.prod(mesh.shape[axis] for axis in _axes(dimension))
  return 1 if size % count else count


def axes(dimension: str, size: int) -> tuple[str, ...] | None:
  """The mesh axes that cut an activation's dimension; see `parts`."""
  return _axes(dimension) if parts(dimension, size) > 1 else None


def constrain(x: jax.Array, *dimensions: str | None) -> jax.Array:
  """Constrains an activation where a mesh is set (`jax.set_mesh`).

  Args:
    x: the activation.
    *dimensions: name of each dimension, 'batch', 'heads', 'hidden',
      'vocabulary' or None.
  """
  if current_mesh() is None:
    return x
  spec = [
    axes(name, size) for size, name in zip(x.shape, dimensions, strict=True)
  ]
  return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))
