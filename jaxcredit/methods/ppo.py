"""PPO: a critic's values and generalised advantages (1707.06347, 1506.02438).

`proximal_credit` gives PPO's credit for any step rewards. Methods that replace
the environment's rewards share it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit import options as options_lib
from jaxcredit.algorithms import kl_penalty, losses, spa, step_tokens
from jaxcredit.methods import arrays
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register

GAE_POSITIONS = (*spa.GAE_POSITIONS, 'steps')


@dataclasses.dataclass(frozen=True)
class Options:
  """See `jaxcredit.ppo`, `jaxcredit.kl_penalty` and `spa.place`."""

  discount: float = options_lib.option(1.0, 'Discount of returns.', 0.0, 1.0)
  gae_lambda: float = options_lib.option(
    1.0, 'Lambda of generalised advantages.', 0.0, 1.0
  )
  gae_positions: str = options_lib.option(
    'drawn',
    'Advantages over the sampled tokens, over all positions of the row, or '
    'over steps with one value each.',
    choices=GAE_POSITIONS,
  )
  whiten: bool = options_lib.option(True, 'Whiten advantages over the batch.')
  placement: str = options_lib.option(
    'unit',
    "Weight of a step's reward on its last token: 1, or the number of "
    "remaining steps (SPA's released code).",
    choices=step_tokens.PLACEMENTS,
  )
  kl_reward: float = options_lib.option(
    0.0,
    'Cost of each nat of KL divergence from the warm start, at its token; 0 '
    'turns it off.',
    0.0,
  )
  kl_reward_target: float = options_lib.option(
    0.0,
    'KL divergence of an episode to which the cost adapts; 0 keeps it fixed.',
    0.0,
  )
  kl_reward_horizon: float = options_lib.option(
    10_000.0, 'Episodes over which the KL cost adapts.', 1.0
  )
  kl_reward_estimator: str = options_lib.option(
    'k1',
    'Estimator of the KL divergence in the reward.',
    choices=losses.KL_ESTIMATORS,
  )

  def __post_init__(self):
    options_lib.check(self)
    if self.kl_reward_target and not self.kl_reward:
      raise ValueError(
        'kl_reward_target adapts kl_reward, which must then be above 0'
      )


def needed_by(options: Options) -> frozenset[str]:
  """A critic, and a reference policy if KL divergence is in the reward."""
  return frozenset({'values', 'reference'} if options.kl_reward else {'values'})


def first_carry(options: Options) -> dict[str, jax.Array]:
  """The coefficient of the KL divergence, which may adapt."""
  if not options.kl_reward:
    return {}
  return {'kl_reward': jnp.float32(options.kl_reward)}


def _kl_rewards(batch: Batch, options: Options):
  """Token rewards [E, L], the next coefficient, and metrics."""
  rows, reference = batch.rows, batch.reference_log_probs
  sampled = rows.step_of_token >= 0
  coefficient = batch.carry['kl_reward']
  estimator = {'estimator': options.kl_reward_estimator}
  rewards = kl_penalty.rewards(
    rows.log_probs, reference, sampled, coefficient=coefficient, **estimator
  )
  kl = losses.aggregate(
    losses.kl(rows.log_probs, reference, **estimator),
    sampled,
    'seq-mean-token-sum',
  )
  following = coefficient
  if options.kl_reward_target:
    following = kl_penalty.adapted_coefficient(
      coefficient,
      kl,
      target=options.kl_reward_target,
      count=sampled.any(axis=1).sum(),
      horizon=options.kl_reward_horizon,
    )
  metrics = {'kl_of_episode': kl, 'kl_reward': coefficient}
  return rewards, {'kl_reward': following}, metrics


def proximal_credit(
  batch: Batch, step_rewards: jax.Array, options: Options
) -> Credit:
  """PPO's token credit for step rewards.

  Args:
    batch: with rows and values.
    step_rewards: float [P, G, S], 0 where masked.
    options: options of PPO.
  """
  shape = step_rewards.shape
  mask = jnp.asarray(batch.trajectories.mask).reshape(-1, shape[-1])
  step_rewards = step_rewards.reshape(mask.shape)
  steps, values = batch.rows.step_of_token, batch.values
  rewards = step_tokens.place(
    step_rewards, steps, mask, placement=options.placement
  )
  carry, metrics = {}, {}
  if options.kl_reward:
    kl_rewards, carry, metrics = _kl_rewards(batch, options)
    rewards = rewards + kl_rewards
  gae = {
    'discount': options.discount,
    'gae_lambda': options.gae_lambda,
    'whiten': options.whiten,
  }
  if options.gae_positions == 'steps':
    result = spa.step_advantages(
      jnp.zeros_like(step_rewards),
      values,
      steps,
      mask,
      token_rewards=rewards,
      **gae,
    )
    result = jax.tree.map(lambda x: step_tokens.spread(x, steps), result)
  else:
    result = spa.token_advantages(
      rewards, values, steps >= 0, gae_positions=options.gae_positions, **gae
    )
  count = jnp.maximum(mask.sum(), 1)
  metrics['step_reward'] = jnp.where(mask, step_rewards, 0).sum() / count
  return Credit(
    arrays.by_group(result.total, batch),
    parts={'reward': step_rewards.reshape(shape)},
    returns=arrays.by_group(result.returns, batch),
    carry=carry,
    metrics=metrics,
  )


def credit(batch: Batch, options: Options) -> Credit:
  """PPO's credit for the environment's rewards, at the steps that got them."""
  t = batch.trajectories
  rewards = jnp.where(t.mask, t.rewards - t.penalties, 0)
  return proximal_credit(batch, rewards, options)


register(
  Method(
    name='ppo',
    label='PPO',
    paper='1707.06347',
    unit='token',
    options=Options,
    credit=credit,
    needs=frozenset({'values', 'reference'}),
    needed_by=needed_by,
    first_carry=first_carry,
    standardised=True,
  )
)
