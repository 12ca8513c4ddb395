"""The group-relative methods as values for the training loop."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxcredit import gigpo, reinforce_plus_plus, rloo, types

METHODS = (
  'gigpo', 'grpo', 'rloo', 'reinforce++', 'reinforce++baseline',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class CreditOptions:
  """Options of the methods; see `jaxcredit.gigpo.advantages`.

  Attributes:
    method: one of METHODS.
    discount: of the step returns (GiGPO, REINFORCE++).
    step_weight: weight of GiGPO's step part.
    episode_weight: weight of its episode part.
    scale: 'std' or 'none' (GiGPO, GRPO).
    episode_statistics: 'trajectories' or 'steps' (GiGPO, GRPO).
    ddof: delta degrees of freedom of deviations.
  """

  method: str = 'gigpo'
  discount: float = 0.95
  step_weight: float = 1.0
  episode_weight: float = 1.0
  scale: str = 'std'
  episode_statistics: str = 'trajectories'
  ddof: int = 1

  def __post_init__(self):
    if self.method not in METHODS:
      raise ValueError(
        f'method must be one of {", ".join(METHODS)}, not {self.method!r}'
      )


def gigpo_parts(
  trajectories: types.Trajectories, options: CreditOptions
) -> gigpo.Advantages:
  """GiGPO's credit with its parts, whatever the method of the run."""
  return gigpo.advantages(
    trajectories.rewards,
    trajectories.mask,
    trajectories.anchors,
    penalties=trajectories.penalties,
    discount=options.discount,
    step_weight=options.step_weight,
    episode_weight=options.episode_weight,
    scale=options.scale,
    episode_statistics=options.episode_statistics,
    ddof=options.ddof,
  )


def grpo_credit(
  trajectories: types.Trajectories, options: CreditOptions
) -> jax.Array:
  """GRPO's credit: GiGPO without the step part, Eq. 8 with omega = 0."""
  only_episode = dataclasses.replace(
    options, step_weight=0.0, episode_weight=1.0
  )
  return gigpo_parts(trajectories, only_episode).total


def make_credit(
  options: CreditOptions,
) -> Callable[[types.Trajectories], jax.Array]:
  """Returns `Trajectories [P, G, S] -> advantages [P, G, S]`."""

  def gigpo_credit(trajectories):
    return gigpo_parts(trajectories, options).total

  def rloo_credit(trajectories):
    scores = jnp.where(trajectories.mask, trajectories.rewards, 0).sum(-1)
    credit = rloo.advantages(scores, trajectories.mask.any(-1))[..., None]
    return jnp.where(trajectories.mask, credit - trajectories.penalties, 0)

  def reinforce_credit(trajectories):
    return reinforce_plus_plus.advantages(
      trajectories.rewards - trajectories.penalties,
      trajectories.mask,
      discount=options.discount,
      ddof=options.ddof,
    )

  def baseline_credit(trajectories):
    return reinforce_plus_plus.baseline_advantages(
      trajectories.rewards - trajectories.penalties,
      trajectories.mask,
      ddof=options.ddof,
    )

  return {
    'gigpo': gigpo_credit,
    'grpo': lambda trajectories: grpo_credit(trajectories, options),
    'rloo': rloo_credit,
    'reinforce++': reinforce_credit,
    'reinforce++baseline': baseline_credit,
  }[options.method]
