"""The loop: its options, its repeatability, and what goes wrong in a run."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcredit import gigpo, methods
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import policy_gradient, stage_clock, supervised
from tests.rollouts import test_collector
from tests.training import test_learner

VOCABULARY = 8
ROW_TOKENS = 8


class ScriptedCollector:
  """Plays in no time; a task is what its episodes come to.

  'equal' and 'mixed' tasks have rollouts of equal and of different returns; a
  'lost' task loses its first rollout, a 'dead' one all of them.
  """

  def __init__(self):
    self.timing = collector_lib.Timing()
    self.calls = []

  def collect(
    self,
    params,
    tasks,
    group_size,
    key,
    *,
    temperature,
    tree=None,
    on_episode=None,
  ):
    self.tree = tree
    seed = np.asarray(jax.random.key_data(key)).tolist()
    self.calls.append((list(tasks), temperature, seed))
    self.params = jax.device_get(params)
    rng = np.random.default_rng(seed)
    return [
      self._play(task, p, g, rng)
      for p, task in enumerate(tasks)
      for g in range(group_size)
    ]

  def _play(self, task, group, rollout, rng):
    won = 'equal' in task or rollout % 2 == 1
    dead = 'dead' in task or ('lost' in task and rollout == 0)
    steps = [
      # Of wrong form, not admissible, and good.
      episodes_lib.Step('saw', 'did', 'heard', 0.0, False, False, 'a'),
      episodes_lib.Step('saw', 'did', 'heard', 0.0, True, False, 'b'),
      episodes_lib.Step('saw', 'did', 'heard', float(won), True, True, 'c'),
    ]
    row = episodes_lib.TokenRow()
    for number in range(len(steps)):
      row.read([1])
      row.sample([int(rng.integers(2, VOCABULARY))], [-2.0], number)
    return episodes_lib.Episode(
      task=task,
      group=group,
      rollout=rollout,
      steps=steps,
      rows=[row],
      shared_prefix_length=int('branching' in task and rollout > 0),
      terminated=won and not dead,
      truncated=not won and not dead,
      failure='it died' if dead else '',
    )


@functools.cache
def table_learner():
  """Learns the frequencies of tokens."""

  def loss(params, reference, rows, advantages, weight):
    del reference
    log_probs = jax.nn.log_softmax(params['table'])[rows.tokens]
    spread = policy_gradient.token_advantages(advantages, rows)
    mask = rows.step_of_token >= 0
    value = -jnp.sum(spread * log_probs) / jnp.maximum(mask.sum(), 1)
    return weight * value, {'policy_loss': weight * value}

  return learner_lib.Learner(
    loss,
    supervised.count_tokens,
    optax.sgd(0.1),
    micro_batch_tokens=4 * ROW_TOKENS,
    lengths=[ROW_TOKENS],
  )


def credit(trajectories, **options):
  return gigpo.advantages(
    trajectories.rewards,
    trajectories.mask,
    trajectories.anchors,
    penalties=trajectories.penalties,
    scale='none',
    **options,
  ).total


def method_of(credit, unit='step', needs=frozenset()):
  """A method whose credit is a function of trajectories.

  Args:
    credit: trajectories -> [P, G, S]; or, where the unit is the token, batch ->
      `methods.Credit`.
    unit: of the method.
    needs: of the method.
  """

  def of_batch(batch, options):
    del options
    if unit == 'token':
      return credit(batch)
    return methods.Credit(credit(batch.trajectories))

  return methods.Method(
    'mine', 'Mine', '', unit, methods.NoOptions, of_batch, needs
  )


TASKS = ('mixed 0', 'mixed 1', 'equal 2', 'mixed 3', 'equal 4', 'mixed 5')


def make_loop(collector=None, tasks=TASKS, credit=credit, **options):
  needs_all_rows = options.pop('needs_all_rows', True)
  policy = {'policy': options.pop('policy')} if 'policy' in options else {}
  options = {'groups': 3, 'group_size': 4, 'max_steps': 3, **options}
  return loop_lib.Loop(
    collector or ScriptedCollector(),
    table_learner(),
    method_of(credit),
    methods.NoOptions(),
    tasks,
    loop_lib.LoopOptions(**options),
    lengths=[ROW_TOKENS],
    needs_all_rows=needs_all_rows,
    **policy,
  )


def init_state():
  return loop_lib.TrainingState(
    table_learner().init({'table': jnp.linspace(-1.0, 1.0, VOCABULARY) ** 2})
  )


def run(iteration=0, **options):
  return make_loop(**options).run(init_state(), iteration)


def test_what_plays_is_made_of_what_is_learned():
  collector = ScriptedCollector()
  run(collector=collector)
  np.testing.assert_array_equal(
    collector.params['table'], init_state().policy.params['table']
  )
  run(collector=collector, policy=lambda p: {'merged': p['table'] + 1})
  np.testing.assert_array_equal(
    collector.params['merged'], init_state().policy.params['table'] + 1
  )


def timeless(metrics):
  """Metrics that do not depend on the clock."""
  return {
    k: v
    for k, v in metrics.items()
    if 'seconds' not in k and k != 'accelerator_idle_share'
  }


def describe(options):
  """All that came out of an iteration, other than seconds."""
  collector = ScriptedCollector()
  state, metrics, batch, given = run(collector=collector, **options)
  return {
    'calls': collector.calls,
    'table': np.asarray(state.policy.params['table']).tolist(),
    'updates': int(state.policy.updates),
    'metrics': timeless(metrics),
    'tasks': [e.task for e in batch.episodes],
    'generated': batch.generated,
    'advantages': np.asarray(given.total).tolist(),
    'penalties': batch.trajectories.penalties.tolist(),
  }


# For each option: what the others must be for it to matter, and another value.
EFFECTS = {
  'seed': ({}, 1),
  'groups': ({}, 2),
  'group_size': ({}, 2),
  'max_steps': ({}, 5),
  'temperature': ({}, 0.5),
  'minibatches': ({}, 2),
  'minibatch_rows': ({}, 5),
  'epochs': ({}, 2),
  'reward_scale': ({}, 1.0),
  'invalid_penalty': ({}, 0.5),
  'penalise': ({}, 'inadmissible'),
  'filter_groups': ({}, True),
  'new_tokens': ({'overlong_buffer': 2, 'new_tokens': 4}, 2),
  'overlong_buffer': ({'new_tokens': 4}, 4),
  'overlong_filter': ({}, True),
  'overlong_penalty': ({'overlong_buffer': 4, 'new_tokens': 4}, 2.0),
  'generation_batches': ({'filter_groups': True, 'seed': 2}, 1),
}


# Those of trees are tested in test_loop_of_trees.
OF_TREES = {'tree', 'learn_shared_prefix'}


@pytest.mark.parametrize(
  'name',
  [
    field.name
    for field in dataclasses.fields(loop_lib.LoopOptions)
    if field.name not in OF_TREES
  ],
)
def test_every_option_has_an_effect_on_an_iteration(name):
  others, value = EFFECTS[name]
  plain = describe(others)
  assert plain == describe(others)
  assert plain != describe({**others, name: value})


def test_groups_and_their_size():
  collector = ScriptedCollector()
  _, metrics, batch, given = run(collector=collector, groups=2, group_size=6)
  assert given.total.shape == batch.trajectories.mask.shape == (2, 6, 3)
  assert [len(tasks) for tasks, _, _ in collector.calls] == [2]
  assert metrics['generated_episodes'] == 12


@pytest.mark.parametrize(
  ('options', 'updates'),
  [
    ({}, 1),
    ({'minibatches': 3}, 3),
    ({'minibatches': 3, 'epochs': 2}, 6),
    # 12 rows, 5 at a time; this goes before the number of mini-batches.
    ({'minibatch_rows': 5}, 3),
    ({'minibatch_rows': 5, 'minibatches': 7, 'epochs': 2}, 6),
    ({'minibatch_rows': 99}, 1),
  ],
)
def test_updates_of_an_iteration(options, updates):
  state, _, _, _ = run(**options)
  assert int(state.policy.updates) == updates


def test_each_pass_takes_the_rows_in_another_order():
  orders = []

  class WatchingLearner:
    def update(self, state, rows, extra, *, order, **options):
      orders.append(order.tolist())
      return state, {}

  for iteration in (0, 0, 1):
    loop = loop_lib.Loop(
      ScriptedCollector(),
      WatchingLearner(),
      method_of(credit),
      methods.NoOptions(),
      TASKS,
      loop_lib.LoopOptions(groups=3, group_size=4, max_steps=3, epochs=2),
      lengths=[ROW_TOKENS],
    )
    loop.run(init_state(), iteration)
  assert all(sorted(order) == list(range(12)) for order in orders)
  assert orders[:2] == orders[2:4]
  assert len({str(order) for order in orders}) == 4


def test_metrics_by_hand():
  seconds = collector_lib.Timing(policy=2.0, environment=3.0)
  collector = ScriptedCollector()
  collector.timing = seconds
  _, metrics, _, _ = run(
    collector=collector, tasks=('mixed', 'lost', 'equal'), groups=3
  )
  # A lost rollout is in none of the means: 11 are left, 8 of them won.
  expected = {
    'success_rate': 8 / 11,
    'mean_return': 8 / 11,
    'episode_length': 3,
    'invalid_share': 1 / 3,
    'inadmissible_share': 2 / 3,
    'unchecked_share': 0,
    'truncated_share': 3 / 11,
    'failed_episodes': 1,
    'generated_episodes': 12,
    'steps': 33,
    'tokens': 66,
    'skipped_updates': 0,
    'seconds_policy': 2.0,
    'seconds_environment': 3.0,
  }
  assert {k: metrics[k] for k in expected} == pytest.approx(expected)
  # The split is the whole: what the policy and the environment took lies within
  # the rollout.
  stages = [f'seconds_{name}' for name in stage_clock.STAGES]
  parts = [metrics[name] for name in stages if name in metrics]
  assert len(parts) == 6
  assert sum(parts) == pytest.approx(metrics['seconds_total'], rel=0.01)
  assert min(parts) >= 0
  # The next iteration counts from zero.
  assert collector.timing == collector_lib.Timing()


def test_a_lost_episode_is_masked_and_not_learned_from():
  # The lost rollout says nothing, neither by itself nor in its group's mean.
  state, _, batch, given = run(tasks=('lost',), groups=1, group_size=3)
  advantages = given.total
  assert not batch.trajectories.mask[0, 0].any()
  assert not np.asarray(advantages)[0, 0].any()
  assert np.asarray(advantages)[0, 1:].all()
  # Without it: the same update.
  kept = batch.episodes[1:]
  rows = episodes_lib.pack_rows([e.rows[0] for e in kept], [1, 2], ROW_TOKENS)
  expected, _ = table_learner().update(
    init_state().policy, rows, np.asarray(advantages)[0]
  )
  test_learner.check_close(state.policy.params, expected.params, 1e-6)


def test_a_batch_that_was_lost_whole_changes_nothing():
  state, metrics, _, given = run(tasks=('dead',), groups=2)
  test_learner.check_equal(state, init_state())
  assert not np.asarray(given.total).any()
  assert metrics['failed_episodes'] == 8
  assert np.isnan(metrics['success_rate'])
  # With other groups asked for in place of these, none is found.
  state, metrics, _, _ = run(
    tasks=('dead',), groups=2, filter_groups=True, generation_batches=3
  )
  test_learner.check_equal(state, init_state())
  assert metrics['generated_episodes'] == 24


def test_groups_of_equal_returns_are_replaced():
  collector = ScriptedCollector()
  _, metrics, batch, _ = run(collector=collector, filter_groups=True, seed=2)
  kept = [e.task for e in batch.episodes]
  assert all('mixed' in task for task in kept)
  assert [e.rollout for e in batch.episodes] == [0, 1, 2, 3] * 3
  # In the order in which they were played, until there are enough.
  played = [task for tasks, _, _ in collector.calls for task in tasks]
  assert len(collector.calls) > 1
  assert kept[::4] == [t for t in played if 'mixed' in t][:3]
  assert metrics['generated_episodes'] == 4 * len(played)
  unfiltered = run(seed=2)[2]
  assert any('equal' in e.task for e in unfiltered.episodes)
  # Other tasks are drawn for each batch.
  assert collector.calls[0][0] != collector.calls[1][0]


def test_keys_are_a_function_of_seed_iteration_and_batch():
  def keys(seed, iteration):
    collector = ScriptedCollector()
    options = {'filter_groups': True, 'generation_batches': 2, 'seed': seed}
    loop = make_loop(collector, tasks=('equal',), **options)
    loop.run(init_state(), iteration)
    return [tuple(key) for _, _, key in collector.calls]

  places = [(0, 0), (1, 0), (0, 1)]
  assert len({key for place in places for key in keys(*place)}) == 6
  assert keys(1, 0) == keys(1, 0)


def test_the_last_batch_fills_the_groups_with_what_there_is():
  collector = ScriptedCollector()
  _, _, batch, _ = run(
    collector=collector, tasks=('equal',), filter_groups=True,
    generation_batches=3,
  )  # fmt: skip
  assert len(collector.calls) == 3
  assert [e.task for e in batch.episodes] == ['equal'] * 12


def test_a_lost_episode_does_not_make_a_group_informative():
  # The one that was lost has another return than those that all won.
  class PartlyLost(ScriptedCollector):
    def _play(self, task, group, rollout, rng):
      episode = super()._play(task, group, rollout, rng)
      if rollout == 0:
        episode.steps = episode.steps[:1]
        episode.terminated, episode.failure = False, 'it died'
      return episode

  collector = PartlyLost()
  run(
    collector=collector, tasks=('equal',), filter_groups=True,
    generation_batches=3,
  )  # fmt: skip
  assert len(collector.calls) == 3


def test_rows_without_credit_are_not_computed():
  # The second group has no credit; leaving it out does not show.
  options = {'tasks': ('mixed', 'equal'), 'groups': 2, 'invalid_penalty': 0}
  every, _, _, given = run(**options)
  assert not np.asarray(given.total).any(axis=(1, 2)).all()
  few, _, _, _ = run(**options, needs_all_rows=False)
  test_learner.check_close(few.policy.params, every.policy.params, 1e-6)
  # Where nothing has credit, no update takes place.
  for needs_all_rows, updates in ((True, 1), (False, 0)):
    state, _, _, _ = run(
      tasks=('equal',),
      invalid_penalty=0,
      needs_all_rows=needs_all_rows,
    )
    assert int(state.policy.updates) == updates


@pytest.mark.parametrize('needs_all_rows', [True, False])
def test_credit_that_is_not_finite_is_reported(needs_all_rows, caplog):
  def broken(trajectories):
    advantages = np.zeros(trajectories.mask.shape, np.float32)
    advantages[0, 0, 1] = np.nan
    return jnp.asarray(advantages)

  loop = make_loop(credit=broken, needs_all_rows=needs_all_rows)
  state, metrics, _, _ = loop.run(init_state(), 0)
  assert (
    'iteration 0: the credit of 1 of 12 episodes is not finite, first at step '
    '2 of rollout 1 of task 1'
  ) in caplog.text
  assert np.isnan(metrics['loss'])
  assert metrics['skipped_updates'] == 1
  np.testing.assert_array_equal(
    state.policy.params['table'], init_state().policy.params['table']
  )
  state, _, _, _ = loop.run(state, 1)
  with pytest.raises(learner_lib.NonFiniteError, match='3 updates in a row'):
    loop.run(state, 2)


def test_tasks_are_drawn_without_repetition_while_they_last():
  tasks = list('abcdefg')
  for iteration in range(5):
    drawn = loop_lib.sample_tasks(tasks, 0, iteration, 17)
    assert len(drawn) == 17
    assert sorted(drawn[:7]) == sorted(drawn[7:14]) == tasks
    assert len(set(drawn[14:])) == 3
  assert len(set(loop_lib.sample_tasks(tasks, 0, 0, 5))) == 5


def test_tasks_are_a_function_of_seed_iteration_and_batch():
  def draw(*place):
    seed, iteration, batch = place
    return loop_lib.sample_tasks(range(100), seed, iteration, 5, batch)

  places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
  assert len({tuple(draw(*place)) for place in places}) == 4
  for place in places:
    assert draw(*place) == draw(*place)


def test_wrong_arguments():
  for size in (0, 1):
    with pytest.raises(
      ValueError, match=f'group_size must be at least 2, not {size}'
    ):
      make_loop(group_size=size)
  with pytest.raises(ValueError, match='no tasks to train on'):
    make_loop(tasks=())


def test_what_nobody_provides_is_named():
  with pytest.raises(
    ValueError, match='Mine cannot be trained: it needs the con'
  ):
    loop_lib.Loop(
      ScriptedCollector(),
      table_learner(),
      method_of(credit, needs=frozenset({'contributions'})),
      methods.NoOptions(),
      TASKS,
      loop_lib.LoopOptions(),
      lengths=[ROW_TOKENS],
    )


def test_predictions_and_carry_reach_the_method():
  """What a stage predicts is seen; what is carried comes back."""

  def of_batch(batch, options):
    del options
    seen = batch.predictions['contributions']
    return methods.Credit(
      jnp.where(batch.trajectories.mask, seen * batch.carry['factor'], 0),
      carry={'factor': batch.carry['factor'] + 1},
      metrics={'factor': batch.carry['factor']},
    )

  method = methods.Method(
    'mine', 'Mine', '', 'step', methods.NoOptions, of_batch,
    frozenset({'contributions'}),
    first_carry=lambda options: {'factor': jnp.float32(2)},
  )  # fmt: skip
  loop = loop_lib.Loop(
    ScriptedCollector(),
    table_learner(),
    method,
    methods.NoOptions(),
    TASKS,
    loop_lib.LoopOptions(groups=3, group_size=4, max_steps=3),
    lengths=[ROW_TOKENS],
    predictions={
      'contributions': lambda rows, t: np.full(t.mask.shape, 0.5, np.float32)
    },
  )
  state = loop.init(init_state().policy)
  state, metrics, _, given = loop.run(state, 0)
  assert metrics['factor'] == 2
  assert set(np.unique(given.total)) == {1.0}
  state, metrics, _, given = loop.run(state, 1)
  assert metrics['factor'] == 3 and float(state.carry['factor']) == 4
  assert set(np.unique(given.total)) == {1.5}


# A policy, a sampler and environments as in a real run.
REAL_TASKS = ('room left', 'room right', 'fragile right', 'room nothing')


@functools.cache
def decoder_learner(number):
  """One for each number, as each process of a run has its own."""
  del number
  return learner_lib.Learner(
    policy_gradient.make_loss(
      test_collector.CONFIG, policy_gradient.LossOptions()
    ),
    policy_gradient.make_denominator('token-mean'),
    learner_lib.make_optimizer(learning_rate=0.02, warmup=2, decay_steps=9),
    micro_batch_tokens=4 * 200,
    lengths=[200],
  )


def real_loop(number=0):
  limits = collector_lib.RolloutLimits(
    steps=4, new_tokens=5, row_tokens=200, chunks=(64,)
  )
  collector = test_collector.make_collector(test_collector.make_pool(8), limits)
  learner = decoder_learner(number)
  loop = loop_lib.Loop(
    collector,
    learner,
    method_of(credit),
    methods.NoOptions(),
    REAL_TASKS,
    loop_lib.LoopOptions(
      seed=5, groups=2, group_size=4, max_steps=4, minibatches=2
    ),
    lengths=[200],
  )
  params = jax.tree.map(jnp.copy, test_collector.build_params())
  return loop, loop.init(learner.init(params))


@functools.cache
def run_undisturbed():
  """States after each of four iterations, and their metrics."""
  loop, state = real_loop()
  states, metrics = [], []
  for iteration in range(4):
    state, figures, _, _ = loop.run(state, iteration)
    states.append(jax.tree.map(np.array, state))
    metrics.append(figures)
  return states, metrics


def test_a_real_run_learns_something_and_stays_finite():
  states, metrics = run_undisturbed()
  # Some environments failed on the way.
  assert sum(m['failed_episodes'] for m in metrics) > 0
  for state in states:
    jax.tree.map(lambda x: np.isfinite(x).all() or pytest.fail('NaN'), state)
  for before, after in zip(states, states[1:], strict=False):
    change = np.abs(
      after.policy.params['embedder']['embedding']
      - before.policy.params['embedder']['embedding']
    )
    assert change.max() > 0


def test_an_iteration_is_a_function_of_state_and_number():
  states, metrics = run_undisturbed()
  loop, _ = real_loop()
  for _ in range(2):
    start = jax.tree.map(jnp.asarray, states[2])
    state, figures, _, _ = loop.run(jax.tree.map(jnp.copy, start), 3)
    test_learner.check_equal(state, states[3])
    assert timeless(figures) == timeless(metrics[3])
  # Of its number, too.
  start = jax.tree.map(jnp.asarray, states[2])
  other, _, _, _ = loop.run(jax.tree.map(jnp.copy, start), 4)
  assert (
    other.policy.params['embedder']['embedding']
    != states[3].policy.params['embedder']['embedding']
  ).any()


def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path):
  pytest.importorskip('orbax.checkpoint', reason='an extra')
  from jaxcredit.training import checkpoints as checkpoints_lib

  states, _ = run_undisturbed()
  loop, state = real_loop()
  with checkpoints_lib.Checkpoints(tmp_path) as checkpoints:
    for iteration in range(2):
      state, _, _, _ = loop.run(state, iteration)
      checkpoints.save(iteration + 1, state)
  # Nothing of the first half is used again, what it compiled included.
  loop, state = real_loop(1)
  with checkpoints_lib.Checkpoints(tmp_path) as checkpoints:
    done = checkpoints.latest
    state = checkpoints.restore(state)
    assert done == 2
    for iteration in range(done, 4):
      state, _, _, _ = loop.run(state, iteration)
      checkpoints.save(iteration + 1, state)
  test_learner.check_equal(state, states[3])


def test_every_episode_of_an_iteration_is_announced():
  ended = []
  loop, state = real_loop()
  loop.run(state, 0, on_episode=ended.append)
  assert sum(ended) == 8


def test_the_reference_reaches_the_loss():
  seen = []

  class WatchingLearner:
    def update(self, state, rows, extra, *, reference, **options):
      seen.append(reference)
      return state, {}

  loop = loop_lib.Loop(
    ScriptedCollector(),
    WatchingLearner(),
    method_of(credit),
    methods.NoOptions(),
    TASKS,
    loop_lib.LoopOptions(groups=3, group_size=4, max_steps=3),
    lengths=[ROW_TOKENS],
  )
  loop.run(init_state(), 0, reference='the reference')
  assert seen == ['the reference']
