"""Policy x environments -> episodes.

All episodes advance turn by turn. In formats that continue the text of the
episode, the key/value cache lives as long as the episode: the prompt that a
group shares is read once, each turn reads the new observation and draws the
action in one compiled call. Finished episodes leave the batch, which shrinks
through a few fixed sizes, so that a long episode does not make its whole batch
pay.

What an episode draws is a function of the key, its group and its rollout
number: not of the batch it sits in.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit.environments import protocol
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import sampler
from jaxcredit.networks import tokenizer as tokenizer_lib
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.rollouts import formats
from jaxcredit.rollouts import pool as pool_lib


@dataclasses.dataclass(frozen=True)
class Limits:
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


@dataclasses.dataclass
class Timing:
  """Seconds that a collection spent, by what it waited for."""

  policy: float = 0.0
  environment: float = 0.0


def _capacities(row_tokens: int) -> list[int]:
  sizes = [row_tokens]
  while sizes[0] > 256:
    sizes.insert(0, (sizes[0] + 1) // 2)
  return sizes


@jax.jit
def _turn_keys(key, group, rollout, turn):
  def one(g, r):
    return jax.random.fold_in(
      jax.random.fold_in(jax.random.fold_in(key, g), r), turn
    )

  return jax.vmap(one)(group, rollout)


class Collector:
  """Plays groups of episodes.

  Args:
    config: of the decoder.
    tokenizer: of the policy.
    text_format: how episodes are put into text.
    pool: the environments; its size bounds the episodes played side by side.
    task_sentence: task -> the sentence that states it.
    limits: sizes.
  """

  def __init__(
    self,
    config: config_lib.DecoderConfig,
    tokenizer: tokenizer_lib.Tokenizer,
    text_format: formats.Format,
    pool: pool_lib.EnvironmentPool,
    *,
    task_sentence: Callable[[Any], str],
    limits: Limits,
  ):
    self._config = config
    self._tokenizer = tokenizer
    self._format = text_format
    self._pool = pool
    self._task_sentence = task_sentence
    self._limits = limits
    self.timing = Timing()

  def collect(
    self,
    params,
    tasks: Sequence[Any],
    group_size: int,
    key: jax.Array,
    *,
    temperature: float = 1.0,
    on_episode: Callable[[int], None] | None = None,
  ) -> list[episodes_lib.Episode]:
    """Plays `group_size` episodes of each task.

    Args:
      params: of the decoder, as `decoder.init` makes them.
      tasks: P of them.
      group_size: G.
      key: random key; the same key gives the same episodes.
      temperature: of the sampler; 0 takes the likeliest token.
      on_episode: called with the number of episodes that just ended.

    Returns:
      P * G episodes, those of a task side by side.
    """
    if group_size < 1 or group_size > self._pool.count:
      raise ValueError(
        f'group_size must lie between 1 and the size of the pool '
        f'({self._pool.count}), not {group_size}'
      )
    decoding = sampler.decoding_params(params)
    at_once = self._pool.count // group_size
    played = []
    for start in range(0, len(tasks), at_once):
      batch = _Batch(
        self,
        decoding,
        tasks[start : start + at_once],
        start,
        group_size,
        key,
        temperature,
        on_episode or (lambda count: None),
        slots=min(at_once, len(tasks)) * group_size,
      )
      played.extend(batch.play())
    return played


class _Batch:
  """Episodes that advance side by side."""

  def __init__(
    self,
    collector,
    params,
    tasks,
    first_group,
    group_size,
    key,
    temperature,
    on_episode,
    slots,
  ):
    self.collector = collector
    self.params = params
    self.limits = collector._limits
    self.format = collector._format
    self.tokenizer = collector._tokenizer
    self.config = collector._config
    self.key = key
    self.temperature = temperature
    self.on_episode = on_episode
    self.group_size = group_size
    self.slots = slots
    self.episodes = [
      episodes_lib.Episode(task=task, group=first_group + p, rollout=g)
      for p, task in enumerate(tasks)
      for g in range(group_size)
    ]
    self.sentences = [collector._task_sentence(task) for task in tasks]
    self.answers: dict[int, protocol.TextStep | None] = {}
    self.turn = 0
    self.cache = None
    # Episode in each row of the cache; -1 for a row that idles.
    self.row_episode = np.zeros((0,), np.int64)

  def play(self) -> list[episodes_lib.Episode]:
    self._ask(
      lambda pool: pool.reset(
        {i: episode.task for i, episode in enumerate(self.episodes)}
      )
    )
    for i, episode in enumerate(self.episodes):
      if self.answers[i] is not None:
        episode.initial_observation = self.answers[i].observation
    while self._alive():
      prompts = {i: self._prompt(i) for i in self._alive()}
      for i in self._alive():
        self._stop_if_too_long(i, prompts[i])
      alive = self._alive()
      if not alive:
        break
      drawn = self._draw({i: prompts[i] for i in alive})
      actions = {i: self._act(i, prompts[i], *drawn[i]) for i in alive}
      self._ask(
        lambda pool, actions=actions: pool.step(
          {i: action.text for i, action in actions.items()}
        )
      )
      for i in alive:
        self._record(i, actions[i])
      self.turn += 1
    return self.episodes

  def _alive(self) -> list[int]:
    return [i for i, e in enumerate(self.episodes) if not e.finished]

  def _end(self, episode, *, failure='', terminated=False, truncated=False):
    episode.failure = failure
    episode.terminated = terminated
    episode.truncated = truncated
    self.on_episode(1)

  def _ask(self, request) -> None:
    """Asks the environments; an episode whose environment failed ends."""
    start = time.perf_counter()
    pool = self.collector._pool
    reported = len(pool.failures)
    answers = request(pool)
    self.previous, self.answers = self.answers, {**self.answers, **answers}
    reasons = {f.environment: f.reason for f in pool.failures[reported:]}
    # The pool may report environments beyond these, which an earlier and larger
    # batch used.
    for i, episode in enumerate(self.episodes):
      failed = i in reasons or (i in answers and answers[i] is None)
      if failed and not episode.finished:
        self._end(episode, failure=reasons.get(i, 'environment failed'))
    self.collector.timing.environment += time.perf_counter() - start

  def _prompt(self, i: int) -> list[int]:
    episode, answer = self.episodes[i], self.answers[i]
    history = [formats.Exchange(s.observation, s.action) for s in episode.steps]
    text = self.format.prompt(
      history,
      answer.observation,
      answer.admissible,
      self.sentences[i // self.group_size],
    )
    return self.tokenizer.encode_prompt(text)

  def _stop_if_too_long(self, i: int, prompt: list[int]) -> None:
    episode = self.episodes[i]
    have = 0
    if episode.rows and not self.format.rebuilds_prompt:
      have = len(episode.rows[0].tokens)
    if have + len(prompt) + self.limits.new_tokens > self.limits.row_tokens:
      if not episode.steps:
        raise ValueError(
          f'the first prompt of {self.sentences[i // self.group_size]!r} has '
          f'{len(prompt)} tokens: with {self.limits.new_tokens} for the '
          f'answer it does not fit a row of {self.limits.row_tokens}; raise '
          'the row length'
        )
      self._end(episode, truncated=True)

  def _act(self, i, prompt, tokens, log_probs) -> formats.Action:
    """Appends a turn to the episode's rows and reads the action."""
    episode = self.episodes[i]
    if self.format.rebuilds_prompt or not episode.rows:
      episode.rows.append(episodes_lib.TokenRow())
    row = episode.rows[-1]
    row.read(prompt)
    row.draw(tokens, log_probs, len(episode.steps))
    finished = bool(tokens) and tokens[-1] == self.tokenizer.eos_id
    text = self.tokenizer.decode(tokens[:-1] if finished else tokens)
    return self.format.read(text, finished)

  def _record(self, i: int, action: formats.Action) -> None:
    episode, before, answer = (
      self.episodes[i],
      self.previous[i],
      self.answers[i],
    )
    # An environment can answer, and be lost when its worker is replaced.
    if answer is None or episode.failure:
      return
    episode.steps.append(
      episodes_lib.Step(
        observation=before.observation,
        action=action.text,
        answer=answer.observation,
        reward=answer.reward,
        valid=action.valid,
        admissible=action.text in before.admissible,
        anchor=before.anchor,
      )
    )
    too_long = len(episode.steps) >= self.limits.steps
    if answer.terminated or answer.truncated or too_long:
      self._end(
        episode,
        terminated=answer.terminated,
        truncated=not answer.terminated,
      )

  def _draw(self, prompts: dict[int, list[int]]):
    """Reads each prompt and draws an answer; returns tokens, log-probs."""
    start = time.perf_counter()
    if self.format.rebuilds_prompt:
      self._new_rows(list(prompts), [len(p) for p in prompts.values()])
      pending = prompts
    elif self.cache is None:
      pending = self._share_first_prompt(prompts)
    else:
      self._fit_rows(list(prompts), prompts)
      pending = prompts
    tokens, count = self._pad(pending)
    turn = sampler.sample_turn(
      self.params,
      self.config,
      self.cache,
      self._keys(),
      tokens,
      count,
      max_new_tokens=self.limits.new_tokens,
      stop_tokens=(self.tokenizer.eos_id,),
      temperature=self.temperature,
      active=count > 0,
    )
    self.cache = turn.cache
    drawn, log_probs, counts = jax.device_get(
      (turn.tokens, turn.log_probs, turn.count)
    )
    self.collector.timing.policy += time.perf_counter() - start
    return {
      i: (
        drawn[row, : counts[row]].tolist(),
        log_probs[row, : counts[row]].tolist(),
      )
      for row, i in enumerate(self.row_episode)
      if i in prompts
    }

  def _keys(self):
    episodes = [self.episodes[max(i, 0)] for i in self.row_episode]
    return _turn_keys(
      self.key,
      np.array([e.group for e in episodes], np.int32),
      np.array([e.rollout for e in episodes], np.int32),
      np.int32(self.turn),
    )

  def _pad(self, prompts: dict[int, list[int]]):
    """Returns tokens [B, T] and count [B] in the cache's row order."""
    width = episodes_lib.round_up(
      max(len(p) for p in prompts.values()), self.limits.chunks
    )
    tokens = np.zeros((len(self.row_episode), width), np.int32)
    count = np.zeros((len(self.row_episode),), np.int32)
    for row, i in enumerate(self.row_episode):
      if i in prompts:
        count[row] = len(prompts[i])
        tokens[row, : count[row]] = prompts[i]
    return tokens, count

  def _batch_size(self, alive: int) -> int:
    """Sizes the batch may have: halves of the whole."""
    size = self.slots
    while size % 2 == 0 and size // 2 >= max(alive, 8):
      size //= 2
    return size

  def _new_rows(self, alive: list[int], lengths: Sequence[int]) -> None:
    """An empty cache that holds the prompts and answers of one step."""
    size = self._batch_size(len(alive))
    self.row_episode = np.full((size,), -1)
    self.row_episode[: len(alive)] = alive
    self.cache = sampler.init_cache(
      self.config, size, self._capacity(max(lengths))
    )

  def _capacity(self, tokens: int) -> int:
    return episodes_lib.round_up(
      tokens + self.limits.new_tokens, _capacities(self.limits.row_tokens)
    )

  def _share_first_prompt(self, prompts):
    """Reads each group's prompt once and gives every rollout a copy.

    The last token is left for the turn, which needs its logits.
    """
    groups = sorted({i // self.group_size for i in prompts})
    first = {
      g: min(i for i in prompts if i // self.group_size == g) for g in groups
    }
    self._new_rows(list(prompts), [len(p) for p in prompts.values()])
    row_episode = self.row_episode
    # As many rows as groups, whatever failed, so that this compiles once.
    count = self.slots // self.group_size
    self.row_episode = np.full((count,), -1)
    self.row_episode[: len(groups)] = [first[g] for g in groups]
    shared = sampler.init_cache(self.config, count, self.cache.capacity)
    heads = {first[g]: prompts[first[g]][:-1] for g in groups}
    if any(heads.values()):
      tokens, lengths = self._pad(heads)
      shared, _ = sampler.extend(
        self.params, self.config, shared, tokens, lengths
      )
    source = [
      groups.index(i // self.group_size) if i >= 0 else 0 for i in row_episode
    ]
    self.cache = sampler.take(shared, np.array(source, np.int32))
    self.row_episode = row_episode
    return {i: prompt[-1:] for i, prompt in prompts.items()}

  def _fit_rows(self, alive: list[int], prompts) -> None:
    """Shrinks the batch to those alive and grows the cache as needed."""
    size = self._batch_size(len(alive))
    if size < len(self.row_episode):
      row_of = {i: row for row, i in enumerate(self.row_episode)}
      rows = [row_of[i] for i in alive]
      rows += [rows[0]] * (size - len(rows))
      self.cache = sampler.take(self.cache, np.array(rows, np.int32))
      self.row_episode = np.full((size,), -1)
      self.row_episode[: len(alive)] = alive
    longest = max(
      len(self.episodes[i].rows[0].tokens) + len(prompts[i]) for i in alive
    )
    capacity = self._capacity(longest)
    if capacity > self.cache.capacity:
      self.cache = sampler.grow(self.cache, capacity)


def mean_length(episodes: Sequence[episodes_lib.Episode]) -> float:
  """Mean number of steps; 0 for no episodes."""
  if not episodes:
    return 0.0
  return float(jnp.asarray([len(e.steps) for e in episodes]).mean())
