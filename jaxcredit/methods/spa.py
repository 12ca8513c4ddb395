"""SPA: PPO on the estimated contribution of each step (2505.20732)."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit import options as options_lib
from jaxcredit.algorithms import spa
from jaxcredit.methods import arrays, ppo
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register


@dataclasses.dataclass(frozen=True)
class Options(ppo.Options):
  """See `jaxcredit.spa`; the rest is PPO's."""

  discount: float = options_lib.option(0.99, 'Discount of returns.', 0.0, 1.0)
  gae_lambda: float = options_lib.option(
    0.95, 'Lambda of generalised advantages.', 0.0, 1.0
  )
  progress_weight: float = options_lib.option(
    1.0, 'Weight of the contributions in the step rewards; 0: off.', 0.0
  )
  grounding_weight: float = options_lib.option(
    0.5,
    'Reward of an action that the environment could carry out, in units of the '
    'scaled rewards; 0: off.',
    0.0,
  )
  redistribution: str = options_lib.option(
    'none',
    'Contributions as estimated (paper), shifted so that they sum to the '
    "return, or replaced by the return minus the mean of the group's others "
    '(released code).',
    choices=spa.REDISTRIBUTIONS,
  )


def _estimates(options: Options) -> bool:
  """Whether the rewards depend on the estimator."""
  weighs = bool(options.progress_weight)
  return weighs and options.redistribution != 'leave_one_out'


def needed_by(options: Options) -> frozenset[str]:
  """What PPO needs, and contributions if they have a weight."""
  needs = ppo.needed_by(options)
  return needs | {'contributions'} if _estimates(options) else needs


def _estimator_metrics(
  contributions: jax.Array, returns: jax.Array, taken: jax.Array
) -> dict[str, jax.Array]:
  """How well the contributions of an episode sum to its return."""
  predicted = contributions.sum(axis=-1)
  count = jnp.maximum(taken.sum(), 1)
  error = jnp.abs(predicted - returns)
  return {
    'predicted_outcome': jnp.where(taken, predicted, 0).sum() / count,
    'estimator_error': jnp.where(taken, error, 0).sum() / count,
  }


def credit(batch: Batch, options: Options) -> Credit:
  """PPO's credit for SPA's rewards."""
  t = batch.trajectories
  returns, metrics = arrays.returns(batch), {}
  contributions = jnp.zeros_like(t.rewards)
  if _estimates(options):
    contributions = batch.predictions['contributions']
    contributions = jnp.where(t.mask, contributions, 0)
    metrics = _estimator_metrics(contributions, returns, t.mask.any(axis=-1))
  rewards = spa.rewards(
    spa.redistribute(
      contributions, returns, t.mask, redistribution=options.redistribution
    ),
    t.mask if t.grounding is None else t.grounding,
    t.mask,
    progress_weight=options.progress_weight,
    grounding_weight=options.grounding_weight,
  )
  rewards = rewards - jnp.where(t.mask, t.penalties, 0)
  result = ppo.proximal_credit(batch, rewards, options)
  return dataclasses.replace(result, metrics={**result.metrics, **metrics})


register(
  Method(
    name='spa',
    label='SPA',
    paper='2505.20732',
    unit='token',
    options=Options,
    credit=credit,
    needs=frozenset({'values', 'reference', 'contributions'}),
    stages=('explore', 'fit_progress'),
    needed_by=needed_by,
    first_carry=ppo.first_carry,
    standardised=True,
  )
)
