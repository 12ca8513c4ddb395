"""Every credit function with arguments, for the contract tests.

A new method is tested by adding a row.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcredit import (
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
  tempo,
  treerpo,
  vineppo,
)


@dataclasses.dataclass(frozen=True)
class Row:
  """A function under contract.

  Attributes:
    name: of the row.
    call: (floats, mask, integers) -> pytree.
    shape: of a group's arrays, without leading axes.
    integers: kind of the integer argument, 'anchors', 'steps', 'parents' or ''.
    floats: how many float arrays the function takes.
    over_batch: whether leading axes are mixed (whitening, means).
    removable: whether a masked entry may be cut out instead ('last': only at
      the end of the last axis).
    gradient: whether the result is differentiable in the first float.
  """

  name: str
  call: Callable[..., Any]
  shape: tuple[int, ...]
  integers: str = ''
  floats: int = 1
  over_batch: bool = False
  gradient: bool = True


def _loss(ratio, aggregation, **options):
  def call(floats, mask, integers):
    result = losses.policy_loss(
      0.1 * floats[0] - 1,
      0.1 * floats[1] - 1,
      floats[2],
      mask,
      ratio=ratio,
      aggregation=aggregation,
      step_of_token=integers,
      **options,
    )
    return result

  return call


def _importance(floats, mask, integers, **options):
  return losses.importance_weights(
    0.1 * floats[0] - 1,
    0.1 * floats[1] - 1,
    mask,
    step_of_token=integers,
    **options,
  )


def _scores(rewards, mask):
  """A reward for each row, NaN for a row that is all masked."""
  if mask.shape != rewards.shape:
    return jnp.zeros(rewards.shape[:-1])  # the function is to complain
  total = jnp.where(mask, rewards, 0).sum(axis=-1)
  return jnp.where(mask.any(axis=-1), total, jnp.nan)


def _tempo(floats, mask, integers, **options):
  """TEMPO's parts, all of the shape of the tokens."""
  parts = tempo.advantages(integers, mask, _scores(floats[0], mask), **options)
  return parts.total, parts.td, parts.branch, parts.values[..., 1:]


def _of_tokens(step, mask):
  """Steps of those tokens that `mask` holds, -1 elsewhere."""
  if mask.shape != step.shape:
    return step  # the function is to complain
  return jnp.where(mask, step, -1)


def _subsampled(floats, mask, integers, **options):
  """RRD's loss; episodes have two steps more than were drawn."""
  return lare.subsampled_loss(
    floats[0], _scores(floats[1], mask), mask.sum(-1) + 2, mask, **options
  )


def _normalised(floats, mask, integers):
  """Entries of one feature, by their own statistics."""
  state = running_statistics.init((), floats[0].dtype)
  state = running_statistics.update(state, floats[0], mask)
  return running_statistics.apply(state, floats[0], mask)


TABLE = [
  Row(
    'discounted_returns',
    lambda f, m, i: returns.discounted_returns(f[0], m, discount=0.9),
    (7,),
  ),
  Row(
    'gae',
    lambda f, m, i: returns.gae(
      f[0], f[1], m, discount=0.9, gae_lambda=0.8, bootstrap=0.5
    ),
    (7,),
    floats=2,
  ),
  Row(
    'ppo',
    lambda f, m, i: ppo.advantages(
      f[0], f[1], m, discount=0.9, gae_lambda=0.8, bootstrap=0.5
    ),
    (7,),
    floats=2,
    over_batch=True,
  ),
  Row(
    'ppo_raw',
    lambda f, m, i: ppo.advantages(f[0], f[1], m, whiten=False),
    (7,),
    floats=2,
  ),
  *[
    Row(
      f'value_loss_{clip}',
      lambda f, m, i, clip=clip: losses.value_loss(
        f[0], f[1], f[2], m, clip=clip
      ),
      (7,),
      floats=3,
      over_batch=True,
    )
    for clip in (None, 0.2)
  ],
  Row('grpo', lambda f, m, i: grpo.advantages(f[0], m), (6,)),
  Row(
    'dr_grpo',
    lambda f, m, i: grpo.advantages(f[0], m, scale='none', ddof=0),
    (6,),
  ),
  Row('rloo', lambda f, m, i: rloo.advantages(f[0], m), (6,)),
  Row(
    'group_filter',
    lambda f, m, i: dapo.group_filter(f[0], m),
    (6,),
    gradient=False,
  ),
  Row(
    'overlong_penalty',
    lambda f, m, i: dapo.overlong_penalty(f[0], m, limit=2, buffer=2),
    (5,),
  ),
  Row(
    'reinforce++',
    lambda f, m, i: reinforce_plus_plus.advantages(f[0], m, discount=0.9),
    (5, 7),
    over_batch=True,
  ),
  Row(
    'reinforce++baseline',
    lambda f, m, i: reinforce_plus_plus.baseline_advantages(f[0], m),
    (5, 7),
    over_batch=True,
  ),
  *[
    Row(
      f'gigpo_{statistics}_{scale}',
      lambda f, m, i, statistics=statistics, scale=scale: gigpo.advantages(
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
    )
    for statistics in gigpo.EPISODE_STATISTICS
    for scale in grpo.SCALES
  ],
  *[
    Row(
      f'tempo_{name}',
      lambda f, m, i, options=options: _tempo(f, m, i, **options),
      (5, 7),
      integers='anchors',
    )
    for name, options in {
      'std': {},
      'none': {'scale': 'none', 'ended': 'stays', 'td_weight': 0.5},
      'stop': {'ddof': 0, 'after_environment': 'stop'},
    }.items()
  ],
  Row(
    'tempo_steps',
    lambda f, m, i: tempo.advantages(
      i % 3, m, _scores(f[0], m), step_of_token=i, environment=i == 2
    ),
    (5, 7),
    integers='steps',
  ),
  Row(
    'hepo',
    lambda f, m, i: hepo.advantages(_scores(f[0], m), f[1], m, rho=0.6),
    (5, 7),
    floats=2,
    over_batch=True,
  ),
  Row(
    'treerpo',
    lambda f, m, i: treerpo.advantages(f[0], i, m),
    (9,),
    integers='parents',
  ),
  Row('vineppo_values', lambda f, m, i: vineppo.state_values(f[0], m), (4, 3)),
  Row(
    'vineppo',
    lambda f, m, i: vineppo.advantages(f[0], f[1], m, bootstrap=0.5),
    (7,),
    floats=2,
  ),
  Row(
    'spa_progress_loss',
    lambda f, m, i: spa.progress_loss_parts(
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
  ),
  *[
    Row(
      f'spa_redistribute_{mode}',
      lambda f, m, i, mode=mode: spa.redistribute(
        f[0], _scores(f[0] + f[1], m), m, mode=mode
      ),
      (5, 7),
      floats=2,
    )
    for mode in ('shift', 'leave_one_out')
  ],
  Row(
    'spa_rewards',
    lambda f, m, i: spa.rewards(f[0], abs(f[1]), m),
    (7,),
    floats=2,
  ),
  Row(
    'spa_grounding_accuracy',
    lambda f, m, i: spa.grounding_accuracy(f[0], m),
    (7,),
    over_batch=True,
  ),
  Row(
    'spa_place',
    lambda f, m, i: spa.place(f[0], _of_tokens(i, m), m, weight='remaining'),
    (7,),
    integers='steps',
  ),
  Row(
    'spa_token_advantages',
    lambda f, m, i: spa.token_advantages(
      f[0], f[1], m, across='all', bootstrap=0.5, whiten=False
    ),
    (7,),
    floats=2,
  ),
  Row(
    'spa_step_advantages',
    lambda f, m, i: spa.step_advantages(
      f[0], f[1], _of_tokens(i, m), m, token_rewards=f[1] - 1, whiten=False
    ),
    (7,),
    integers='steps',
    floats=2,
  ),
  Row(
    'kl_penalty',
    lambda f, m, i: kl_penalty.rewards(f[0], f[1], m, coefficient=0.3),
    (7,),
    floats=2,
  ),
  *[
    Row(
      f'decomposition_loss_{form}',
      lambda f, m, i, form=form: lare.decomposition_loss(
        f[0], _scores(f[1], m), m, form=form
      ),
      (7,),
      floats=2,
      over_batch=True,
    )
    for form in lare.FORMS
  ],
  *[
    Row(
      f'subsampled_loss_{form}_{unbiased}',
      functools.partial(_subsampled, form=form, unbiased=unbiased),
      (7,),
      floats=2,
      over_batch=True,
    )
    for form, unbiased in (('mean', True), ('sum', False))
  ],
  Row(
    'temporal_variance',
    lambda f, m, i: lare.temporal_variance(f[0], m),
    (7,),
    over_batch=True,
  ),
  Row('team_rewards', lambda f, m, i: lare.team_rewards(f[0], m), (3, 7)),
  Row('shared_rewards', lambda f, m, i: lare.shared_rewards(f[0], m), (3, 7)),
  *[
    Row(
      f'redistributed_rewards_{scaling}_{agents}',
      lambda f, m, i, scaling=scaling, agents=agents: (
        lare.redistributed_rewards(
          f[0],
          m,
          scaling=scaling,
          episode_return=jnp.where(
            m.any((-1, -2) if agents else -1),
            f[1].max((-1, -2) if agents else -1, where=m, initial=-3),
            jnp.nan,
          )
          if m.shape == f[1].shape
          else None,
          deviation=2.0,
          factor=0.5,
          agents=agents,
        )
      ),
      (3, 7) if agents else (7,),
      floats=2,
    )
    for scaling, agents in (
      ('length', True),
      ('exact', False),
      ('deviation', False),
    )
  ],
  Row(
    'ircr',
    # A mask of the wrong shape is one without its steps.
    lambda f, m, i: ircr.guidance_rewards(
      _scores(f[0], m), m if m.shape == f[0].shape else m[..., 0]
    ),
    (4, 7),
  ),
  Row('running_statistics', _normalised, (7,), over_batch=True),
  *[
    Row(
      f'policy_loss_{ratio}_{aggregation}',
      _loss(ratio, aggregation, dual_clip=3.0, clip_high=0.3, normaliser=9.0),
      (9,),
      integers='steps',
      floats=3,
      over_batch=True,
    )
    for ratio, aggregation in zip(
      ('token', 'step', 'sequence', 'token', 'step'),
      losses.AGGREGATIONS,
      strict=True,
    )
  ],
  Row(
    'policy_loss_weighted',
    lambda f, m, i: _loss('token', 'token-mean', weights=jnp.exp(0.1 * f[3]))(
      f, m, i
    ),
    (9,),
    floats=4,
    over_batch=True,
  ),
  *[
    Row(
      f'importance_weights_{ratio}',
      functools.partial(_importance, ratio=ratio),
      (9,),
      integers='steps',
      floats=2,
      gradient=False,
    )
    for ratio in losses.RATIOS
  ],
]


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
