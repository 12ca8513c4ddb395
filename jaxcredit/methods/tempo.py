"""TEMPO: credit of tokens from the tree of a group's prefixes (2509.18314)."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit import options as options_lib
from jaxcredit.algorithms import prefix_trees, tempo
from jaxcredit.methods import arrays
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register


@dataclasses.dataclass(frozen=True)
class Options:
  """See `jaxcredit.tempo.advantages`."""

  scale: str = options_lib.option(
    'std',
    'Divide by the standard deviation, or not at all.',
    choices=('std', 'none'),
  )
  nodes: str = options_lib.option(
    'tokens',
    'Nodes of the prefix tree: tokens or steps.',
    choices=('tokens', 'steps'),
  )
  td_weight: float = options_lib.option(
    1.0, 'Weight of the TD term; 0: off.', 0.0
  )
  ended: str = options_lib.option(
    'leaves',
    'Whether a response that has ended leaves the set of those that continue '
    'it, or stays.',
    choices=tempo.ENDED,
  )
  after_environment: str = options_lib.option(
    'resume',
    'Whether credit resumes after tokens of the environment, or stops there '
    '(released code).',
    choices=tempo.AFTER_ENVIRONMENT,
  )

  __post_init__ = options_lib.check


def branch_points(tokens: jax.Array, sampled: jax.Array) -> jax.Array:
  """Counts the prefixes of a group after which its responses differ.

  Two rows with a common prefix of t tokens branch there if the policy sampled
  the next token in both. A prefix is identified by the first row that has it
  and by its length, and counts once.

  Args:
    tokens: int32 [..., G, L].
    sampled: bool [..., G, L], tokens of the policy.

  Returns:
    int32 [...].
  """
  size = tokens.shape[-1]
  length = prefix_trees.row_lengths(sampled)
  present = jnp.arange(size) < length[..., None]
  shared = prefix_trees.common_prefixes(tokens, present)
  edge = [(0, 0)] * (sampled.ndim - 1)
  own = jnp.take_along_axis(
    jnp.pad(sampled, (*edge, (0, 1))), jnp.maximum(shared, 0), axis=-1
  )
  parts = (shared >= 0) & own & jnp.swapaxes(own, -1, -2)
  # Row k has the prefix of rows i and j.
  has = shared[..., :, :, None] >= shared[..., None, :, :]
  name = jnp.argmax(has, axis=-3) * (size + 1) + shared
  names = jnp.where(parts, name, -1).reshape(*parts.shape[:-2], -1)
  names = jnp.sort(names, axis=-1)
  return jnp.sum((names[..., 1:] != names[..., :-1]), axis=-1)


def _tree_metrics(batch: Batch, parts: tempo.Advantages) -> dict:
  """How much of a tree the groups are.

  Returns:
    branch_share: share of sampled tokens at which a response leaves others;
    branch_points: prefixes of a group behind which responses differ, in the
    mean; td_share: mean absolute TD term at branch tokens, in units of the mean
    absolute difference of a return from its group's mean.
  """
  sampled, scores = arrays.sampled(batch), arrays.scores(batch)
  taken = sampled.any(axis=-1)
  count = jnp.maximum(taken.sum(axis=-1, keepdims=True), 1)
  mean = jnp.where(taken, scores, 0).sum(axis=-1, keepdims=True) / count
  relative = jnp.where(taken, jnp.abs(scores - mean), 0).sum() / jnp.maximum(
    taken.sum(), 1
  )
  branches = parts.branch.sum()
  td = jnp.where(parts.branch, jnp.abs(parts.td), 0).sum()
  td = td / jnp.maximum(branches, 1)
  points = branch_points(arrays.by_group(batch.rows.tokens, batch), sampled)
  return {
    'branch_share': branches / jnp.maximum(sampled.sum(), 1),
    'branch_points': points.mean(),
    'td_share': jnp.where(
      relative > 0, td / jnp.where(relative > 0, relative, 1), 0
    ),
  }


def credit(batch: Batch, options: Options) -> Credit:
  """TEMPO's credit with its parts."""
  result = tempo.advantages(
    arrays.by_group(batch.rows.tokens, batch),
    arrays.sampled(batch),
    arrays.scores(batch),
    scale=options.scale,
    td_weight=options.td_weight,
    ended=options.ended,
    environment=arrays.environment(batch),
    after_environment=options.after_environment,
    step_of_token=arrays.by_group(batch.rows.step_of_token, batch)
    if options.nodes == 'steps'
    else None,
  )
  return Credit(
    result.total,
    parts={
      'td': result.td,
      'branch': result.branch,
      # Of the prefix behind each token.
      'value': result.values[..., 1:],
    },
    metrics=_tree_metrics(batch, result),
  )


register(
  Method(
    name='tempo',
    label='TEMPO',
    paper='2509.18314',
    unit='token',
    options=Options,
    credit=credit,
    standardised=True,
  )
)
