"""The training loop: tasks -> rollouts -> credit -> learner step.

The method is a value from `jaxcredit.methods`. Its credit is computed once an
iteration, for the gradient, the metrics and the records. An iteration is a
function of the seed and its number, so that a resumed run gives the numbers of
an uninterrupted one.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxcredit import methods, types
from jaxcredit import options as options_lib
from jaxcredit.algorithms import dapo
from jaxcredit.networks.sampling import tree_sampling
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import overlong
from jaxcredit.rollouts import timing as timing_lib
from jaxcredit.training import batch as batch_lib
from jaxcredit.training import (
  batch_credit,
  batch_rows,
  finite_credit,
  stage_clock,
)
from jaxcredit.training import critic as critic_lib
from jaxcredit.training import learner as learner_lib

_log = logging.getLogger(__name__)

Batch = batch_lib.Batch

# (rows, trajectories) -> float array, what a stage predicts; see
# `methods.Batch.predictions`.
Prediction = Callable[[types.Rows, types.Trajectories], np.ndarray]

# (current parameters of the policy, rows) -> rows for the loss, and metrics;
# see `off_policy.Correction`.
Correction = Callable[[Any, types.Rows], tuple[types.Rows, dict[str, float]]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainingState:
  """The state of a training.

  Attributes:
    policy: parameters and optimizer of the policy.
    critic: parameters and optimizer of the critic; None without one.
    carry: state of the method, such as a coefficient that adapts; see
      `methods.Batch.carry`.
  """

  policy: learner_lib.LearnerState
  critic: learner_lib.LearnerState | None = None
  carry: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LoopOptions:
  """Options of the loop.

  Attributes:
    seed: for tasks, sampling and the order of mini-batches.
    max_steps: S, the steps of an episode.
    new_tokens: tokens of a completion at most.
    tree: plan by which the completions of a task branch off each other; None if
      they are independent.
    learn_shared_prefix: whether a token that several completions of a tree
      share is learned in each of them, as in independent completions that begin
      alike, or only in the one that sampled it.
  """

  seed: int = options_lib.internal(0, 0)
  groups: int = options_lib.option(16, 'Tasks of an iteration (P).', 1)
  group_size: int = options_lib.option(
    8, 'Rollouts of a task (G), which are compared with each other.', 2
  )
  max_steps: int = options_lib.internal(50, 1)
  new_tokens: int = options_lib.internal(16, 1)
  temperature: float = options_lib.option(
    1.0, 'Temperature of the sampler in training.', 1e-3
  )
  minibatches: int = options_lib.option(
    1, 'Optimizer steps of a pass over the batch.', 1
  )
  minibatch_rows: int = options_lib.option(
    0, 'Rows of an optimizer step; 0 goes by the number of minibatches.', 0
  )
  epochs: int = options_lib.option(1, 'Passes over the batch.', 1)
  reward_scale: float = options_lib.option(
    10.0, "Factor on the environment's rewards.", above=0.0
  )
  invalid_penalty: float = options_lib.option(
    0.1, 'Penalty of an invalid action, at its own step; 0 for none.', 0.0
  )
  penalise: str = options_lib.option(
    'format',
    'Which actions are invalid: of wrong form (published), or any that the '
    'environment does not list.',
    choices=('format', 'inadmissible'),
  )
  filter_groups: bool = options_lib.option(
    False,
    'Replace tasks whose rollouts all have the same return by others (DAPO).',
  )
  overlong_filter: bool = options_lib.option(
    False,
    'Do not learn from episodes with a completion that the token limit cut off '
    '(DAPO).',
  )
  overlong_buffer: int = options_lib.option(
    0,
    'Tokens before the limit of a completion over which a penalty grows '
    '(DAPO); 0 turns it off.',
    0,
  )
  overlong_penalty: float = options_lib.option(
    1.0, 'Overlong penalty at the limit, in units of the rewards.', above=0.0
  )
  generation_batches: int = options_lib.internal(10, 1)
  tree: tree_sampling.Plan | None = None
  learn_shared_prefix: bool = False

  def __post_init__(self):
    options_lib.check(self)
    if self.overlong_buffer > self.new_tokens:
      raise ValueError(
        f'overlong_buffer={self.overlong_buffer} is more than the '
        f'{self.new_tokens} tokens of a completion'
      )


def sample_tasks(
  tasks: Sequence[Any], seed: int, iteration: int, count: int, batch: int = 0
) -> list[Any]:
  """Draws the tasks of an iteration, without repetition while they last."""
  rng = np.random.default_rng([seed, iteration, batch])
  chosen: list[int] = []
  while len(chosen) < count:
    chosen.extend(rng.permutation(len(tasks))[: count - len(chosen)].tolist())
  return [tasks[i] for i in chosen]


class Loop:
  """Runs training iterations.

  Args:
    collector: plays the episodes.
    learner: takes the optimizer steps.
    method: assigns credit.
    method_options: its options.
    tasks: training tasks.
    options: options of the loop.
    lengths: lengths that rows are padded to, ending with the longest row; each
      compiles once.
    needs_all_rows: whether the loss has a gradient where the advantage is 0
      (a divergence or entropy term); if not, such rows are skipped.
    policy: learned parameters -> parameters of the policy, such as `lora.merge`
      with the base model; the identity by default.
    critic: gives values to the method and learns its returns.
    predictions: what stages provide for the method, by the name in its needs;
      'reference' gives log-probabilities [E, L].
    report: takes a message about credit that is not finite; the learner skips
      that update.
    correction: prepares rows that an older policy sampled; None if the current
      policy samples them.
    device_lock: held while credit is computed on the devices, if another thread
      uses them too.

  Raises:
    ValueError: nothing provides what the method needs.
  """

  def __init__(
    self,
    collector: collector_lib.Collector,
    learner: learner_lib.Learner,
    method: methods.Method,
    method_options: Any,
    tasks: Sequence[Any],
    options: LoopOptions,
    *,
    lengths: Sequence[int],
    needs_all_rows: bool = True,
    policy: Callable[[Any], Any] = lambda params: params,
    critic: critic_lib.Critic | None = None,
    predictions: Mapping[str, Prediction] | None = None,
    report: Callable[[str], None] = _log.warning,
    correction: Correction | None = None,
    device_lock: contextlib.AbstractContextManager | None = None,
  ):
    if not tasks:
      raise ValueError('there are no tasks to train on')
    needs = method.needs_with(method_options)
    provided = {'entropies', *(predictions or {})}
    if critic is not None:
      provided.add('values')
    for need in sorted(needs - provided):
      raise ValueError(
        f'{method.label} cannot be trained: {methods.NEEDS[need]}, and nothing '
        'here provides it'
      )
    self._collector = collector
    self._learner = learner
    self._method = method
    self._method_options = method_options
    self._tasks = tasks
    self._options = options
    self._lengths = sorted(lengths)
    self._needs_all_rows = needs_all_rows
    self._policy = policy
    self._critic = critic
    self._predictions = {
      name: predict
      for name, predict in (predictions or {}).items()
      if name in needs
    }
    self._report = report
    self._correction = correction
    self._device_lock = device_lock or contextlib.nullcontext()
    # Where several rows make an episode, credit must do without them.
    self._one_row = method.needs_rows(method_options) or (
      options.tree is not None
    )
    self._credit = batch_credit.compiled(method, method_options)

  def init(
    self,
    policy: learner_lib.LearnerState,
    critic: learner_lib.LearnerState | None = None,
  ) -> TrainingState:
    """The state before the first iteration."""
    carry = self._method.first_carry(self._method_options)
    return TrainingState(policy, critic, carry)

  def collect(self, params, iteration: int, on_episode=None) -> Batch:
    """Plays the episodes of an iteration."""
    options = self._options
    kept: list[episodes_lib.Episode] = []
    generated = 0
    for batch in range(
      options.generation_batches if options.filter_groups else 1
    ):
      tasks = sample_tasks(
        self._tasks, options.seed, iteration, options.groups, batch
      )
      key = jax.random.fold_in(
        jax.random.fold_in(jax.random.key(options.seed), iteration), batch
      )
      played = self._collector.collect(
        params,
        tasks,
        options.group_size,
        key,
        temperature=options.temperature,
        tree=options.tree,
        on_episode=on_episode,
      )
      generated += len(played)
      last = batch + 1 == options.generation_batches
      if options.filter_groups and not last:
        played = self._informative(played)
      kept.extend(played)
      if len(kept) >= options.groups * options.group_size:
        break
    kept = kept[: options.groups * options.group_size]
    return Batch(kept, self.pack(kept), generated)

  def pack(self, episodes) -> types.Trajectories:
    """Packs episodes, rewards scaled and penalties set aside."""
    options = self._options
    trajectories = episodes_lib.pack_trajectories(
      episodes,
      options.group_size,
      options.max_steps,
      invalid_penalty=options.invalid_penalty,
      reward_scale=options.reward_scale,
      penalise=options.penalise,
    )
    if not options.overlong_buffer:
      return trajectories
    return overlong.penalise(
      trajectories,
      self._completion_lengths(episodes),
      limit=options.new_tokens,
      buffer=options.overlong_buffer,
      weight=options.overlong_penalty,
    )

  def _completion_lengths(self, episodes) -> np.ndarray:
    return overlong.completion_lengths(
      episodes, self._options.group_size, self._options.max_steps
    )

  def _informative(self, episodes):
    """Drops the groups whose episodes all have the same return."""
    size = self._options.group_size
    returns = np.array([e.episode_return for e in episodes], np.float32)
    # What an environment lost has no return to compare with.
    counts = np.array([not e.failure for e in episodes])
    keep = np.asarray(
      dapo.group_filter(returns.reshape(-1, size), counts.reshape(-1, size))
    )
    return [e for i, e in enumerate(episodes) if keep[i // size]]

  def run(
    self,
    state: TrainingState,
    iteration: int,
    *,
    reference=None,
    on_episode: Callable[[int], None] | None = None,
  ):
    """One iteration.

    Args:
      state: donated.
      iteration: its number.
      reference: parameters of the reference policy, if the loss uses one.
      on_episode: called with the number of episodes that just ended.

    Returns:
      The new state, metrics, what was learned from, and its credit.
    """
    clock = stage_clock.StageClock('rollout')
    with clock.measure('rollout'):
      playing = self.playing(self.parameters(state))
      batch = self.collect(playing, iteration, on_episode)
    state, metrics, credit = self.learn(
      state, batch, iteration, reference=reference
    )
    metrics |= self.timing_metrics(clock, metrics)
    return state, metrics, batch, credit

  def timing_metrics(
    self, clock: stage_clock.StageClock, metrics: dict[str, Any]
  ) -> dict[str, float]:
    """Where the time of an iteration went; the next counts from zero.

    Args:
      clock: that was begun with the iteration; begins anew.
      metrics: with the seconds that `learn` measured.

    Returns:
      Seconds; and `accelerator_idle_share`, the share of the time in which
      nobody waited for the accelerator: neither the sampler for draws, nor the
      learner for values, credit, scores of rows or updates. What the host does
      within these calls counts as the accelerator's work.
    """
    timing = self._collector.timing
    self._collector.timing = collector_lib.Timing()
    split, end = clock.split(metrics), time.perf_counter()
    start = end - split['seconds_total']
    return {
      'seconds_policy': timing.policy,
      'seconds_environment': timing.environment,
      **split,
      'accelerator_idle_share': timing_lib.idle_share(timing.busy, start, end),
    }

  def parameters(self, state: TrainingState) -> Any:
    """The learned parameters, adapters where those are learned."""
    return state.policy.params

  def playing(self, params: Any) -> Any:
    """The policy's parameters, from the learned ones."""
    return self._policy(params)

  @contextlib.contextmanager
  def _on_devices(self):
    """Holds the devices, and notes the time."""
    with self._device_lock, self._collector.timing.working():
      yield

  def learn(
    self,
    state: TrainingState,
    batch: Batch,
    iteration: int,
    *,
    reference=None,
  ) -> tuple[TrainingState, dict[str, Any], methods.Credit]:
    """The part of an iteration after its episodes: credit and optimizer steps.

    Args:
      state: donated.
      batch: what was played.
      iteration: its number.
      reference: parameters of the reference policy, if the loss uses one.

    Returns:
      The new state; metrics with the seconds of each part; and the credit.
    """
    clock = stage_clock.StageClock('packing', 'values', 'credit', 'update')
    with clock.measure('packing'):
      rows = (
        batch_rows.one_row_each(
          batch.episodes, self._lengths, self._method.label
        )
        if self._one_row
        else batch_rows.all_rows(batch.episodes, self._lengths)
      )
    with clock.measure('values'), self._on_devices():
      seen = self._seen(state, batch, rows)
    with clock.measure('credit'), self._on_devices():
      credit = self._credit(seen)
      summary = batch_credit.summary(credit)
    if not summary.finite:
      self._report_not_finite(credit, batch, iteration)
    state = dataclasses.replace(state, carry=credit.carry)
    metrics: dict[str, Any] = {}
    if self._one_row and not self._options.learn_shared_prefix:
      rows = batch_rows.without_shared_prefixes(rows, batch.episodes)
    if self._options.overlong_filter and rows is not None:
      rows = overlong.leave_out(rows, batch.episodes)
    if rows is not None and (rows.trajectory >= 0).any():
      state, metrics = self._update_all(
        state, rows, seen, credit, summary.used, iteration, reference, clock
      )
    metrics = {
      **batch_lib.metrics(batch),
      **self._overlong_metrics(batch),
      **metrics,
      **summary.metrics,
      **clock.measured(),
    }
    return state, metrics, credit

  def _seen(self, state, batch, rows) -> methods.Batch:
    """What the method looks at."""
    trajectories = batch.trajectories
    predictions = {
      name: predict(rows, trajectories)
      for name, predict in self._predictions.items()
    }
    return methods.Batch(
      trajectories,
      rows=rows if self._one_row else None,
      values=None
      if self._critic is None
      else self._critic.values(state.critic.params, rows),
      reference_log_probs=predictions.pop('reference', None),
      predictions=predictions,
      carry=state.carry,
    )

  def _report_not_finite(self, credit, batch, iteration) -> None:
    flat = np.asarray(credit.total).reshape(len(batch.episodes), -1)
    unit = 'token' if self._method.unit == 'token' else 'step'
    where = finite_credit.where_not_finite(flat, batch.episodes, unit)
    self._report(f'iteration {iteration}: {where}')

  def _update_all(
    self, state, rows, seen, credit, used, iteration, reference, clock
  ):
    """Optimizer steps of policy and critic."""
    figures: dict[str, float] = {}
    if self._correction is not None:
      with clock.measure('values'), self._on_devices():
        rows, figures = self._correction(
          self.playing(self.parameters(state)), rows
        )
    # Micro-batches take the device lock one by one.
    with clock.measure('update'), self._collector.timing.working():
      policy, metrics = self._update(
        state.policy, rows, credit.total, used, iteration, reference
      )
      state = dataclasses.replace(state, policy=policy)
      if self._critic is not None:
        critic, more = self._update_critic(
          state.critic, rows, credit.returns, seen.values, iteration
        )
        state = dataclasses.replace(state, critic=critic)
        metrics = {**more, **metrics}
      jax.block_until_ready(state)
    return state, {**figures, **metrics}

  def _orders(self, rows: types.Rows, iteration: int):
    """How many mini-batches there are, and the order of each epoch."""
    options = self._options
    count = len(rows.trajectory)
    minibatches = options.minibatches
    if options.minibatch_rows:
      used = int((rows.trajectory >= 0).sum())
      minibatches = -(-used // options.minibatch_rows)
    orders = [
      np.random.default_rng([options.seed, iteration, 7, epoch]).permutation(
        count
      )
      for epoch in range(options.epochs)
    ]
    return minibatches, orders

  def _update(self, state, rows, total, used, iteration, reference):
    """The policy's optimizer steps."""
    needed = None
    if not self._needs_all_rows:
      needed = (
        used.any(axis=1)
        if self._method.unit == 'token'
        else batch_rows.have_credit(rows, used)
      )
    advantages = total.reshape(-1, total.shape[-1])
    metrics: dict[str, Any] = {}
    minibatches, orders = self._orders(rows, iteration)
    for order in orders:
      state, metrics = self._learner.update(
        state,
        rows,
        advantages,
        reference=reference,
        minibatches=minibatches,
        order=order,
        needed=needed,
      )
    return state, metrics

  def _update_critic(self, state, rows, returns, values, iteration):
    """The critic's optimizer steps."""
    returns = np.asarray(returns).reshape(-1, returns.shape[-1])
    metrics: dict[str, Any] = {}
    minibatches, orders = self._orders(rows, iteration)
    for order in orders:
      state, metrics = self._critic.update(
        state,
        rows,
        returns,
        values,
        minibatches=minibatches,
        order=order,
      )
    kept = ('gradient_norm', 'loss', 'skipped_updates')
    metrics = {
      f'critic_{name}' if name in kept else name: value
      for name, value in metrics.items()
    }
    return state, metrics

  def _overlong_metrics(self, batch: Batch) -> dict[str, float]:
    """Of completions near the token limit, where an option looks at them."""
    options = self._options
    if not options.overlong_filter and not options.overlong_buffer:
      return {}
    return overlong.metrics(
      batch.episodes,
      self._completion_lengths(batch.episodes),
      limit=options.new_tokens,
      buffer=options.overlong_buffer or options.new_tokens,
    )
