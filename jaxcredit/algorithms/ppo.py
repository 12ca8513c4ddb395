"""PPO's advantages for tokens or steps (Schulman et al. 2016, 2017).

  A_t = sum of (discount * gae_lambda)^k d_{t+k},   R_t = A_t + V_t
  A_t -> (A_t - mean) / sqrt(var + eps)              over all of the batch

As in released trainers of language models (verl, TRL), the advantages are
whitened over all tokens of the batch. The critic's returns are computed before
that. The clipped losses are `losses.policy_loss` and `losses.value_loss`.

The tokens of an agent alternate with tokens of the environment. The advantages
depend on what counts as a moment in time:

  gae_positions='drawn'  each token that the policy sampled; others are skipped
  gae_positions='all'    each position; reward and value are 0 at tokens of the
                         environment and at padding (TRL 0.10 with a mask)
  `step_advantages`      each step, with the value before its first token

With 'all' an observation of k tokens multiplies everything after it by
(discount * gae_lambda)^k, and the value after the last token of a step is 0: at
0.99 and 0.95 an observation of 50 tokens lets 5% through, one of 100 tokens
0.2%.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import returns as returns_lib
from jaxcredit.algorithms import step_tokens
from jaxcredit.algorithms.internal import (
  arguments,
  group_statistics,
  public,
)

GAE_POSITIONS = ('drawn', 'all')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Advantages:
  """PPO's credit, and what its critic learns.

  Attributes:
    total: float [..., L], what multiplies the policy gradient.
    returns: float [..., L], targets of the values.
  """

  total: jax.Array
  returns: jax.Array


@public.function(static=('whiten', 'ddof', 'eps'))
def advantages(
  rewards: jax.Array,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  discount: float = 1.0,
  gae_lambda: float = 1.0,
  bootstrap: float | jax.Array = 0.0,
  whiten: bool = True,
  ddof: int = 1,
  eps: float = 1e-8,
) -> Advantages:
  """Generalised advantages, whitened, and returns.

  Masked entries (what the environment wrote, padding) are skipped as if they
  were not there.

  Args:
    rewards: float [..., L], of tokens or steps.
    values: float [..., L], value of the state before each.
    mask: bool [..., L]; None for all.
    discount: in [0, 1].
    gae_lambda: in [0, 1].
    bootstrap: value of the state after the last entry, scalar or [...].
    whiten: whether advantages are whitened over all axes.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.

  Returns:
    Advantages, dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import ppo
    >>> rewards, values = jnp.array([0.0, 0, 1]), jnp.array([0.5, 0.5, 0.75])
    >>> credit = ppo.advantages(rewards, values, gae_lambda=0.5)
    >>> print(credit.total.round(2))
    [-0.87  1.09 -0.22]
    >>> print(credit.returns)
    [0.6875 0.875  1.    ]
  """
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('rewards', rewards, 1, '[..., L]')
  rewards = arguments.floating('rewards', rewards)
  values = arguments.floating('values', values)
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  wide = returns_lib.gae(
    arguments.wide(rewards),
    arguments.wide(values),
    mask,
    discount=discount,
    gae_lambda=gae_lambda,
    bootstrap=bootstrap,
  )
  returns = jnp.where(mask, wide + jnp.where(mask, values, 0), 0)
  total = wide
  if whiten:
    total = group_statistics.whiten(wide, mask, ddof, eps)
  dtype = rewards.dtype
  return Advantages(total.astype(dtype), returns.astype(dtype))


@public.function(
  static=('gae_positions', 'whiten', 'ddof', 'eps'),
  renamed={'across': 'gae_positions'},
)
def token_advantages(
  rewards: jax.Array,
  values: jax.Array,
  mask: jax.Array | None = None,
  *,
  gae_positions: str = 'drawn',
  discount: float = 0.99,
  gae_lambda: float = 0.95,
  bootstrap: float | jax.Array = 0.0,
  whiten: bool = True,
  ddof: int = 1,
  eps: float = 1e-8,
) -> Advantages:
  """PPO's advantages of tokens.

  Args:
    rewards: float [..., L], as `step_tokens.place` gives them, KL added.
    values: float [..., L], value of the state before each token.
    mask: bool [..., L], tokens that the policy drew; None for all.
    gae_positions: 'drawn' skips all other tokens as if they were not there;
      'all' (released code) counts them as moments of reward and value 0.
    discount: in [0, 1].
    gae_lambda: in [0, 1].
    bootstrap: value of the state after the last token, scalar or [...].
    whiten: whether advantages are whitened over the drawn tokens of all axes.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.

  Returns:
    Advantages, dtype of `rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import ppo
    >>> rewards, values = jnp.array([0.0, 0, 1]), jnp.array([0.5, 9, 0.5])
    >>> drawn = jnp.array([True, False, True])
    >>> credit = ppo.token_advantages(
    ...   rewards, values, drawn, discount=1, gae_lambda=1, whiten=False
    ... )
    >>> print(credit.total)
    [0.5 0.  0.5]
  """
  arguments.one_of('gae_positions', gae_positions, GAE_POSITIONS)
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.number('eps', eps, 0)
  arguments.axes('rewards', rewards, 1, '[..., L]')
  rewards = arguments.floating('rewards', rewards)
  values = arguments.floating('values', values)
  arguments.same_shape('values', values, rewards.shape, 'rewards')
  mask = arguments.boolean_mask('mask', mask, rewards.shape, 'rewards')
  safe = jnp.where(mask, arguments.wide(rewards), 0)
  before = jnp.where(mask, values, 0).astype(safe.dtype)
  raw = advantages(
    safe,
    before,
    mask if gae_positions == 'drawn' else None,
    discount=discount,
    gae_lambda=gae_lambda,
    bootstrap=bootstrap,
    whiten=False,
  )
  # Positions of 'all' count in time, but never in the statistics.
  total = jnp.where(mask, raw.total, 0)
  returns = jnp.where(mask, raw.returns, 0)
  if whiten:
    total = group_statistics.whiten(total, mask, ddof, eps)
  dtype = rewards.dtype
  return Advantages(total.astype(dtype), returns.astype(dtype))


@public.function(static=('whiten', 'ddof', 'eps'))
def step_advantages(
  step_rewards: jax.Array,
  values: jax.Array,
  step_of_token: jax.Array,
  mask: jax.Array | None = None,
  *,
  token_rewards: jax.Array | None = None,
  discount: float = 0.99,
  gae_lambda: float = 0.95,
  bootstrap: float | jax.Array = 0.0,
  whiten: bool = True,
  ddof: int = 1,
  eps: float = 1e-8,
) -> Advantages:
  """PPO's advantages of steps.

  Args:
    step_rewards: float [..., S].
    values: float [..., L], value of the state before each token; that before a
      step's first token is the step's.
    step_of_token: int32 [..., L], step of each token, -1 for none.
    mask: bool [..., S], steps that were taken; None for all. A step without a
      token in the row is left out.
    token_rewards: float [..., L], such as KL, summed over each step's tokens;
      None for none.
    discount: in [0, 1], of a step.
    gae_lambda: in [0, 1].
    bootstrap: value of the state after the last step, scalar or [...].
    whiten: whether advantages are whitened over the steps of all axes.
    ddof: delta degrees of freedom of the variance, 0 or 1.
    eps: added to the variance.

  Returns:
    Advantages [..., S], dtype of `step_rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import ppo
    >>> values = jnp.array([0.5, 9, 9, 0.75, 9])
    >>> step_of_token = jnp.array([0, 0, -1, 1, 1])
    >>> credit = ppo.step_advantages(
    ...   jnp.array([0.0, 1]), values, step_of_token, discount=1, whiten=False
    ... )
    >>> print(credit.total.round(2))
    [0.48999998 0.25      ]
  """
  arguments.axes('step_rewards', step_rewards, 1, '[..., S]')
  step_rewards = arguments.floating('step_rewards', step_rewards)
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  step_of_token = step_tokens.checked(
    step_of_token, step_rewards.shape[:-1], 'step_rewards'
  )
  values = arguments.floating('values', values)
  arguments.same_shape('values', values, step_of_token.shape, 'step_of_token')
  steps, length = step_rewards.shape[-1], step_of_token.shape[-1]
  first = step_tokens.first_positions(step_of_token, steps)
  mask &= first < length
  safe = jnp.where(mask, arguments.wide(step_rewards), 0)
  if token_rewards is not None:
    token_rewards = arguments.floating('token_rewards', token_rewards)
    arguments.same_shape(
      'token_rewards', token_rewards, step_of_token.shape, 'step_of_token'
    )
    extra = step_tokens.sums(
      arguments.wide(token_rewards), step_of_token, steps
    )
    safe = safe + jnp.where(mask, extra, 0).astype(safe.dtype)
  before = jnp.zeros_like(safe)
  if length:
    index = jnp.minimum(first, length - 1)
    before = jnp.take_along_axis(values, index, axis=-1).astype(safe.dtype)
  result = advantages(
    safe,
    before,
    mask,
    discount=discount,
    gae_lambda=gae_lambda,
    bootstrap=bootstrap,
    whiten=whiten,
    ddof=ddof,
    eps=eps,
  )
  return jax.tree.map(lambda x: x.astype(step_rewards.dtype), result)
