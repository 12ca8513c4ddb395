"""PPO on rewards of steps: SPA's, or the outcome alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.text import episode_records, group_relative_credit
from jaxcredit import kl_penalty, spa, types
from jaxcredit.algorithms import losses, step_tokens
from jaxcredit.training import loop as loop_lib

METHODS = ('spa', 'ppo')
GAE_POSITIONS = ('drawn', 'all', 'steps')


@dataclasses.dataclass(frozen=True)
class StepCreditOptions:
  """Options of the methods. Flags have the same names, but for `scale`.

  Attributes:
    method: 'spa', or 'ppo', for which the outcome is the last step's reward.
    progress_weight: of the contributions in SPA's rewards.
    grounding_weight: of the grounding.
    redistribution: what becomes of the contributions; see `spa.redistribute`.
    placement: weight of a step's reward; see `spa.place`.
    gae_positions: over which tokens advantages are discounted: 'drawn' ones,
      'all' positions of the row, or 'steps', which have one value each.
    discount: of a token, or of a step.
    gae_lambda: of the advantages.
    whiten: whether advantages are whitened over the batch.
    kl_reward: coefficient of the divergence from the warm start as a reward of
      tokens; 0 for none.
    kl_reward_target: divergence of an episode to which the coefficient adapts;
      0 keeps it.
    kl_reward_horizon: episodes over which it adapts.
    kl_reward_estimator: of the divergence.
    reward_scale: factor on the rewards, as `LoopOptions` has it.
  """

  method: str = 'spa'
  progress_weight: float = 1.0
  grounding_weight: float = 0.5
  redistribution: str = 'none'
  placement: str = 'unit'
  gae_positions: str = 'drawn'
  discount: float = 0.99
  gae_lambda: float = 0.95
  whiten: bool = True
  kl_reward: float = 0.0
  kl_reward_target: float = 0.0
  kl_reward_horizon: float = 10_000.0
  kl_reward_estimator: str = 'k1'
  reward_scale: float = 1.0

  def __post_init__(self):
    for name, allowed in (
      ('method', METHODS),
      ('gae_positions', GAE_POSITIONS),
      ('redistribution', spa.REDISTRIBUTIONS),
      ('placement', step_tokens.PLACEMENTS),
      ('kl_reward_estimator', losses.KL_ESTIMATORS),
    ):
      value = getattr(self, name)
      if value not in allowed:
        raise ValueError(
          f'{name} must be one of {", ".join(allowed)}, not {value!r}'
        )

  @property
  def needs_estimator(self) -> bool:
    """Whether the rewards depend on what the estimator says."""
    return (
      self.method == 'spa'
      and bool(self.progress_weight)
      and self.redistribution != 'leave_one_out'
    )


def outcomes(
  trajectories: types.Trajectories, reward_scale: float
) -> jax.Array:
  """What episodes came to, in the environment's own units: float [P, G]."""
  rewards = jnp.where(trajectories.mask, trajectories.rewards, 0).sum(axis=-1)
  return rewards / (reward_scale or 1.0)


def step_rewards(
  trajectories: types.Trajectories,
  contributions: np.ndarray | None,
  options: StepCreditOptions,
) -> jax.Array:
  """Rewards of steps, scaled, penalties taken off.

  Args:
    trajectories: [P, G, S].
    contributions: float [P, G, S]; None where they are not needed.
    options: of the method.

  Returns:
    float [P, G, S].
  """
  mask = jnp.asarray(trajectories.mask)
  if options.method == 'ppo':
    rewards = jnp.where(mask, trajectories.rewards, 0)
    # The reward comes at the end, whenever the environment gave it.
    last = mask & (jnp.cumsum(mask[..., ::-1], -1)[..., ::-1] == 1)
    rewards = jnp.where(last, rewards.sum(axis=-1, keepdims=True), 0)
  else:
    if contributions is None:
      contributions = np.zeros(mask.shape, np.float32)
    outcome = outcomes(trajectories, options.reward_scale)
    rewards = options.reward_scale * spa.rewards(
      spa.redistribute(
        contributions, outcome, mask, redistribution=options.redistribution
      ),
      trajectories.grounding,
      mask,
      progress_weight=options.progress_weight,
      grounding_weight=options.grounding_weight,
    )
  return rewards - jnp.where(mask, trajectories.penalties, 0)


def advantages(
  step_rewards: jax.Array,
  rows: types.Rows,
  values: jax.Array,
  mask: jax.Array,
  kl_rewards: jax.Array | None,
  options: StepCreditOptions,
):
  """PPO's advantages and returns of tokens: `ppo.Advantages` [E, L].

  Args:
    step_rewards: float [E, S].
    rows: one an episode, [E, L].
    values: float [E, L], of a critic.
    mask: bool [E, S].
    kl_rewards: float [E, L], added to the tokens' rewards; None for none.
    options: of the method.
  """
  steps = rows.step_of_token
  rewards = spa.place(step_rewards, steps, mask, placement=options.placement)
  if kl_rewards is not None:
    rewards = rewards + kl_rewards
  gae = {
    'discount': options.discount,
    'gae_lambda': options.gae_lambda,
    'whiten': options.whiten,
  }
  if options.gae_positions != 'steps':
    return spa.token_advantages(
      rewards, values, steps >= 0, gae_positions=options.gae_positions, **gae
    )
  by_step = spa.step_advantages(
    jnp.zeros_like(step_rewards),
    values,
    steps,
    mask,
    token_rewards=rewards,
    **gae,
  )
  return jax.tree.map(lambda x: step_tokens.spread(x, steps), by_step)


class StepCreditMethod:
  """PPO on rewards of steps; see `method.Method`.

  `estimate` (rows -> contributions [E, S]) and `reference` (rows ->
  log-probabilities [E, L] of the policy after the warm start) are set before
  training by whoever has them, where `needs_estimator` and `needs_reference`
  say so.
  """

  credit_of = 'tokens'
  credit = None
  needs_critic = True
  record_files = (episode_records.FILE_NAME,)

  def __init__(
    self,
    options: StepCreditOptions,
    shown: group_relative_credit.CreditOptions,
  ):
    """Makes a method.

    Args:
      options: of the method.
      shown: of the group-relative credit that stands beside it in the report.
    """
    self.options = options
    self._shown = shown
    self.needs_estimator = options.needs_estimator
    self.needs_reference = bool(options.kl_reward)
    self.estimate: Callable[[types.Rows], np.ndarray] | None = None
    self.reference: Callable[[types.Rows], np.ndarray] | None = None
    self.carried: dict[str, Any] = {}
    if self.needs_reference:
      self.carried = {'kl_reward': jnp.float32(options.kl_reward)}
    # What the last call gave, for `metrics` and `records`.
    self._rewards: np.ndarray | None = None
    self._figures: dict[str, float] = {}

  def token_credit(
    self, trajectories, rows, values, carried=None
  ) -> loop_lib.TokenAdvantages:
    """The method, for `loop.Loop`."""
    options = self.options
    shape = np.shape(trajectories.mask)
    flat_mask = np.reshape(trajectories.mask, (-1, shape[-1]))
    figures: dict[str, Any] = {}
    contributions = None
    if self.needs_estimator:
      contributions = self.estimate(rows).reshape(shape)
      taken = np.asarray(trajectories.mask).any(axis=-1)
      outcome = np.asarray(outcomes(trajectories, options.reward_scale))[taken]
      predicted = contributions.sum(axis=-1)[taken]
      if taken.any():
        figures['predicted_outcome'] = predicted.mean()
        figures['estimator_error'] = np.abs(predicted - outcome).mean()
    rewards = step_rewards(trajectories, contributions, options)
    self._rewards = np.asarray(rewards)
    kl_rewards = None
    if self.needs_reference:
      kl_rewards, carried, more = self._kl(rows, carried)
      figures.update(more)
    credit = advantages(
      rewards.reshape(flat_mask.shape),
      rows,
      values,
      flat_mask,
      kl_rewards,
      options,
    )
    self._figures = {name: float(x) for name, x in figures.items()}
    return loop_lib.TokenAdvantages(credit.total, credit.returns, carried)

  def _kl(self, rows, carried):
    """KL rewards [E, L], the coefficient that follows, and figures."""
    options = self.options
    drawn, reference = rows.step_of_token >= 0, self.reference(rows)
    coefficient = carried['kl_reward']
    rewards = kl_penalty.rewards(
      rows.log_probs,
      reference,
      drawn,
      coefficient=coefficient,
      estimator=options.kl_reward_estimator,
    )
    each = losses.kl(
      rows.log_probs, reference, estimator=options.kl_reward_estimator
    )
    kl = losses.aggregate(each, drawn, 'seq-mean-token-sum')
    if options.kl_reward_target:
      following = kl_penalty.adapted_coefficient(
        coefficient,
        kl,
        target=options.kl_reward_target,
        count=int(drawn.any(axis=1).sum()),
        horizon=options.kl_reward_horizon,
      )
    else:
      following = coefficient
    figures = {'kl_of_episode': kl, 'kl_reward': coefficient}
    return rewards, {'kl_reward': following}, figures

  def metrics(self, batch: loop_lib.Batch) -> dict[str, Any]:
    """Figures of the credit that was just given.

    Returns:
      step_reward, the mean over steps; where an estimator is used
      predicted_outcome and estimator_error, its mean absolute error; where KL
      is a reward kl_of_episode and kl_reward, the coefficient.
    """
    mask = np.asarray(batch.trajectories.mask)
    steps = max(mask.sum(), 1)
    return {
      'step_reward': float(np.where(mask, self._rewards, 0).sum() / steps),
      **self._figures,
    }

  def records(self, iteration, batch, tokenizer, group_size):
    del tokenizer
    records = episode_records.episode_records(
      iteration,
      batch,
      group_relative_credit.gigpo_parts(batch.trajectories, self._shown),
      group_relative_credit.grpo_credit(batch.trajectories, self._shown),
      group_size,
      {self.options.method: self._rewards},
    )
    return {episode_records.FILE_NAME: records}
