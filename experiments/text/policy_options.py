"""How a policy computes, where it lies, and what of it is learned."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxcredit.distributed import processes
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, sharding, weights
from jaxcredit.training import learner as learner_lib


@dataclasses.dataclass(frozen=True)
class PolicyOptions:
  """Options of a policy beside its sizes. Flags have the same names.

  Attributes:
    compute_dtype: of activations; 'auto' is bfloat16 for a pretrained model
      and float32 for one that is trained from nothing. Parameters are float32.
    remat: whether the backward pass computes each block again; None: for a
      pretrained model.
    mesh_data: devices that share out the rows; with several processes, 1 stands
      for all that the other two leave.
    mesh_fsdp: devices that share out rows and parameters.
    mesh_tensor: devices that share out the parts of each product.
    lora_rank: rank of the adapters that are learned in place of the
      parameters; 0: the parameters themselves are learned.
    lora_alpha: the adapters' product is scaled by lora_alpha / lora_rank.
    lora_targets: patterns of the projections that have adapters.
  """

  compute_dtype: str = 'auto'
  remat: bool | None = None
  mesh_data: int = 1
  mesh_fsdp: int = 1
  mesh_tensor: int = 1
  lora_rank: int = 0
  lora_alpha: float = 16.0
  lora_targets: tuple[str, ...] = ('.*',)

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
    """A configuration with what these options say out loud."""
    changes: dict[str, Any] = {}
    if self.compute_dtype != 'auto':
      changes['compute_dtype'] = self.compute_dtype
    if self.remat is not None:
      changes['remat'] = self.remat
    return dataclasses.replace(config, **changes)

  @functools.cached_property
  def mesh(self) -> jax.sharding.Mesh | None:
    """The mesh; None where one device is all.

    Raises:
      ValueError: there are fewer devices, or some would be left out.
    """
    sizes = (self.mesh_data, self.mesh_fsdp, self.mesh_tensor)
    if processes.count() > 1:
      return sharding.make_mesh_of_all(*sizes)
    return None if sizes == (1, 1, 1) else sharding.make_mesh(*sizes)

  @property
  def lora(self) -> lora.LoraOptions | None:
    """Options of the adapters; None where there are none."""
    if not self.lora_rank:
      return None
    return lora.LoraOptions(self.lora_rank, self.lora_alpha, self.lora_targets)

  def load(self, path: str) -> tuple[decoder.Params, config_lib.DecoderConfig]:
    """Reads a pretrained model, straight onto the mesh."""
    return weights.from_pretrained(path, self.mesh, **self.computing(True))

  def place(self, params: decoder.Params) -> decoder.Params:
    """Puts parameters onto the mesh."""
    return sharding.place(params, self.mesh)


@dataclasses.dataclass(frozen=True)
class Learned:
  """What of a policy is learned: its parameters, or adapters beside them.

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
  """Chooses what is learned.

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
