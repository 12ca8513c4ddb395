"""GiGPO: credit of episodes and of steps from the same state (2505.10978)."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit import options as options_lib
from jaxcredit.algorithms import gigpo
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register

# Sizes of anchor groups: the greatest of each class.
_CLASSES = {'1': 1, '2-4': 4, '5-9': 9, '10-49': 49, '50+': None}


@dataclasses.dataclass(frozen=True)
class Options:
  """See `jaxcredit.gigpo.advantages`."""

  discount: float = options_lib.option(0.95, 'Discount of returns.', 0.0, 1.0)
  step_weight: float = options_lib.option(
    1.0, 'Weight of the step part; 0: off.', 0.0
  )
  episode_weight: float = options_lib.option(
    1.0, 'Weight of the episode part; 0: off.', 0.0
  )
  scale: str = options_lib.option(
    'std',
    'Divide by the standard deviation, or not at all.',
    choices=('std', 'none'),
  )
  episode_statistics: str = options_lib.option(
    'trajectories',
    'Mean and deviation of the episode part over trajectories (paper) or all '
    'steps (released code).',
    choices=gigpo.EPISODE_STATISTICS,
  )
  ddof: int = options_lib.option(
    1, 'Delta degrees of freedom of deviations.', 0, 1
  )

  def __post_init__(self):
    options_lib.check(self)
    if not (self.step_weight or self.episode_weight):
      raise ValueError(
        'step_weight and episode_weight are both 0: nothing would be learned'
      )


def anchor_statistics(anchor_group: jax.Array) -> dict[str, jax.Array]:
  """Health of the anchor groups: singletons and the histogram of sizes.

  Args:
    anchor_group: int32 [P, G, S], see `gigpo.anchor_groups`.

  Returns:
    `singleton_share`: share of steps whose anchor no other step has;
    `anchor_group_sizes`: share of steps by size of their group.
  """
  groups = anchor_group.reshape(anchor_group.shape[0], -1)
  size = groups.shape[1]
  valid = groups >= 0

  def sizes(ids):
    counts = jax.ops.segment_sum(
      jnp.ones_like(ids), jnp.where(ids >= 0, ids, size), size + 1
    )
    return counts[ids]

  each = jax.vmap(sizes)(groups)
  count = jnp.maximum(valid.sum(), 1)
  shares, below = {}, 0
  for name, greatest in _CLASSES.items():
    inside = valid & (each > below)
    if greatest is not None:
      inside &= each <= greatest
      below = greatest
    shares[name] = inside.sum() / count
  return {'singleton_share': shares['1'], 'anchor_group_sizes': shares}


def credit(batch: Batch, options: Options) -> Credit:
  """GiGPO's credit with its parts."""
  t = batch.trajectories
  result = gigpo.advantages(
    t.rewards,
    t.mask,
    t.anchors,
    penalties=t.penalties,
    **dataclasses.asdict(options),
  )
  return Credit(
    result.total,
    parts={
      'episode': result.episode,
      'step': result.step,
      'anchor_group': result.anchor_group,
    },
    metrics=anchor_statistics(result.anchor_group),
  )


register(
  Method(
    name='gigpo',
    label='GiGPO',
    paper='2505.10978',
    unit='step',
    options=Options,
    credit=credit,
    standardised=True,
  )
)
