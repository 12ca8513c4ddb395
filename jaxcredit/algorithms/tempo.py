"""TEMPO: tree-estimated mean prefix values (Tran et al. 2025, 2509.18314).

The G responses to one prompt form a tree whose nodes are their prefixes s, the
prompt being the root. With D(s) the responses that begin with s,

  V(s)      = mean of r_k over D(s)
  delta_t   = V(s_{t+1}) - V(s_t)                          the TD term
  A_{i,t}   = (r_i - mean(r) + delta_{i,t}) / (std(r) + eps)

Where no response branches off, delta is 0 and A is GRPO's. The tokens at which
some do are the branch tokens. The deltas of a response sum to V(s_T) - mean(r).
The lengths of pairwise common prefixes are enough to compute all of this (see
`prefix_trees`): no tree is built, and nothing is hashed.

Choices that the equations leave open:
* A response that has ended leaves the set, as in the released code, where its
  padding differs from any token: ended='leaves'. With 'stays' a complete
  response still counts for the values of those that continue it.
* Tokens of the environment (tool outputs, observations) belong to the prefix
  and get no credit, since the policy did not choose them. Credit resumes at the
  policy's next token, so that the deltas of a response no longer sum to V(s_T)
  - mean(r). In the released code the walk down the tree ends at the first
  masked token, and all later ones have GRPO's credit: after_environment='stop'.
* Nodes can be steps of an agent instead of tokens: `step_of_token`, or
  fingerprints of steps instead of `tokens`. Each token of a step gets the
  step's whole delta.
* `td_weight` is ours; in the paper it is 1.

What the released code (fatebreaker/tempo) does differently:
* The only response of a group gets NaN. Here it gets 0.
* Equal rewards get advantages up to 0.11, by rounding (7 times 0.7, float32).
  Here they get exactly 0.
* It takes the unbiased deviation (ddof=1), or does not divide (scale='none').
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import prefix_trees
from jaxcredit.algorithms.internal import (
  arguments,
  group_statistics,
  integer_words,
  public,
)

ENDED = ('leaves', 'stays')
AFTER_ENVIRONMENT = ('resume', 'stop')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Advantages:
  """TEMPO's credit and what it is made of.

  Attributes:
    total: float [..., G, L], what multiplies the policy gradient.
    td: float [..., G, L], the TD term delta, in units of the reward: neither
      weighted nor divided by the deviation.
    branch: bool [..., G, L], tokens of the policy at which a response leaves.
    values: float [..., G, L + 1], value of the prefix of each length, from the
      root on; 0 past the end of a response.
  """

  total: jax.Array
  td: jax.Array
  branch: jax.Array
  values: jax.Array


def _walk(words, policy, environment, steps, ended, after_environment):
  """The tree, and where in it each token begins and ends.

  Returns:
    shared: int32 [..., G, G], see `prefix_trees.shared_lengths`.
    positions: int32 [..., G, L + 1], the prefix whose value holds after each
      number of tokens.
    starts: int32 [..., G, L], the number of tokens before each token's step.
    inside: bool [..., G, L + 1], prefixes that there are.
  """
  valid = policy | environment
  position = jnp.arange(valid.shape[-1] + 1, dtype=jnp.int32)
  starts = None if steps is None else prefix_trees.run_starts(steps, valid)
  shared = prefix_trees.shared_lengths(words, valid, starts)
  length = prefix_trees.row_lengths(valid)[..., None]
  inside = (position <= length) & policy.any(axis=-1, keepdims=True)
  if ended == 'stays':
    whole = (shared == jnp.swapaxes(length, -1, -2)) & (shared >= 0)
    shared = jnp.where(whole, position[-1], shared)
  stop = position[-1]
  if after_environment == 'stop':
    stop = jnp.min(
      jnp.where(policy, position[-1], position[:-1]),
      axis=-1,
      keepdims=True,
      initial=position[-1],
    )
  positions = jnp.broadcast_to(jnp.minimum(position, stop), inside.shape)
  first = position[:-1] if starts is None else starts[..., :-1]
  return shared, positions, jnp.broadcast_to(first, valid.shape), inside


@public.function(
  static=('scale', 'ddof', 'eps', 'ended', 'after_environment'),
  words=('tokens',),
  ranges={'td_weight': {}},
  renamed={'rewards': 'returns'},
)
def advantages(
  tokens: jax.Array,
  mask: jax.Array | None,
  returns: jax.Array,
  *,
  scale: str = 'std',
  ddof: int = 1,
  eps: float = 1e-6,
  td_weight: float = 1.0,
  ended: str = 'leaves',
  environment: jax.Array | None = None,
  after_environment: str = 'resume',
  step_of_token: jax.Array | None = None,
) -> Advantages:
  """TEMPO's advantages.

  Compiled once for each set of shapes and static options; `td_weight` may
  change, or be traced, without recompilation.

  Args:
    tokens: integers [..., G, L], the responses without their prompt; or
      [..., G, L, K], fingerprints of K words. 64-bit NumPy integers are taken
      whole. For a tree of steps these may be fingerprints of steps.
    mask: bool [..., G, L], tokens of the policy; None for all. A response
      without one takes no part. Positions that are neither the policy's nor the
      environment's are gaps: what stands there is not looked at, and a gap is
      equal to one at the same position.
    returns: float [..., G], the return (reward) of each response.
    scale: 'std' or 'none'.
    ddof: delta degrees of freedom of the deviation, 0 or 1.
    eps: added to the deviation.
    td_weight: weight of the TD term; 0 gives GRPO.
    ended: whether a response that has ended 'leaves' the set of those that
      continue it or 'stays'.
    environment: bool [..., G, L], tokens that the environment wrote, whether or
      not `mask` holds them too; None for none.
    after_environment: whether the TD term does 'resume' after what `mask`
      leaves out, or 'stop' there for good (released code).
    step_of_token: int32 [..., G, L], the step that produced each token, in
      rising order; -1 for tokens of the environment. Nodes are then steps:
      responses share a step if they share all of it. A step that holds what the
      environment answered has the luck of it in its delta.

  Returns:
    Advantages; 0 where masked, dtype of `returns`.

  Raises:
    ValueError: wrong shapes, dtypes or options.

  Example:
    >>> from jaxcredit import tempo
    >>> tokens = jnp.array([[5, 6, 7], [5, 6, 8], [4, 9, 9], [4, 6, 7]])
    >>> returns = jnp.array([1.0, 0, 0, 0])
    >>> credit = tempo.advantages(tokens, None, returns, scale='none')
    >>> print(credit.values[0], credit.td[0], credit.total[0])
    [0.25 0.5  0.5  1.  ] [0.25 0.   0.5 ] [1.   0.75 1.25]
  """
  arguments.one_of('scale', scale, group_statistics.SCALES)
  arguments.one_of('ended', ended, ENDED)
  arguments.one_of('after_environment', after_environment, AFTER_ENVIRONMENT)
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('returns', returns, 1, '[..., G]')
  returns = arguments.floating('returns', returns)
  dtype = returns.dtype
  rank = returns.ndim + 1
  shape = tuple(tokens.shape[:rank])
  # Without a mask [..., G, L] could not be told from [G, L, K].
  if tokens.ndim not in (rank, rank + (mask is not None)) or (
    returns.shape != shape[:-1]
  ):
    raise ValueError(
      f'tokens have shape {tokens.shape} and returns {returns.shape}: they '
      'must be [..., G, L], or [..., G, L, K] with a mask, and [..., G]'
    )
  words = integer_words.split('tokens', tokens, shape)
  mask = arguments.boolean_mask('mask', mask, shape, 'tokens')
  environment = (
    jnp.zeros_like(mask)
    if environment is None
    else arguments.boolean_mask('environment', environment, shape, 'tokens')
  )
  policy = mask & ~environment
  if step_of_token is not None:
    arguments.same_shape('step_of_token', step_of_token, shape, 'tokens')
    step_of_token = arguments.integers('step_of_token', step_of_token)
    policy &= step_of_token >= 0
    environment |= mask & (step_of_token < 0)
  taken = policy.any(axis=-1)
  # A response without a token of the policy's is no part of the tree.
  environment &= taken[..., None]
  shared, positions, starts, inside = _walk(
    words, policy, environment, step_of_token, ended, after_environment
  )

  group = group_statistics.of_rows(arguments.wide(returns), taken, ddof)
  ends, means = prefix_trees.nodes(shared, group.difference)
  members = prefix_trees.member_counts(ends, positions)
  values = prefix_trees.prefix_means(means, members)
  if step_of_token is None:
    members_before, values_before = members[..., :-1], values[..., :-1]
  else:
    members_before = jnp.take_along_axis(members, starts, axis=-1)
    values_before = jnp.take_along_axis(values, starts, axis=-1)
  branch = policy & (members[..., 1:] < members_before)
  differs = ~group.equal[..., None]
  td = jnp.where(branch & differs, values[..., 1:] - values_before, 0)
  unit = group.unit(scale, eps)[..., None]
  total = group.standardised(scale, eps)[..., None] + td_weight * td / unit
  values = jnp.where(inside, values + group.reference[..., None], 0)
  return Advantages(
    jnp.where(policy, total, 0).astype(dtype),
    td.astype(dtype),
    branch,
    values.astype(dtype),
  )
