"""Policy x environments -> episodes.

Episodes go through few slots: of the environments of a pool, and of the rows of
a key/value cache. An episode that ends makes room for the next, so that a long
one does not make others wait. In formats that continue the text of the episode
the cache lives as long as the episode: the prompt that a group shares is read
once, and each turn reads the new observation alone.

What an episode draws is a function of the key, its group and its rollout
number: not of those it is played beside.
"""

import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.environments import protocol
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import sharding
from jaxcredit.networks.sampling import engine as engine_lib
from jaxcredit.networks.sampling import (
  generation,
  sampler,
  stop_strings,
  tree_sampling,
)
from jaxcredit.networks.sampling import sampling_params as sampling
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import chat_history, formats, tree_engine
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import pool as pool_lib
from jaxcredit.rollouts import timing as timing_lib

Timing = timing_lib.Timing


class RolloutInterruptedError(Exception):
  """Somebody wants to stop: what was played of the rollout is given up."""


@dataclasses.dataclass(frozen=True)
class RolloutLimits:
  """Sizes of a rollout.

  Attributes:
    steps: steps of an episode.
    new_tokens: tokens of one answer, the stop token included.
    row_tokens: tokens of a row; an episode that would need more is truncated.
    chunks: lengths to which a new observation is padded (each compiles once).
  """

  steps: int = 50
  new_tokens: int = 12
  row_tokens: int = 1024
  chunks: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)

  def __post_init__(self):
    if min(self.steps, self.new_tokens, self.row_tokens) < 1:
      raise ValueError(f'limits must be positive: {self}')
    if not self.chunks or min(self.chunks) < 1:
      raise ValueError(
        f'chunks must be one or more positive lengths, not {self.chunks}'
      )


def _capacities(row_tokens: int) -> list[int]:
  sizes = [row_tokens]
  while sizes[0] > 256:
    sizes.insert(0, (sizes[0] + 1) // 2)
  return sizes


@jax.jit
def _turn_keys(key, group, rollout, turn):
  def one(g, r, t):
    return jax.random.fold_in(
      jax.random.fold_in(jax.random.fold_in(key, g), r), t
    )

  return jax.vmap(one)(group, rollout, turn)


class Collector:
  """Plays groups of episodes.

  Args:
    config: of the decoder.
    tokenizer: of the policy.
    text_format: how episodes are put into text.
    pool: the environments; its size bounds the episodes played side by side.
    task_sentence: task -> the sentence that states it.
    limits: sizes.
    slots: episodes played side by side at most; by default as many as the pool
      has environments. The cache has a row for each.
    decode_steps_per_call: tokens that each episode draws before those that
      have answered are stepped while the others go on.
    strings: texts that end an answer, as the stop token does; they stay part
      of it.
    mesh: over which the parameters lie (`sharding.make_mesh`); None for one
      device.
    should_stop: asked after each call of the engine and each answer of the
      environments; `collect` then raises RolloutInterruptedError.

  Raises:
    ValueError: rows beyond the model's positions, or a vocabulary that is not
      the tokenizer's: the learner must know which tokens cannot be sampled, see
      `DecoderConfig.for_tokenizer`.

  Attributes:
    timing: what the seconds went to since it was set anew.
    device_lock: held while the engine reads and draws, where another thread
      uses the same devices.
  """

  def __init__(
    self,
    config: config_lib.DecoderConfig,
    tokenizer: tokenizer_lib.Tokenizer,
    text_format: formats.Format,
    pool: pool_lib.EnvironmentPool,
    *,
    task_sentence: Callable[[Any], str],
    limits: RolloutLimits,
    slots: int | None = None,
    decode_steps_per_call: int = 32,
    strings: Sequence[str] = (),
    mesh: jax.sharding.Mesh | None = None,
    should_stop: Callable[[], bool] = lambda: False,
  ):
    if slots is not None and slots < 1:
      raise ValueError(f'slots must be positive, not {slots}')
    config.check_positions(limits.row_tokens, 'a row')
    size = getattr(tokenizer, 'vocab_size', config.tokens)
    if config.tokens != size:
      raise ValueError(
        f'the tokenizer has {size} tokens, the policy {config.tokens}: give '
        f'collector and learner config.for_tokenizer({size}), so that what is '
        'no token is neither sampled nor learned'
      )
    self._config = config
    self._tokenizer = tokenizer
    self._format = text_format
    self._pool = pool
    self._task_sentence = task_sentence
    self._limits = limits
    self._slots = min(slots or pool.count, pool.count)
    self._decode_steps_per_call = decode_steps_per_call
    self._strings = tuple(strings)
    self._mesh = mesh
    self._should_stop = should_stop
    self._stops = None
    if strings:
      self._stops = stop_strings.compile_table(
        strings,
        stop_strings.token_bytes(tokenizer, config.vocab_size),
        config.vocab_size,
      )
    self.timing = Timing()
    self.device_lock: contextlib.AbstractContextManager = (
      contextlib.nullcontext()
    )

  def collect(
    self,
    params,
    tasks: Sequence[Any],
    group_size: int,
    key: jax.Array,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    max_support: int = 256,
    tree: tree_sampling.Plan | None = None,
    first_group: int = 0,
    on_episode: Callable[[int], None] | None = None,
  ) -> list[episodes_lib.Episode]:
    """Plays `group_size` episodes of each task.

    Args:
      params: of the decoder, as `decoder.init` makes them.
      tasks: P of them.
      group_size: G; may be more than are played side by side.
      key: random key; the same key gives the same episodes.
      temperature: of the sampler; 0 takes the likeliest token.
      top_k: see `sampling.SamplingParams`; likewise the next two.
      top_p: mass of the likeliest tokens that are left.
      min_p: least share of the likeliest token's probability.
      max_support: tokens that top_k, top_p and min_p leave at most. Rows hold
        which they are, so that the learner scores each token among those it
        was sampled from. Without a restriction it does nothing.
      tree: how the answers to a task grow as a tree, `group_size` of them;
        None: they are independent. For episodes of one step.
      first_group: number of the first task's group, where others are played
        elsewhere.
      on_episode: called with the number of episodes that just ended.

    Returns:
      P * G episodes, those of a task side by side. Their log-probabilities are
      those of the sampling distribution: the learner gets the same numbers from
      the same parameters, temperature and support.

    Raises:
      RolloutInterruptedError: `should_stop` says so. Nothing but environments
        in the middle of episodes is left behind; they can be reset.
    """
    if group_size < 1:
      raise ValueError(f'group_size must be positive, not {group_size}')
    if top_k is not None and top_k > max_support:
      raise ValueError(
        f'top_k={top_k} is more than the {max_support} tokens that rows hold: '
        'raise max_support'
      )
    if tree is not None and self._limits.steps > 1:
      raise ValueError(
        'a tree grows from one prompt: it needs episodes of one step, not of '
        f'up to {self._limits.steps}'
      )
    if not len(tasks):
      return []
    sampling_params = sampling.SamplingParams(temperature, top_k, top_p, min_p)
    if sampling_params.restricts:
      sampling_params = dataclasses.replace(
        sampling_params, max_support=max_support
      )
    with sharding.on(self._mesh):
      engine = engine_lib.Engine(
        sampler.decoding_params(params),
        self._config,
        slots=min(self._slots, len(tasks) * group_size),
        row_tokens=self._limits.row_tokens,
        new_tokens=self._limits.new_tokens,
        sampling_params=sampling_params,
        stop_tokens=getattr(
          self._tokenizer, 'stop_ids', (self._tokenizer.eos_id,)
        ),
        stops=self._stops,
        decode_steps_per_call=self._decode_steps_per_call,
        chunks=self._limits.chunks,
        capacities=_capacities(self._limits.row_tokens),
      )
      if tree is not None:
        groups = first_group + np.arange(len(tasks))
        engine = tree_engine.TreeEngine(
          engine,
          dataclasses.replace(tree, group_size=group_size),
          _turn_keys(key, groups, *np.zeros((2, len(tasks)), np.int32)),
          lambda i: divmod(i, group_size),
          new_tokens=self._limits.new_tokens,
          strings=self._strings,
          tokenizer=self._tokenizer,
        )
      on_episode = on_episode or (lambda count: None)
      play = _Play(
        self, tasks, group_size, key, engine, on_episode, first_group
      )
      return play.play()


class _Play:
  """Episodes on their way through the environments and the engine."""

  def __init__(
    self, collector, tasks, group_size, key, engine, on_episode, first_group
  ):
    self.collector = collector
    self.limits = collector._limits
    self.format = collector._format
    self.tokenizer = collector._tokenizer
    self.key = key
    self.engine = engine
    self.on_episode = on_episode
    self.group_size = group_size
    self.episodes = [
      episodes_lib.Episode(task=task, group=p, rollout=g)
      for p, task in enumerate(tasks, first_group)
      for g in range(group_size)
    ]
    self.sentences = {
      p: collector._task_sentence(task)
      for p, task in enumerate(tasks, first_group)
    }
    self.waiting = collections.deque(range(len(self.episodes)))
    # Environments in use by their episode, and those that are free.
    self.environment: dict[int, int] = {}
    self.slots = min(collector._slots, len(self.episodes))
    self.free = list(range(self.slots))
    # What each episode's environment said last, and the prompt made of it.
    self.answers: dict[int, protocol.TextStep | None] = {}
    self.prompts: dict[int, list[int]] = {}
    self.histories: dict[int, chat_history.ChatHistory] = {}
    self.in_engine: set[int] = set()

  def play(self) -> list[episodes_lib.Episode]:
    due = self._begin()
    while self.environment:
      self._check_stop()
      self._submit(due)
      drawn = self._draw()
      actions = {i: self._act(i, answer) for i, answer in drawn.items()}
      before = {i: self.answers[i] for i in actions}
      self._ask('step', {i: action.text for i, action in actions.items()})
      for i, action in actions.items():
        self._record(i, action, before[i])
      begun = self._begin()
      due = [i for i in actions if i in self.environment] + begun
    return self.episodes

  def _check_stop(self) -> None:
    if self.collector._should_stop():
      raise RolloutInterruptedError

  def _begin(self) -> list[int]:
    """Resets free environments to waiting episodes; returns the episodes."""
    begun = []
    # A task that cannot be reset leaves its environment to the next.
    while self.waiting and self.free:
      count = min(len(self.waiting), len(self.free))
      batch = [self.waiting.popleft() for _ in range(count)]
      for i in batch:
        self.environment[i] = self.free.pop(0)
      self._ask('reset', {i: self.episodes[i].task for i in batch})
      for i in batch:
        if i in self.environment:
          self.episodes[i].initial_observation = self.answers[i].observation
          begun.append(i)
    # A reset can cost episodes that began before it.
    return [i for i in begun if i in self.environment]

  def _end(self, i, *, failure='', terminated=False, truncated=False):
    episode = self.episodes[i]
    episode.failure = failure
    episode.terminated = terminated
    episode.truncated = truncated
    self.free.append(self.environment.pop(i))
    self.free.sort()
    if i in self.in_engine:
      self.in_engine.remove(i)
      self.engine.release(i)
    self.on_episode(1)

  def _ask(self, kind: str, requests: dict[int, Any]) -> None:
    """Asks the environments; an episode whose environment failed ends."""
    if not requests:
      return
    start = time.perf_counter()
    pool = self.collector._pool
    reported = len(pool.failures)
    ask = pool.reset if kind == 'reset' else pool.step
    answers = ask({self.environment[i]: r for i, r in requests.items()})
    self.answers.update({i: answers[self.environment[i]] for i in requests})
    # The pool may report environments beyond these: those of episodes that are
    # being answered, and those that hold none.
    reasons = {f.environment: f.reason for f in pool.failures[reported:]}
    for i, environment in list(self.environment.items()):
      if environment in reasons or (i in requests and self.answers[i] is None):
        reason = reasons.get(environment, 'environment failed')
        self._end(i, failure=reason)
    self.collector.timing.environment += time.perf_counter() - start

  def _prompt(self, i: int) -> list[int]:
    episode, answer = self.episodes[i], self.answers[i]
    history = [formats.Exchange(s.observation, s.action) for s in episode.steps]
    text = self.format.prompt(
      history,
      answer.observation,
      answer.admissible,
      self.sentences[episode.group],
    )
    if self.format.rebuilds_prompt or not episode.steps:
      self.histories[i] = chat_history.begin(self.tokenizer)
    return self.histories[i].add_observation(text)

  def _submit(self, due: Sequence[int]) -> None:
    """Asks for the next answer of episodes that are due."""
    rows = {}
    for i in due:
      episode, prompt = self.episodes[i], self._prompt(i)
      before = []
      if episode.rows and not self.format.rebuilds_prompt:
        before = episode.rows[0].tokens
      if self._fits(i, len(before), len(prompt)):
        self.prompts[i] = prompt
        rows[i] = before + prompt
    if not rows:
      return
    start = time.perf_counter()
    episodes = [self.episodes[i] for i in rows]
    # As many as there are slots, so that this compiles once.
    numbers = np.zeros((3, self.slots), np.int32)
    numbers[:, : len(rows)] = np.transpose(
      [(e.group, e.rollout, len(e.steps)) for e in episodes]
    )
    keys = _turn_keys(self.key, *numbers)
    data = np.asarray(jax.random.key_data(keys))[: len(rows)]
    keys = jax.random.wrap_key_data(data, impl=jax.random.key_impl(keys))
    self.engine.submit(list(rows), list(rows.values()), keys)
    self.in_engine.update(rows)
    self.collector.timing.policy += time.perf_counter() - start

  def _fits(self, i: int, have: int, more: int) -> bool:
    """Whether a prompt and its answer fit the row; if not, the episode ends."""
    episode = self.episodes[i]
    if have + more + self.limits.new_tokens <= self.limits.row_tokens:
      return True
    if not episode.steps:
      raise ValueError(
        f'the first prompt of {self.sentences[episode.group]!r} has '
        f'{more} tokens: with {self.limits.new_tokens} for the '
        f'answer it does not fit a row of {self.limits.row_tokens}; raise '
        'the row length'
      )
    episode.cut_off = True
    self._end(i, truncated=True)
    return False

  def _draw(self) -> dict[int, engine_lib.Completion]:
    """Lets the engine go on until some episodes have answered."""
    timing, answers = self.collector.timing, []
    while self.engine.answering and not answers:
      with self.collector.device_lock, timing.working():
        answers = self.engine.step()
      start, end = timing.busy[-1]
      timing.policy += end - start
      self._check_stop()
    return {answer.name: answer for answer in answers}

  def _act(self, i: int, answer: engine_lib.Completion) -> formats.Action:
    """Appends a turn to the episode's rows and reads the action."""
    episode = self.episodes[i]
    if self.format.rebuilds_prompt or not episode.rows:
      episode.rows.append(episodes_lib.TokenRow())
    row = episode.rows[-1]
    self.histories[i].add_completion(answer.tokens)
    row.read(self.prompts[i])
    row.sample(
      answer.tokens,
      answer.log_probs,
      len(episode.steps),
      answer.entropies,
      answer.support,
    )
    episode.cut_off = answer.end == 'length'
    if isinstance(self.engine, tree_engine.TreeEngine):
      episode.shared_prefix_length = self.engine.shared_prefix_length(i)
    text = generation.text_of(
      answer, self.tokenizer, self.collector._strings, keep=True
    )
    return self.format.read(text, answer.end != 'length')

  def _record(self, i, action: formats.Action, before) -> None:
    # An environment can answer, and be lost when its worker is replaced.
    if i not in self.environment:
      return
    episode, answer = self.episodes[i], self.answers[i]
    executed = grounded = answer.executed
    if executed is None:
      executed = action.text in before.admissible
      # Where no actions are listed, nothing is known.
      grounded = executed if before.admissible else None
    episode.solved = answer.success
    episode.steps.append(
      episodes_lib.Step(
        observation=before.observation,
        action=action.text,
        next_observation=answer.observation,
        reward=answer.reward,
        valid=action.valid,
        admissible=executed,
        anchor=before.anchor,
        grounded=grounded,
      )
    )
    too_long = len(episode.steps) >= self.limits.steps
    if answer.terminated or answer.truncated or too_long:
      self._end(
        i,
        terminated=answer.terminated,
        truncated=not answer.terminated,
      )


def mean_length(episodes: Sequence[episodes_lib.Episode]) -> float:
  """Mean number of steps; 0 for no episodes."""
  if not episodes:
    return 0.0
  return float(jnp.asarray([len(e.steps) for e in episodes]).mean())
