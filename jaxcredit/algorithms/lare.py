"""Return decomposition: RD, RRD and LaRe's losses and rewards.

The return R of an episode arrives at its end. A network predicts a reward r_t
for each step, and learns only from returns:

  RD    L = mean over episodes of (R - sum_t r_t)^2
  RRD   the same, from K of the L steps (Ren et al. 2022, 2111.13485)
  LaRe  the same, with r_t = f(z_t) of factors z_t = phi(s_t, a_t) that a
        language model's program computes (Qu et al. 2024, 2412.11120)

LaRe adds nothing to the loss. The losses do not determine the rewards: any r_t
with the right sums is a minimum. Credit within an episode comes only from how
the network generalises over the features.

Let m be the mean of K sampled rewards of L, s^2 their unbiased variance, rho
the mean of all L. Then E[(R/L - m)^2] = (R/L - rho)^2 + Var[m], with

  Var[m] = E[s^2] (1 - K/L) / K    K different steps        (K <= L)
  Var[m] = E[s^2] / K              K draws with replacement

so that subtracting the right-hand side, without E, gives RD's loss on average.

The parts of LaRe: `latent_rewards` has a language model write a program phi,
verifies it and encodes steps with it (`interpreter.encode`);
`networks/heads/reward_decoder.py` is the network f;
`agents/reward_decomposition.py` trains it with the losses below; and
`agents/reward_sources.py` gives its rewards to an agent (`Decoded`).

What the released code (thu-rllab/LaRe) does differently:
* For K > L it samples with replacement and keeps the first formula, which is
  then negative and adds variance. Here the second formula is used, or, by
  default, all L steps, with nothing to correct.
* It evaluates the network on all steps and then keeps K. Here steps are sampled
  first: `sample_steps`, `take_steps`, the network, `subsampled_loss`.
* With several agents its target is the return of agent 0. Here it is the return
  of the team; see `team_rewards`.
"""

import jax
import jax.numpy as jnp

from jaxcredit.algorithms import step_sampling
from jaxcredit.algorithms.internal import arguments, public
from jaxcredit.algorithms.internal.masked_mean import masked_mean

SHORT = step_sampling.SHORT
StepSample = step_sampling.StepSample
sample_steps = step_sampling.sample_steps
take_steps = step_sampling.take_steps

FORMS = ('sum', 'mean')
SCALINGS = ('none', 'length', 'exact', 'deviation')


def _returns(returns, shape):
  """Returns of episodes, checked against the leading axes of step rewards."""
  returns = arguments.floating('returns', returns)
  if returns.shape != shape:
    raise ValueError(
      f'returns have shape {returns.shape}, but the episodes of the step '
      f'rewards have shape {shape}: they must be equal'
    )
  return returns


def _positive(count, dtype):
  """A count to divide by."""
  return jnp.maximum(count, 1).astype(dtype)


@public.function(static=('form',), renamed={'episode_return': 'returns'})
def decomposition_loss(
  step_rewards: jax.Array,
  returns: jax.Array,
  mask: jax.Array | None = None,
  *,
  form: str = 'sum',
) -> jax.Array:
  """Squared error of returns that step rewards should add up to.

    'sum'   (R - sum_t r_t)^2       the paper, and the release's particles
    'mean'  (R/L - mean_t r_t)^2    the release's MuJoCo

  In both the rewards of a perfect fit add up to R. 'mean' is 'sum' divided by
  L^2: long episodes weigh less, and gradients are smaller by as much. Learning
  rate, clipping and L2 penalty have to fit the form, and the size of R.

  Args:
    step_rewards: float [..., S], as predicted.
    returns: float [...], of the episodes.
    mask: bool [..., S], steps that were taken; None for all. An episode without
      one does not count.
    form: 'sum' or 'mean'.

  Returns:
    float [], mean over episodes, dtype of `step_rewards`; 0 without episodes.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import lare
    >>> print(lare.decomposition_loss(jnp.array([1.0, 0, 1]), jnp.array(3.0)))
    1.0
  """
  arguments.one_of('form', form, FORMS)
  arguments.axes('step_rewards', step_rewards, 1, '[..., S]')
  step_rewards = arguments.floating('step_rewards', step_rewards)
  dtype = step_rewards.dtype
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  target = _returns(returns, mask.shape[:-1])
  length = mask.sum(axis=-1)
  total = jnp.where(mask, arguments.wide(step_rewards), 0).sum(axis=-1)
  error = jnp.where(length > 0, target, 0).astype(total.dtype) - total
  if form == 'mean':
    error = error / _positive(length, error.dtype)
  return masked_mean(error * error, length > 0).astype(dtype)


@public.function(
  static=('form', 'unbiased'), renamed={'episode_return': 'returns'}
)
def subsampled_loss(
  step_rewards: jax.Array,
  returns: jax.Array,
  lengths: jax.Array,
  mask: jax.Array | None = None,
  *,
  form: str = 'sum',
  unbiased: bool = True,
) -> jax.Array:
  """RRD: the loss of decomposition, estimated from sampled steps.

  With `unbiased` its mean over the samples is `decomposition_loss` of the whole
  episodes; a single one may be negative. Without, the variance of the sample's
  mean comes on top, which draws the rewards of an episode together. More drawn
  steps than there are steps (mask.sum() > lengths) are taken for draws with
  replacement, others for different steps.

  Args:
    step_rewards: float [..., K], predicted for the sampled steps.
    returns: float [...], of the whole episodes.
    lengths: int [...], steps of the whole episodes.
    mask: bool [..., K], what was drawn; None for all. An episode of which
      nothing was drawn does not count.
    form: 'sum' (R - L m)^2, as in `decomposition_loss`, or 'mean' (R/L - m)^2,
      m being the sample's mean.
    unbiased: whether the variance of m is taken off. It needs two draws of an
      episode that has two steps or more.

  Returns:
    float [], mean over episodes, dtype of `step_rewards`; 0 without episodes.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import lare
    >>> sample = lare.sample_steps(jax.random.key(0), jnp.ones((1, 3), bool), 2)
    >>> inputs = lare.take_steps(jnp.ones((1, 3)), sample.indices, sample.mask)
    >>> step_rewards = 4 * inputs  # in place of a network
    >>> loss = lare.subsampled_loss(
    ...   step_rewards, jnp.array([9.0]), sample.lengths, sample.mask
    ... )
    >>> print(loss)
    9.0
  """
  arguments.one_of('form', form, FORMS)
  arguments.axes('step_rewards', step_rewards, 1, '[..., K]')
  step_rewards = arguments.floating('step_rewards', step_rewards)
  dtype = step_rewards.dtype
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  if unbiased and mask.shape[-1] < 2:
    raise ValueError(
      f'step_rewards have shape {mask.shape}: the variance of a single draw is '
      'unknown; draw two steps or more, or give unbiased=False'
    )
  target = _returns(returns, mask.shape[:-1])
  arguments.same_shape('lengths', lengths, target.shape, 'returns')
  lengths = jnp.asarray(lengths)
  rewards = jnp.where(mask, arguments.wide(step_rewards), 0)
  wide = rewards.dtype
  count = mask.sum(axis=-1)
  counts = (count > 0) & (lengths > 0)
  drawn, length = _positive(count, wide), _positive(lengths, wide)
  mean = rewards.sum(axis=-1) / drawn
  error = jnp.where(counts, target, 0).astype(wide) / length - mean
  loss = error * error
  if unbiased:
    residual = jnp.where(mask, rewards - mean[..., None], 0)
    variance = (residual * residual).sum(axis=-1) / _positive(count - 1, wide)
    rest = jnp.where(count > lengths, 1, 1 - drawn / length)
    loss = loss - rest / drawn * variance
  if form == 'sum':
    loss = loss * length * length
  return masked_mean(loss, counts).astype(dtype)


@public.function(static=('ddof',))
def temporal_variance(
  step_rewards: jax.Array, mask: jax.Array | None = None, *, ddof: int = 0
) -> jax.Array:
  """Variance of step rewards over time, a regulariser (off in the release).

  Args:
    step_rewards: float [..., S]; with several agents their `team_rewards`.
    mask: bool [..., S]; None for all. An episode without a step does not count.
    ddof: delta degrees of freedom, 0 or 1.

  Returns:
    float [], mean over episodes, dtype of `step_rewards`.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import lare
    >>> print(lare.temporal_variance(jnp.array([[0.0, 2], [1, 1]])))
    0.5
  """
  arguments.one_of('ddof', ddof, (0, 1))
  arguments.axes('step_rewards', step_rewards, 1, '[..., S]')
  step_rewards = arguments.floating('step_rewards', step_rewards)
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  rewards = jnp.where(mask, arguments.wide(step_rewards), 0)
  count = mask.sum(axis=-1)
  mean = rewards.sum(axis=-1) / _positive(count, rewards.dtype)
  residual = jnp.where(mask, rewards - mean[..., None], 0)
  square = (residual * residual).sum(axis=-1)
  variance = square / _positive(count - ddof, rewards.dtype)
  return masked_mean(variance, count > 0).astype(step_rewards.dtype)


@public.function()
def team_rewards(
  agent_rewards: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """Step rewards of a team: the sum over its agents.

  One network predicts for each agent, and the only thing known is the return of
  the team, the sum of all agents' rewards (the released code takes agent 0's).
  Credit of agents then comes from differences of their features alone: agents
  that observe the same get the same.

  Args:
    agent_rewards: float [..., N, S].
    mask: bool [..., N, S], steps that each agent took; None for all.

  Returns:
    float [..., S], dtype of `agent_rewards`; 0 where no agent acted.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import lare
    >>> mask = jnp.ones((2, 3), bool)
    >>> team = lare.team_rewards(jnp.array([[1.0, 0, 1], [0, 0, 2]]), mask)
    >>> loss = lare.decomposition_loss(team, jnp.array(4.0), mask.any(axis=-2))
    >>> print(team, loss)
    [1. 0. 3.] 0.0
  """
  rewards, mask = _of_agents(agent_rewards, mask)
  total = jnp.where(mask, arguments.wide(rewards), 0).sum(axis=-2)
  return total.astype(rewards.dtype)


@public.function()
def shared_rewards(
  agent_rewards: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
  """The mean over agents for each of them: the ablation without agent credit.

  The team's rewards stay what they were.

  Args:
    agent_rewards: float [..., N, S].
    mask: bool [..., N, S], steps that each agent took; None for all.

  Returns:
    float [..., N, S], dtype of `agent_rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes.

  Example:
    >>> from jaxcredit import lare
    >>> print(lare.shared_rewards(jnp.array([[1.0, 0, 1], [0, 0, 2]])))
    [[0.5 0.  1.5]
     [0.5 0.  1.5]]
  """
  rewards, mask = _of_agents(agent_rewards, mask)
  wide = jnp.where(mask, arguments.wide(rewards), 0)
  count = _positive(mask.sum(axis=-2, keepdims=True), wide.dtype)
  mean = wide.sum(axis=-2, keepdims=True) / count
  return jnp.where(mask, mean, 0).astype(rewards.dtype)


def _of_agents(agent_rewards, mask):
  """Checked arrays of agents."""
  arguments.axes('agent_rewards', agent_rewards, 2, '[..., N, S]')
  rewards = arguments.floating('agent_rewards', agent_rewards)
  return rewards, arguments.boolean_mask(
    'mask', mask, rewards.shape, 'agent_rewards'
  )


@public.function(
  static=('scaling', 'agents'),
  ranges={'factor': {}},
  renamed={'episode_return': 'returns'},
)
def redistributed_rewards(
  step_rewards: jax.Array,
  mask: jax.Array | None = None,
  *,
  scaling: str = 'none',
  returns: jax.Array | None = None,
  deviation: jax.Array | float | None = None,
  factor: jax.Array | float = 1.0,
  agents: bool = False,
) -> jax.Array:
  """Rewards for a learner, in place of the return at the end.

    'none'       r                        the release's MuJoCo
    'length'     r L                      the release's particles
    'exact'      r + (R - sum r) / L      adds up to R, whatever the fit
    'deviation'  r / deviation            of rewards so far, say; see
                                          `running_statistics`

  each times `factor`. 'exact' shifts all steps of an episode alike: where
  episodes end early by what they do, that is an incentive of its own. No
  gradient passes through.

  Args:
    step_rewards: float [..., S], predicted; [..., N, S] with `agents`.
    mask: bool of the same shape, steps that were taken; None for all.
    scaling: one of the above.
    returns: float [...], needed by 'exact'; of the team with `agents`.
    deviation: float, a number or [...], needed by 'deviation'; 0 counts as 1.
    factor: float, a number or [...].
    agents: whether axis -2 is agents. Then L counts the steps of all of them.

  Returns:
    float, shape and dtype of `step_rewards`; 0 where masked.

  Raises:
    ValueError: wrong shapes or options.

  Example:
    >>> from jaxcredit import lare
    >>> rewards = lare.redistributed_rewards(
    ...   jnp.array([1.0, 0, 1]), scaling='exact', returns=jnp.array(5.0)
    ... )
    >>> print(rewards)
    [2. 1. 2.]
  """
  arguments.one_of('scaling', scaling, SCALINGS)
  rank = 2 if agents else 1
  meaning = '[..., N, S]' if agents else '[..., S]'
  arguments.axes('step_rewards', step_rewards, rank, meaning)
  step_rewards = jax.lax.stop_gradient(
    arguments.floating('step_rewards', step_rewards)
  )
  mask = arguments.boolean_mask(
    'mask', mask, step_rewards.shape, 'step_rewards'
  )
  episodes, axes = step_rewards.shape[:-rank], tuple(range(-rank, 0))
  rewards = jnp.where(mask, arguments.wide(step_rewards), 0)

  def of_episodes(name, value):
    value = jnp.asarray(value, rewards.dtype)
    if value.ndim and value.shape != episodes:
      raise ValueError(
        f'{name} must be a number or of shape {episodes}, not {value.shape}'
      )
    return value.reshape(*value.shape, *(1,) * rank) if value.ndim else value

  if returns is not None:
    returns = of_episodes('returns', _returns(returns, episodes))
  if deviation is not None:
    deviation = of_episodes('deviation', deviation)
  length = mask.sum(axis=axes, keepdims=True)
  if scaling == 'length':
    rewards = rewards * length.astype(rewards.dtype)
  elif scaling == 'exact':
    if returns is None:
      raise ValueError("scaling 'exact' needs returns")
    missing = returns - rewards.sum(axis=axes, keepdims=True)
    rewards = rewards + missing / _positive(length, rewards.dtype)
  elif scaling == 'deviation':
    if deviation is None:
      raise ValueError("scaling 'deviation' needs deviation")
    rewards = rewards / jnp.where(deviation == 0, 1, deviation)
  rewards = rewards * of_episodes('factor', factor)
  return jnp.where(mask, rewards, 0).astype(step_rewards.dtype)
