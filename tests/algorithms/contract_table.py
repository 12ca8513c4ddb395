"""Every credit function with arguments, for the contract tests.

A new method is tested by adding a row. Other options of a function that has a
row are rows with `options_of`, which run the cheap contracts alone: sharding
and tracing do not depend on options.
"""

import functools

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
  spa,
  step_tokens,
  tempo,
  treerpo,
  vineppo,
)
from tests.algorithms import contract_row

Row, given = contract_row.Row, contract_row.given

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
    lambda f, m, i: given(
      f[0], m, discount=0.9, **contract_row.ends(f, first=1)
    ),
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
      f[0],
      f[1],
      m,
      discount=0.9,
      gae_lambda=0.8,
      **contract_row.ends(f, first=2),
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
    'overlong_penalty',
    dapo.overlong_penalty,
    lambda f, m, i: given(f[0], m, limit=2, buffer=2),
    (5,),
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
      lambda f, m, i, options=options: given(
        i, m, contract_row.scores(f[0], m), **options
      ),
      (5, 7),
      integers='anchors',
      options_of='' if name == 'std' else 'tempo_std',
      result=contract_row.tempo_parts,
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
      i % 3,
      m,
      contract_row.scores(f[0], m),
      step_of_token=i,
      environment=i == 2,
    ),
    (5, 7),
    integers='steps',
  ),
  Row(
    'hepo',
    hepo.advantages,
    lambda f, m, i: given(contract_row.scores(f[0], m), f[1], m, rho=0.6),
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
      contract_row.scores(f[1], m),
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
        f[0],
        contract_row.scores(f[0] + f[1], m),
        m,
        redistribution=redistribution,
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
    lambda f, m, i: given(
      f[0], contract_row.of_tokens(i, m), m, placement='remaining'
    ),
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
      f[0],
      f[1],
      contract_row.of_tokens(i, m),
      m,
      token_rewards=f[1] - 1,
      whiten=False,
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
      lambda f, m, i, form=form: given(
        f[0], contract_row.scores(f[1], m), m, form=form
      ),
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
      functools.partial(contract_row.of_subsampled, form, unbiased),
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
      functools.partial(contract_row.of_redistributed, scaling, agents),
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
  Row('ircr', ircr.guidance_rewards, contract_row.of_ircr, (4, 7)),
  Row(
    'uniform_rewards',
    ircr.uniform_rewards,
    contract_row.of_ircr,
    (4, 7),
  ),
  Row(
    'running_statistics',
    contract_row.normalised,
    lambda f, m, i: given(f[0], m),
    (7,),
    over_batch=True,
    squares=True,
  ),
  *[
    Row(
      f'policy_loss_{ratio}_{aggregation}',
      losses.policy_loss,
      contract_row.of_loss(
        ratio, aggregation, dual_clip=3.0, clip_high=0.3, normaliser=9.0
      ),
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
    contract_row.of_weighted_loss,
    (9,),
    floats=4,
    over_batch=True,
    options_of='policy_loss_step_step-mean',
  ),
  *[
    Row(
      f'importance_weights_{ratio}',
      losses.importance_weights,
      functools.partial(contract_row.of_importance, ratio),
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
