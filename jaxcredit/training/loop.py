"""The training loop: tasks -> rollouts -> credit -> learner step.

The method is a value: `credit` maps trajectories to advantages. Everything an
iteration does is a function of the seed and the iteration's number, so a run
that was interrupted goes on with the numbers of one that was not.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcredit import types
from jaxcredit.algorithms import dapo
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import learner as learner_lib

# Trajectories of numpy arrays [P, G, S] -> advantages [P, G, S].
Credit = Callable[[types.Trajectories], jax.Array]


@dataclasses.dataclass(frozen=True)
class LoopOptions:
  """Options of the loop.

  Attributes:
    seed: of tasks, sampling and the order of mini-batches.
    groups: P, tasks an iteration.
    group_size: G, rollouts a task.
    max_steps: S.
    temperature: of the sampler.
    minibatches: optimizer steps a pass over the batch.
    minibatch_rows: rows of an optimizer step, in place of `minibatches`; 0
      for none.
    epochs: passes over the batch.
    reward_scale: factor on the environment's rewards.
    invalid_penalty: what a step with an invalid action costs.
    penalise: which actions count as invalid; see `pack_trajectories`.
    filter_groups: leave out groups whose episodes all have the same return
      (DAPO), and play further tasks in their place.
    generation_batches: how many batches may be played to fill the groups.
  """

  seed: int = 0
  groups: int = 16
  group_size: int = 8
  max_steps: int = 50
  temperature: float = 1.0
  minibatches: int = 1
  minibatch_rows: int = 0
  epochs: int = 1
  reward_scale: float = 10.0
  invalid_penalty: float = 0.1
  penalise: str = 'format'
  filter_groups: bool = False
  generation_batches: int = 10


def sample_tasks(
  tasks: Sequence[Any], seed: int, iteration: int, count: int, batch: int = 0
) -> list[Any]:
  """Draws the tasks of an iteration, without repetition while they last."""
  rng = np.random.default_rng([seed, iteration, batch])
  chosen: list[int] = []
  while len(chosen) < count:
    chosen.extend(rng.permutation(len(tasks))[: count - len(chosen)].tolist())
  return [tasks[i] for i in chosen]


def anchor_statistics(
  anchor_group: np.ndarray, mask: np.ndarray
) -> dict[str, Any]:
  """Health of the anchor groups: singletons and the histogram of sizes.

  Args:
    anchor_group: int [P, G, S], -1 where masked.
    mask: bool [P, G, S].

  Returns:
    `singleton_share`: share of steps whose anchor no other step has;
    `anchor_group_sizes`: share of steps by size of their group.
  """
  buckets = {'1': 0, '2-4': 0, '5-9': 0, '10-49': 0, '50+': 0}
  limits = ((1, '1'), (4, '2-4'), (9, '5-9'), (49, '10-49'))
  for ids, valid in zip(anchor_group, mask, strict=True):
    _, sizes = np.unique(ids[valid], return_counts=True)
    for size in sizes.tolist():
      name = next((n for limit, n in limits if size <= limit), '50+')
      buckets[name] += size
  total = max(sum(buckets.values()), 1)
  shares = {name: count / total for name, count in buckets.items()}
  return {'singleton_share': shares['1'], 'anchor_group_sizes': shares}


@dataclasses.dataclass
class Batch:
  """What an iteration learns from.

  Attributes:
    episodes: P * G, groups side by side.
    trajectories: of them, numpy [P, G, S].
    generated: episodes played, those left out included.
  """

  episodes: list[episodes_lib.Episode]
  trajectories: types.Trajectories
  generated: int


class Loop:
  """Runs training iterations.

  Args:
    collector: plays the episodes.
    learner: takes the optimizer steps.
    credit: the method.
    tasks: to train on.
    options: of the loop.
    row_tokens: length that rows are packed to.
    needs_all_rows: whether the loss has a gradient where the advantage is 0
      (a divergence or entropy term); if not, such rows are not computed.
    policy: makes the parameters that play of those that are learned, such as
      `lora.merge` with the base model; by default they are the same.
  """

  def __init__(
    self,
    collector: collector_lib.Collector,
    learner: learner_lib.Learner,
    credit: Credit,
    tasks: Sequence[Any],
    options: LoopOptions,
    *,
    row_tokens: int,
    needs_all_rows: bool = True,
    policy: Callable[[Any], Any] = lambda params: params,
  ):
    if options.group_size < 2:
      raise ValueError(
        f'a group needs at least two rollouts to be compared, not '
        f'{options.group_size}: raise group_size'
      )
    if not tasks:
      raise ValueError('there are no tasks to train on')
    self._collector = collector
    self._learner = learner
    self._credit = credit
    self._tasks = tasks
    self._options = options
    self._row_tokens = row_tokens
    self._needs_all_rows = needs_all_rows
    self._policy = policy

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
    options = self._options
    return episodes_lib.pack_trajectories(
      episodes,
      options.group_size,
      options.max_steps,
      invalid_penalty=options.invalid_penalty,
      reward_scale=options.reward_scale,
      penalise=options.penalise,
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
    state: learner_lib.LearnerState,
    iteration: int,
    *,
    reference=None,
    on_episode: Callable[[int], None] | None = None,
  ) -> tuple[learner_lib.LearnerState, dict[str, Any], Batch, jax.Array]:
    """One iteration.

    Args:
      state: of the learner; donated.
      iteration: its number.
      reference: parameters of the reference policy, if the loss uses one.
      on_episode: called with the number of episodes that just ended.

    Returns:
      The new state, metrics, what was learned from, and the advantages
      [P, G, S].
    """
    options = self._options
    start = time.perf_counter()
    batch = self.collect(self._policy(state.params), iteration, on_episode)
    rollout_end = time.perf_counter()
    advantages = jax.block_until_ready(self._credit(batch.trajectories))
    credit_end = time.perf_counter()
    rows, trajectories = [], []
    for index, episode in enumerate(batch.episodes):
      if not episode.failure:
        rows.extend(episode.rows)
        trajectories.extend([index] * len(episode.rows))
    metrics = {}
    if rows:
      packed = episodes_lib.pack_rows(rows, trajectories, self._row_tokens)
      flat = advantages.reshape(-1, advantages.shape[-1])
      needed = None
      if not self._needs_all_rows:
        # NaN counts as needed: it must reach the learner and be reported.
        used = np.asarray(flat) != 0
        needed = self._has_credit(packed, used)
      minibatches = options.minibatches
      if options.minibatch_rows:
        minibatches = -(-len(rows) // options.minibatch_rows)
      for epoch in range(options.epochs):
        rng = np.random.default_rng([options.seed, iteration, 7, epoch])
        state, metrics = self._learner.update(
          state,
          packed,
          flat,
          reference=reference,
          minibatches=minibatches,
          order=rng.permutation(len(rows)),
          needed=needed,
        )
    jax.block_until_ready(state.params)
    end = time.perf_counter()
    metrics = {
      **self._describe(batch),
      **metrics,
      'seconds_rollout': rollout_end - start,
      'seconds_policy': self._collector.timing.policy,
      'seconds_environment': self._collector.timing.environment,
      'seconds_credit': credit_end - rollout_end,
      'seconds_update': end - credit_end,
      'seconds_total': end - start,
    }
    self._collector.timing = collector_lib.Timing()
    return state, metrics, batch, advantages

  @staticmethod
  def _has_credit(rows: types.Rows, used: np.ndarray) -> np.ndarray:
    """Tells which rows hold a step with an advantage."""
    drawn = rows.step_of_token >= 0
    step = np.maximum(rows.step_of_token, 0)
    return (drawn & used[rows.trajectory[:, None], step]).any(axis=1)

  def _describe(self, batch: Batch) -> dict[str, Any]:
    episodes = [e for e in batch.episodes if not e.failure]
    steps = [s for e in episodes for s in e.steps]
    tokens = sum(len(r.tokens) for e in episodes for r in e.rows)
    return {
      'success_rate': _mean([e.success for e in episodes]),
      'mean_return': _mean([e.episode_return for e in episodes]),
      'episode_length': _mean([len(e.steps) for e in episodes]),
      'invalid_share': _mean([not s.valid for s in steps]),
      'inadmissible_share': _mean([not s.admissible for s in steps]),
      'truncated_share': _mean([e.truncated for e in episodes]),
      'failed_episodes': len(batch.episodes) - len(episodes),
      'generated_episodes': batch.generated,
      'steps': len(steps),
      'tokens': tokens,
    }


def _mean(values) -> float:
  return float(np.mean(values)) if len(values) else float('nan')
