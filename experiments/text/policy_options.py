"""Sizes, precision, mesh and adapters of a policy."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxcredit import options as options_lib
from jaxcredit.distributed import processes
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, sharding, weights
from jaxcredit.training import learner as learner_lib


@dataclasses.dataclass(frozen=True)
class SizeOptions:
  """Sizes of a policy that is trained from scratch."""

  width: int = options_lib.option(128, 'Hidden size.', 1)
  layers: int = options_lib.option(3, 'Decoder blocks.', 1)
  heads: int = options_lib.option(4, 'Query heads.', 1)
  kv_heads: int = options_lib.option(2, 'Key/value heads.', 1)
  head_dim: int = options_lib.option(32, 'Size of a head.', 2)
  hidden: int = options_lib.option(384, 'Intermediate size of the MLP.', 1)

  def __post_init__(self):
    options_lib.check(self)
    if self.heads % self.kv_heads:
      raise ValueError(
        f'--kv_heads must divide --heads, and {self.kv_heads} does not divide '
        f'{self.heads}'
      )
    if self.head_dim % 2:
      raise ValueError(
        f'--head_dim must be even, for rotary positions, not {self.head_dim}'
      )


@dataclasses.dataclass(frozen=True)
class PolicyOptions:
  """Precision, mesh and adapters of a policy.

  Parameters are float32. With several processes a `mesh_data` of 1 stands for
  all devices that the other two leave.
  """

  compute_dtype: str = options_lib.option(
    'auto',
    'Type of activations; auto is bfloat16 for a pretrained model, else '
    'float32.',
    choices=('auto', 'float32', 'bfloat16'),
  )
  remat: bool | None = options_lib.option(
    None,
    'Recompute each block in the backward pass, which saves memory; by default '
    'only for a pretrained model.',
  )
  mesh_data: int = options_lib.option(
    1, 'Devices over which rows are sharded.', 1
  )
  mesh_fsdp: int = options_lib.option(
    1, 'Devices over which rows and parameters are sharded.', 1
  )
  mesh_tensor: int = options_lib.option(1, 'Devices of tensor parallelism.', 1)
  lora_rank: int = options_lib.option(
    0,
    'LoRA rank; 0 trains all parameters, as the warm start always does.',
    0,
  )
  lora_alpha: float = options_lib.option(
    16.0, 'LoRA alpha: adapters are scaled by alpha / rank.', above=0.0
  )
  lora_targets: tuple[str, ...] = options_lib.option(
    ('.*',),
    'Patterns of the projections with adapters (q, k, v, o, gate, up, down).',
  )

  __post_init__ = options_lib.check

  def check(self) -> None:
    """Raises ValueError for a mesh or adapters that cannot be."""
    _ = self.mesh, self.lora

  def vocabulary(self, tokens: int) -> int:
    """Tokens of a new policy: those of its tokenizer, up to what is cut."""
    return -(-tokens // self.mesh_tensor) * self.mesh_tensor

  def computing(self, pretrained: bool) -> dict[str, Any]:
    """The fields of `DecoderConfig` that these options set."""
    dtype, remat = self.compute_dtype, self.remat
    if dtype == 'auto':
      dtype = 'bfloat16' if pretrained else 'float32'
    return {
      'compute_dtype': dtype,
      'remat': pretrained if remat is None else remat,
    }

  def onto(self, config: config_lib.DecoderConfig) -> config_lib.DecoderConfig:
    """A configuration with the options that were given explicitly."""
    changes: dict[str, Any] = {}
    if self.compute_dtype != 'auto':
      changes['compute_dtype'] = self.compute_dtype
    if self.remat is not None:
      changes['remat'] = self.remat
    return dataclasses.replace(config, **changes)

  @functools.cached_property
  def mesh(self) -> jax.sharding.Mesh | None:
    """The mesh; None for a single device.

    Raises:
      ValueError: there are fewer devices, or some would be left out.
    """
    sizes = (self.mesh_data, self.mesh_fsdp, self.mesh_tensor)
    if processes.count() > 1:
      return sharding.make_mesh_of_all(*sizes)
    return None if sizes == (1, 1, 1) else sharding.make_mesh(*sizes)

  @property
  def lora(self) -> lora.LoraOptions | None:
    """Options of the adapters; None without adapters."""
    if not self.lora_rank:
      return None
    return lora.LoraOptions(self.lora_rank, self.lora_alpha, self.lora_targets)

  def load(self, path: str) -> tuple[decoder.Params, config_lib.DecoderConfig]:
    """Reads a pretrained model directly onto the mesh."""
    return weights.from_pretrained(path, self.mesh, **self.computing(True))

  def place(self, params: decoder.Params) -> decoder.Params:
    """Puts parameters onto the mesh."""
    return sharding.place(params, self.mesh)


@dataclasses.dataclass(frozen=True)
class Learned:
  """The learned parameters of a policy: all of them, or adapters.

  Attributes:
    params: that the learner begins with, to be donated.
    reference: parameters of the policy as it begins, for `Learner.update`;
      None where nothing needs them.
    loss: for the learner.
    policy: learned parameters -> those that play.
  """

  params: Any
  reference: decoder.Params | None
  loss: learner_lib.LossFunction
  policy: Callable[[Any], decoder.Params]


def learned(
  options: PolicyOptions,
  params: decoder.Params,
  loss: learner_lib.LossFunction,
  *,
  keep_reference: bool,
  seed: int,
) -> Learned:
  """Chooses the learned parameters.

  Args:
    options: of the policy.
    params: that it begins with.
    loss: of parameters.
    keep_reference: whether the loss compares with the policy as it begins.
    seed: of the adapters.
  """
  adapters = options.lora
  if adapters is None:
    reference = None
    if keep_reference:
      # The parameters themselves are donated to the learner.
      reference = jax.tree.map(lambda x: x.copy(), params)
    return Learned(params, reference, loss, lambda params: params)
  merge = jax.jit(lora.merge, static_argnums=2)
  return Learned(
    lora.init(jax.random.fold_in(jax.random.key(seed), 3), params, adapters),
    params,
    lora.adapted(loss, adapters),
    lambda learned: merge(params, learned, adapters),
  )
