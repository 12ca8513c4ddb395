"""Every credit function with arguments, for the contract tests.

A new method is tested by adding a row. Other options of a function that has a
row are rows with `options_of`, which run the cheap contracts alone: sharding
and tracing do not depend on options.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcredit import (
  credit_quality,
  dapo,
  gigpo,
  grpo,
  hepo,
  ircr,
  kl_penalty,
  lare,
  losses,
  ppo,
  reinforce_plus_plus,
  returns,
  rloo,
  running_statistics,
  spa,
  step_tokens,
  tempo,
  treerpo,
  vineppo,
)


def given(*positional, **options):
  """Arguments of a call."""
  return positional, options


@dataclasses.dataclass(frozen=True)
class Row:
  """A function under contract.

  Attributes:
    name: of the row.
    function: under contract.
    given: (floats, mask, integers) -> its arguments.
    shape: of a group's arrays, without leading axes.
    integers: kind of the integer argument, 'anchors', 'steps', 'parents' or ''.
    floats: how many float arrays the function takes.
    over_batch: whether leading axes are mixed (whitening, means).
    gradient: whether the result is differentiable in the first float.
    options_of: the row of the same function with other options; '' for the
      row that runs all contracts.
    result: what of the result has the shapes that contracts look at.
    squares: whether it holds squares of the floats, which may be infinite
      where the floats are not.
    undefined: whether it is NaN where nothing counts.
  """

  name: str
  function: Callable[..., Any]
  given: Callable[..., tuple[tuple, dict]]
  shape: tuple[int, ...]
  integers: str = ''
  floats: int = 1
  over_batch: bool = False
  gradient: bool = True
  options_of: str = ''
  result: Callable[[Any], Any] = lambda result: result
  squares: bool = False
  undefined: bool = False

  def call(self, floats, mask, integers):
    """The function's result, a pytree."""
    positional, options = self.given(floats, mask, integers)
    return self.result(self.function(*positional, **options))


def _loss(ratio, aggregation, **options):
  def arguments_of(floats, mask, integers):
    return given(
      0.1 * floats[0] - 1,
      0.1 * floats[1] - 1,
      floats[2],
      mask,
      ratio=ratio,
      aggregation=aggregation,
      step_of_token=integers,
      **options,
    )

  return arguments_of


def _weighted(floats, mask, integers):
  weights = jnp.exp(0.1 * floats[3])
  arguments_of = _loss('token', 'token-mean', weights=weights)
  return arguments_of(floats, mask, integers)


def _importance(ratio, floats, mask, integers):
  return given(
    0.1 * floats[0] - 1,
    0.1 * floats[1] - 1,
    mask,
    ratio=ratio,
    step_of_token=integers,
  )


def _scores(rewards, mask):
  """A reward for each row, NaN for a row that is all masked."""
  if mask.shape != rewards.shape:
    return jnp.zeros(rewards.shape[:-1])  # the function is to complain
  total = jnp.where(mask, rewards, 0).sum(axis=-1)
  return jnp.where(mask.any(axis=-1), total, jnp.nan)


def _tempo_parts(parts):
  """TEMPO's parts, all of the shape of the tokens."""
  return parts.total, parts.td, parts.branch, parts.values[..., 1:]


def _of_tokens(step, mask):
  """Steps of those tokens that `mask` holds, -1 elsewhere."""
  if mask.shape != step.shape:
    return step  # the function is to complain
  return jnp.where(mask, step, -1)


def _subsampled(form, unbiased, floats, mask, integers):
  """RRD's loss; episodes have two steps more than were drawn."""
  lengths = mask.sum(-1) + 2
  return given(
    floats[0],
    _scores(floats[1], mask),
    lengths,
    mask,
    form=form,
    unbiased=unbiased,
  )


def _normalised(values, mask):
  """Entries of one feature, by their own statistics."""
  state = running_statistics.update(running_statistics.init(()), values, mask)
  return running_statistics.apply(state, values, mask)


def _redistributed(scaling, agents, floats, mask, integers):
  axes = (-1, -2) if agents else -1
  totals = None
  if mask.shape == floats[1].shape:
    totals = floats[1].max(axes, where=mask, initial=-3)
    totals = jnp.where(mask.any(axes), totals, jnp.nan)
  return given(
    floats[0],
    mask,
    scaling=scaling,
    returns=totals,
    deviation=2.0,
    factor=0.5,
    agents=agents,
  )


def _ircr(floats, mask, integers):
  # A mask of the wrong shape is one without its steps.
  fits = mask.shape == floats[0].shape
  return given(_scores(floats[0], mask), mask if fits else mask[..., 0])


def _ends(floats, *, first):
  return {
    'terminated': floats[first] > 1,
    'truncated': floats[first] < -1,
    'final_values': floats[first + 1],
  }


TABLE = [
  Row(
    'discounted_returns',
    returns.discounted_returns,
    lambda f, m, i: given(f[0], m, discount=0.9),
    (7,),
  ),
  Row(
    'discounted_returns_ends',
    returns.discounted_returns,
    lambda f, m, i: given(f[0], m, discount=0.9, **_ends(f, first=1)),
    (7,),
    floats=3,
    options_of='discounted_returns',
  ),
  Row(
    'gae',
    returns.gae,
    lambda f, m, i: given(
      f[0], f[1], m, discount=0.9, gae_lambda=0.8, bootstrap=0.5
    ),
    (7,),
    floats=2,
  ),
  Row(
    'gae_ends',
    returns.gae,
    lambda f, m, i: given(
      f[0], f[1], m, discount=0.9, gae_lambda=0.8, **_ends(f, first=2)
    ),
    (7,),
    floats=4,
    options_of='gae',
  ),
  Row(
    'ppo',
    ppo.advantages,
    lambda f, m, i: given(
      f[0], f[1], m, discount=0.9, gae_lambda=0.8, bootstrap=0.5
    ),
    (7,),
    floats=2,
    over_batch=True,
  ),
  Row(
    'ppo_raw',
    ppo.advantages,
    lambda f, m, i: given(f[0], f[1], m, whiten=False),
    (7,),
    floats=2,
    options_of='ppo',
  ),
  *[
    Row(
      f'value_loss_{clip}',
      losses.value_loss,
      lambda f, m, i, clip=clip: given(f[0], f[1], f[2], m, clip=clip),
      (7,),
      floats=3,
      over_batch=True,
      options_of=options_of,
      squares=True,
    )
    for clip, options_of in ((0.2, ''), (None, 'value_loss_0.2'))
  ],
  Row('grpo', grpo.advantages, lambda f, m, i: given(f[0], m), (6,)),
  Row(
    'dr_grpo',
    grpo.advantages,
    lambda f, m, i: given(f[0], m, scale='none', ddof=0),
    (6,),
    options_of='grpo',
  ),
  Row('rloo', rloo.advantages, lambda f, m, i: given(f[0], m), (6,)),
  Row(
    'group_filter',
    dapo.group_filter,
    lambda f, m, i: given(f[0], m),
    (6,),
    gradient=False,
  ),
  Row(
    'reinforce++',
    reinforce_plus_plus.advantages,
    lambda f, m, i: given(f[0], m, discount=0.9),
    (5, 7),
    over_batch=True,
  ),
  Row(
    'reinforce++baseline',
    reinforce_plus_plus.baseline_advantages,
    lambda f, m, i: given(f[0], m),
    (5, 7),
    over_batch=True,
  ),
  *[
    Row(
      f'gigpo_{statistics}_{scale}',
      gigpo.advantages,
      lambda f, m, i, statistics=statistics, scale=scale: given(
        f[0],
        m,
        i,
        penalties=abs(f[1]),
        scale=scale,
        episode_statistics=statistics,
      ),
      (5, 7),
      integers='anchors',
      floats=2,
      options_of=options_of,
    )
    for statistics, scale, options_of in (
      ('trajectories', 'std', ''),
      ('trajectories', 'none', 'gigpo_trajectories_std'),
      ('steps', 'std', 'gigpo_trajectories_std'),
      ('steps', 'none', 'gigpo_trajectories_std'),
    )
  ],
  *[
    Row(
      f'tempo_{name}',
      tempo.advantages,
      lambda f, m, i, options=options: given(i, m, _scores(f[0], m), **options),
      (5, 7),
      integers='anchors',
      options_of='' if name == 'std' else 'tempo_std',
      result=_tempo_parts,
    )
    for name, options in {
      'std': {},
      'none': {'scale': 'none', 'ended': 'stays', 'td_weight': 0.5},
      'stop': {'ddof': 0, 'after_environment': 'stop'},
    }.items()
  ],
  Row(
    'tempo_steps',
    tempo.advantages,
    lambda f, m, i: given(
      i % 3, m, _scores(f[0], m), step_of_token=i, environment=i == 2
    ),
    (5, 7),
    integers='steps',
  ),
  Row(
    'hepo',
    hepo.advantages,
    lambda f, m, i: given(_scores(f[0], m), f[1], m, rho=0.6),
    (5, 7),
    floats=2,
    over_batch=True,
  ),
  Row(
    'treerpo',
    treerpo.advantages,
    lambda f, m, i: given(f[0], i, m),
    (9,),
    integers='parents',
  ),
  Row(
    'vineppo_values',
    vineppo.state_values,
    lambda f, m, i: given(f[0], m),
    (4, 3),
  ),
  Row(
    'vineppo',
    vineppo.advantages,
    lambda f, m, i: given(f[0], f[1], m, bootstrap=0.5),
    (7,),
    floats=2,
  ),
  Row(
    'spa_progress_loss',
    spa.progress_loss_parts,
    lambda f, m, i: given(
      f[0],
      _scores(f[1], m),
      m,
      prefix_weight=0.5,
      smoothness_weight=0.2,
      monotone_weight=0.3,
    ),
    (7,),
    floats=2,
    over_batch=True,
    squares=True,
  ),
  *[
    Row(
      f'spa_redistribute_{redistribution}',
      spa.redistribute,
      lambda f, m, i, redistribution=redistribution: given(
        f[0], _scores(f[0] + f[1], m), m, redistribution=redistribution
      ),
      (5, 7),
      floats=2,
      options_of=options_of,
    )
    for redistribution, options_of in (
      ('shift', ''),
      ('leave_one_out', 'spa_redistribute_shift'),
    )
  ],
  Row(
    'spa_rewards',
    spa.rewards,
    lambda f, m, i: given(f[0], abs(f[1]), m),
    (7,),
    floats=2,
  ),
  Row(
    'spa_grounding_accuracy',
    spa.grounding_accuracy,
    lambda f, m, i: given(f[0], m),
    (7,),
    over_batch=True,
  ),
  Row(
    'place',
    step_tokens.place,
    lambda f, m, i: given(f[0], _of_tokens(i, m), m, placement='remaining'),
    (7,),
    integers='steps',
  ),
  Row(
    'token_advantages',
    ppo.token_advantages,
    lambda f, m, i: given(
      f[0], f[1], m, gae_positions='all', bootstrap=0.5, whiten=False
    ),
    (7,),
    floats=2,
  ),
  Row(
    'step_advantages',
    ppo.step_advantages,
    lambda f, m, i: given(
      f[0], f[1], _of_tokens(i, m), m, token_rewards=f[1] - 1, whiten=False
    ),
    (7,),
    integers='steps',
    floats=2,
  ),
  Row(
    'kl_penalty',
    kl_penalty.rewards,
    lambda f, m, i: given(f[0], f[1], m, coefficient=0.3),
    (7,),
    floats=2,
  ),
  *[
    Row(
      f'decomposition_loss_{form}',
      lare.decomposition_loss,
      lambda f, m, i, form=form: given(f[0], _scores(f[1], m), m, form=form),
      (7,),
      floats=2,
      over_batch=True,
      options_of='' if form == 'sum' else 'decomposition_loss_sum',
      squares=True,
    )
    for form in lare.FORMS
  ],
  *[
    Row(
      f'subsampled_loss_{form}_{unbiased}',
      lare.subsampled_loss,
      functools.partial(_subsampled, form, unbiased),
      (7,),
      floats=2,
      over_batch=True,
      options_of=options_of,
      squares=True,
    )
    for form, unbiased, options_of in (
      ('mean', True, ''),
      ('sum', False, 'subsampled_loss_mean_True'),
    )
  ],
  Row(
    'temporal_variance',
    lare.temporal_variance,
    lambda f, m, i: given(f[0], m),
    (7,),
    over_batch=True,
    squares=True,
  ),
  Row(
    'team_rewards', lare.team_rewards, lambda f, m, i: given(f[0], m), (3, 7)
  ),
  Row(
    'shared_rewards',
    lare.shared_rewards,
    lambda f, m, i: given(f[0], m),
    (3, 7),
  ),
  *[
    Row(
      f'redistributed_rewards_{scaling}_{agents}',
      lare.redistributed_rewards,
      functools.partial(_redistributed, scaling, agents),
      (3, 7) if agents else (7,),
      floats=2,
      options_of='' if agents else 'redistributed_rewards_length_True',
    )
    for scaling, agents in (
      ('length', True),
      ('exact', False),
      ('deviation', False),
    )
  ],
  Row('ircr', ircr.guidance_rewards, _ircr, (4, 7)),
  Row(
    'uniform_rewards',
    ircr.uniform_rewards,
    _ircr,
    (4, 7),
  ),
  Row(
    'running_statistics',
    _normalised,
    lambda f, m, i: given(f[0], m),
    (7,),
    over_batch=True,
    squares=True,
  ),
  *[
    Row(
      f'policy_loss_{ratio}_{aggregation}',
      losses.policy_loss,
      _loss(ratio, aggregation, dual_clip=3.0, clip_high=0.3, normaliser=9.0),
      (9,),
      integers='steps',
      floats=3,
      over_batch=True,
      # The way by steps, with segments in it, is the most for a compiler.
      options_of=(
        '' if aggregation == 'step-mean' else 'policy_loss_step_step-mean'
      ),
    )
    for ratio, aggregation in zip(
      ('token', 'step', 'sequence', 'token', 'step'),
      losses.AGGREGATIONS,
      strict=True,
    )
  ],
  Row(
    'policy_loss_weighted',
    losses.policy_loss,
    _weighted,
    (9,),
    floats=4,
    over_batch=True,
    options_of='policy_loss_step_step-mean',
  ),
  *[
    Row(
      f'importance_weights_{ratio}',
      losses.importance_weights,
      functools.partial(_importance, ratio),
      (9,),
      integers='steps',
      floats=2,
      gradient=False,
      options_of='' if ratio == 'step' else 'importance_weights_step',
    )
    for ratio in losses.RATIOS
  ],
  *[
    Row(
      score.__name__,
      score,
      lambda f, m, i: given(f[0], f[1], m),
      (5, 7),
      floats=2,
      over_batch=True,
      gradient=False,
      squares=True,
      undefined=score.__name__ in ('sign_agreement', 'scaled_error'),
    )
    for score in (
      credit_quality.correlation,
      credit_quality.rank_correlation,
      credit_quality.within_episodes,
      credit_quality.sign_agreement,
      credit_quality.best_scale,
      credit_quality.scaled_error,
    )
  ],
]

# Public functions without a row, and why.
WITHOUT_ROW = {
  'credit_quality.ranks': 'takes one row',
  'credit_quality.gradient_cosine': 'takes two tables of names',
  'credit_quality.resampling_variance': 'takes several batches',
  'gigpo.anchor_groups': 'no floats; part of gigpo.advantages',
  'ircr.return_bounds': 'part of ircr.guidance_rewards',
  'kl_penalty.adapted_coefficient': 'takes numbers',
  'kl_penalty.kl': 'no mask; part of kl_penalty.rewards',
  'lare.sample_steps': 'draws',
  'losses.aggregate': 'part of losses.policy_loss',
  'losses.entropy': 'no mask',
  'prefix_trees': 'no floats; part of tempo.advantages',
  'running_statistics': 'a row of its own makes and applies them',
  'spa.progress_loss': 'part of spa.progress_loss_parts',
  'step_sampling': 'draws, and takes what was drawn',
  'step_tokens': 'no mask; part of step_tokens.place',
  'fingerprints': 'on the host',
  'packing': 'on the host',
}


def arguments(row: Row, leading, seed=0, dtype=np.float32):
  """Random arguments (floats, mask, integers) for a row of the table."""
  rng = np.random.default_rng(seed)
  shape = (*leading, *row.shape)
  # Round numbers, so that groups have equal members now and then.
  floats = tuple(
    np.round(rng.normal(size=shape) * 2).astype(dtype) / 2
    for _ in range(row.floats)
  )
  length = rng.integers(0, row.shape[-1] + 1, shape[:-1])
  mask = np.arange(row.shape[-1]) < length[..., None]
  integers = None
  if row.integers == 'anchors':
    integers = rng.integers(0, 4, (*shape, 2)).astype(np.uint32)
  elif row.integers == 'steps':
    integers = np.sort(rng.integers(-1, 4, shape), axis=-1).astype(np.int32)
    mask = mask & (integers >= 0)
  elif row.integers == 'parents':
    # Trees whose masked nodes are leaves.
    integers = rng.integers(-1, np.arange(row.shape[-1]), shape)
  return floats, mask, integers
