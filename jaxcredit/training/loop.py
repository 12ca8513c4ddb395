"""The training loop: tasks -> rollouts -> credit -> learner step.

The method is a value: `credit` maps trajectories to advantages. Everything an
iteration does is a function of the seed and the iteration's number, so a run
that was interrupted goes on with the numbers of one that was not.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcredit import types
from jaxcredit.algorithms import dapo
from jaxcredit.networks.sampling import tree_sampling
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import timing as timing_lib
from jaxcredit.training import critic as critic_lib
from jaxcredit.training import finite_credit, stage_clock
from jaxcredit.training import learner as learner_lib

_log = logging.getLogger(__name__)

# Trajectories of numpy arrays [P, G, S] -> advantages [P, G, S].
Credit = Callable[[types.Trajectories], jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TokenAdvantages:
  """Credit of tokens.

  Attributes:
    total: float [E, L], what multiplies the policy gradient, E = P * G.
    returns: float [E, L], what a critic learns; None without one.
    carried: what the method hands on to the next iteration, in the form in
      which it was given it; None where nothing changes.
  """

  total: jax.Array
  returns: jax.Array | None = None
  carried: Any = None


# (trajectories, rows, values) -> TokenAdvantages. Row e of [E, L] is that of
# episode e, empty where the environment lost it; values are a critic's, [E, L],
# or None. A method that carries something from one iteration to the next is
# given that as well.
TokenCredit = Callable[..., TokenAdvantages]

# (parameters that would play now, rows) -> rows as the loss takes them, and
# figures; see `off_policy.Correction`.
Correction = Callable[[Any, types.Rows], tuple[types.Rows, dict[str, float]]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ActorCritic:
  """The state of a training with a critic.

  Attributes:
    policy: what is trained.
    critic: likewise.
    carried: what the method carries from one iteration to the next, such as a
      coefficient that adapts: a dict of arrays, empty for most methods.
  """

  policy: learner_lib.LearnerState
  critic: learner_lib.LearnerState
  carried: dict[str, Any] = dataclasses.field(default_factory=dict)


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
    tree: how the answers to a task grow as a tree; None: they are independent.
    learn_shared_prefix: whether a token that answers of a tree have in common
      is learned in each of them, as it is in independent answers that begin
      alike; if not, in the one that drew it.
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
  tree: tree_sampling.Plan | None = None
  learn_shared_prefix: bool = False


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
    credit: the method, where it gives credit to steps.
    tasks: to train on.
    options: of the loop.
    row_tokens: length that rows are packed to.
    needs_all_rows: whether the loss has a gradient where the advantage is 0
      (a divergence or entropy term); if not, such rows are not computed.
    policy: makes the parameters that play of those that are learned, such as
      `lora.merge` with the base model; by default they are the same.
    token_credit: the method, where it gives credit to tokens; in place of
      `credit`. Each episode must be one row.
    critic: gives values to it and learns its returns; the state is then an
      `ActorCritic`.
    report: takes a sentence on credit that is not finite; the learner will skip
      the update that it spoils.
    correction: prepares rows that an older policy drew; None where they are the
      present one's.
    turns: held while the devices work for credit, where another thread uses
      them.
  """

  def __init__(
    self,
    collector: collector_lib.Collector,
    learner: learner_lib.Learner,
    credit: Credit | None,
    tasks: Sequence[Any],
    options: LoopOptions,
    *,
    row_tokens: int,
    needs_all_rows: bool = True,
    policy: Callable[[Any], Any] = lambda params: params,
    token_credit: TokenCredit | None = None,
    critic: critic_lib.Critic | None = None,
    report: Callable[[str], None] = _log.warning,
    correction: Correction | None = None,
    turns: contextlib.AbstractContextManager | None = None,
  ):
    if (credit is None) == (token_credit is None):
      raise ValueError('give either credit or token_credit, and not both')
    if critic is not None and token_credit is None:
      raise ValueError('a critic needs token_credit, which takes its values')
    if options.tree is not None and token_credit is None:
      raise ValueError('answers of a tree need token_credit')
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
    self._token_credit = token_credit
    self._critic = critic
    self._report = report
    self._correction = correction
    self._turns = turns or contextlib.nullcontext()

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
    state: learner_lib.LearnerState | ActorCritic,
    iteration: int,
    *,
    reference=None,
    on_episode: Callable[[int], None] | None = None,
  ):
    """One iteration.

    Args:
      state: of the learner, or an ActorCritic; donated.
      iteration: its number.
      reference: parameters of the reference policy, if the loss uses one.
      on_episode: called with the number of episodes that just ended.

    Returns:
      The new state, metrics, what was learned from, and the advantages: of
      steps [P, G, S], or of tokens [P * G, L].
    """
    clock = stage_clock.StageClock('rollout')
    with clock.measure('rollout'):
      playing = self.playing(self.parameters(state))
      batch = self.collect(playing, iteration, on_episode)
    state, metrics, advantages = self.learn(
      state, batch, iteration, reference=reference
    )
    metrics |= self.timing_metrics(clock, metrics)
    return state, metrics, batch, advantages

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

  def parameters(self, state: learner_lib.LearnerState | ActorCritic) -> Any:
    """The policy's parameters that are learned."""
    return (state if self._critic is None else state.policy).params

  def playing(self, params: Any) -> Any:
    """Parameters that play, of those that are learned."""
    return self._policy(params)

  @contextlib.contextmanager
  def _on_devices(self):
    """Holds the turn, and notes the time."""
    with self._turns, self._collector.timing.working():
      yield

  def learn(
    self,
    state: learner_lib.LearnerState | ActorCritic,
    batch: Batch,
    iteration: int,
    *,
    reference=None,
  ):
    """The part of an iteration after its episodes: credit and optimizer steps.

    Args:
      state: of the learner, or an ActorCritic; donated.
      batch: what was played.
      iteration: its number.
      reference: parameters of the reference policy, if the loss uses one.

    Returns:
      The new state, metrics with the seconds of each part, and the advantages:
      of steps [P, G, S], or of tokens [P * G, L].
    """
    clock = stage_clock.StageClock('packing', 'values', 'credit', 'update')
    learned = state if self._critic is None else state.policy
    if self._token_credit is None:
      with clock.measure('credit'), self._on_devices():
        advantages = jax.block_until_ready(self._credit(batch.trajectories))
      flat = advantages.reshape(-1, advantages.shape[-1])
      with clock.measure('packing'):
        packed, returns = self._rows(batch.episodes), None
    else:
      with clock.measure('packing'):
        packed, values = self._rows_by_episode(batch.episodes), None
      if self._critic is not None:
        with clock.measure('values'), self._on_devices():
          values = self._critic.values(state.critic.params, packed)
      given = (batch.trajectories, packed, values)
      if self._critic is not None and state.carried:
        given = (*given, state.carried)
      with clock.measure('credit'), self._on_devices():
        credit = self._token_credit(*given)
        flat = advantages = jax.block_until_ready(credit.total)
      if credit.carried is not None:
        state = dataclasses.replace(state, carried=credit.carried)
      returns = credit.returns
      packed = self._learned(packed, batch.episodes)
    words = finite_credit.where_not_finite(
      flat, batch.episodes, 'step' if self._token_credit is None else 'token'
    )
    if words:
      self._report(f'iteration {iteration}: {words}')
    metrics: dict[str, Any] = {}
    if packed is not None and (packed.trajectory >= 0).any():
      figures: dict[str, float] = {}
      if self._correction is not None:
        with clock.measure('values'), self._on_devices():
          packed, figures = self._correction(
            self.playing(learned.params), packed
          )
      # Its micro-batches take their turns one by one.
      with clock.measure('update'), self._collector.timing.working():
        learned, metrics = self._update(
          self._learner, learned, packed, flat, iteration, reference
        )
        if self._critic is None:
          state = learned
        else:
          critic, more = self._update_critic(
            state.critic, packed, returns, values, iteration
          )
          state = dataclasses.replace(state, policy=learned, critic=critic)
          metrics = {**more, **metrics}
        jax.block_until_ready(state)
      metrics = {**figures, **metrics}
    metrics = {**self._describe(batch), **metrics, **clock.measured()}
    return state, metrics, advantages

  def _rows(self, episodes) -> types.Rows | None:
    """All rows; None where there is none."""
    rows, trajectories = [], []
    for index, episode in enumerate(episodes):
      if not episode.failure:
        rows.extend(episode.rows)
        trajectories.extend([index] * len(episode.rows))
    if not rows:
      return None
    return episodes_lib.pack_rows(rows, trajectories, self._row_tokens)

  def _rows_by_episode(self, episodes) -> types.Rows:
    """One row for each episode, empty where it was lost."""
    rows, trajectories = [], []
    for index, episode in enumerate(episodes):
      taken = not episode.failure and bool(episode.rows)
      if taken and len(episode.rows) > 1:
        raise ValueError(
          f'an episode has {len(episode.rows)} rows: credit of tokens needs a '
          'format that continues one text, not one that rebuilds its prompt'
        )
      rows.append(episode.rows[0] if taken else episodes_lib.TokenRow())
      trajectories.append(index if taken else -1)
    return episodes_lib.pack_rows(rows, trajectories, self._row_tokens)

  def _learned(self, rows: types.Rows, episodes) -> types.Rows:
    """Rows without the tokens that are learned in another answer."""
    taken = np.array([episode.shared_prefix_length for episode in episodes])
    if self._options.learn_shared_prefix or not taken.any():
      return rows
    drawn = rows.step_of_token >= 0
    others = drawn & (np.cumsum(drawn, axis=1) <= taken[:, None])
    return dataclasses.replace(
      rows,
      step_of_token=np.where(others, types.NOT_LEARNED, rows.step_of_token),
    )

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

  def _update(self, learner, state, rows, flat, iteration, reference):
    """The policy's optimizer steps."""
    needed = None
    if not self._needs_all_rows:
      # NaN counts as needed: it must reach the learner and be reported.
      used = np.asarray(flat) != 0
      if self._token_credit is None:
        needed = self._has_credit(rows, used)
      else:
        needed = used.any(axis=1)
    metrics: dict[str, Any] = {}
    minibatches, orders = self._orders(rows, iteration)
    for order in orders:
      state, metrics = learner.update(
        state,
        rows,
        flat,
        reference=reference,
        minibatches=minibatches,
        order=order,
        needed=needed,
      )
    return state, metrics

  def _update_critic(self, state, rows, returns, values, iteration):
    """The critic's optimizer steps."""
    metrics: dict[str, Any] = {}
    minibatches, orders = self._orders(rows, iteration)
    for order in orders:
      state, metrics = self._critic.update(
        state,
        rows,
        np.asarray(returns),
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
      'grounding_accuracy': episodes_lib.grounding_accuracy(episodes),
      'truncated_share': _mean([e.truncated for e in episodes]),
      'failed_episodes': len(batch.episodes) - len(episodes),
      'generated_episodes': batch.generated,
      'sampled_tokens': sum(
        sum(step >= 0 for r in e.rows for step in r.step_of_token)
        - e.shared_prefix_length
        for e in episodes
      ),
      'steps': len(steps),
      'tokens': tokens,
    }


def _mean(values) -> float:
  return float(np.mean(values)) if len(values) else float('nan')
