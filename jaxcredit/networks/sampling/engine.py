"""Continuous batching: many rows go through few slots of one cache.

A row is a growing list of tokens that is answered again and again: a prompt,
or an episode whose observations arrive between its answers. Rows that find no
slot wait; when a row is released, the next takes its slot while the others go
on. What the cache holds already is not read again:

* a row that goes on where its last answer ended reads what is new;
* a row that begins like another (the prompt of its group, or the head of a
  template) takes over the other's keys and values, whether that row has ended
  or is still under way, and reads the rest.

Long texts are read in pieces. Sizes are rounded up to a few buckets, each of
which compiles once: pieces of text, rows that read, rows of the cache and its
capacity.
"""

import collections
import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcredit.networks import config as config_lib
from jaxcredit.networks.sampling import cache as cache_lib
from jaxcredit.networks.sampling import completion as completion_lib
from jaxcredit.networks.sampling import sampler, stop_strings
from jaxcredit.networks.sampling import sampling_params as sampling
from jaxcredit.networks.sampling import slots as slots_lib

Completion = completion_lib.Completion
EngineStats = completion_lib.EngineStats
CHUNKS = (8, 16, 32, 64, 128, 256, 512)
# The cache has at least this many rows, if the engine has as many slots.
_FEWEST_ROWS = 8


class Engine:
  """Answers rows, as many at a time as there are slots.

  The same row, key and answer number give the same tokens whatever else is in
  the batch, up to ties within the rounding of the logits.

  Args:
    params: from `sampler.decoding_params`.
    config: of the decoder.
    slots: rows of the cache at most; fewer while fewer rows are there.
    row_tokens: tokens of a row, its answers included, at most.
    new_tokens: tokens of an answer at most, unless `submit` says otherwise.
    sampling_params: the sampling distribution, of plain numbers.
    stop_tokens: tokens that end an answer.
    stops: strings that end an answer, from `stop_strings.compile_table`.
    decode_steps_per_call: tokens that each row samples before rows that have
      ended are replaced.
    chunks: lengths to which pieces of text are padded; longer texts are read
      in several pieces.
    capacities: sizes of the cache; it grows as rows do.
    prefill_tokens: padded tokens that one call may read, so that a long prompt
      in a large batch does not need all memory.
    share_prefixes: whether rows take over keys and values of rows that begin
      like them.

  Attributes:
    stats: counts of the work done so far.
  """

  def __init__(
    self,
    params: dict[str, Any],
    config: config_lib.DecoderConfig,
    *,
    slots: int,
    row_tokens: int,
    new_tokens: int,
    sampling_params: sampling.SamplingParams | None = None,
    stop_tokens: Sequence[int] = (),
    stops: stop_strings.StopTable | None = None,
    decode_steps_per_call: int = 32,
    chunks: Sequence[int] = CHUNKS,
    capacities: Sequence[int] | None = None,
    prefill_tokens: int = 8192,
    share_prefixes: bool = True,
  ):
    config.check_positions(row_tokens, 'a row')
    sizes = {
      'slots': slots, 'row_tokens': row_tokens, 'new_tokens': new_tokens,
      'decode_steps_per_call': decode_steps_per_call,
      'prefill_tokens': prefill_tokens, 'chunks': min(chunks, default=0),
    }  # fmt: skip
    for name, value in sizes.items():
      if value < 1:
        raise ValueError(f'{name} must be positive, not {value}')
    sampling_params = (sampling_params or sampling.SamplingParams()).check()
    if any(np.ndim(value) for value in jax.tree.leaves(sampling_params)):
      raise ValueError(
        f'an engine samples all rows alike, not by {sampling_params}'
      )
    self._params = params
    self._config = config
    self._slots = slots
    self._row_tokens = row_tokens
    self._new_tokens = new_tokens
    # Plain numbers of one type, so that a change does not compile.
    self._sampling_params = jax.tree.map(np.float32, sampling_params)
    self._stop_tokens = tuple(stop_tokens)
    self._stops = stops
    self._decode_steps = min(decode_steps_per_call, new_tokens)
    self._chunks = tuple(sorted(chunks))
    self._capacities = sorted(
      {
        *(
          s
          for s in capacities or slots_lib.capacities_for(row_tokens)
          if s < row_tokens
        ),
        row_tokens,
      }
    )
    self._prefill_tokens = prefill_tokens
    self._queue: collections.deque[slots_lib.Row] = collections.deque()
    self._names: dict[Hashable, slots_lib.Row] = {}
    self._table = slots_lib.Slots(row_tokens, share_prefixes)
    self._cache: cache_lib.Cache | None = None
    self._impl = None
    self._excludes = False
    self.stats = EngineStats()

  @property
  def slots(self) -> int:
    """Rows that have a slot at the same time, at most."""
    return self._slots

  @property
  def waiting(self) -> int:
    """Rows that wait for a slot."""
    return len(self._queue)

  @property
  def answering(self) -> int:
    """Rows whose answer is due, those that wait included."""
    return sum(row.answering for row in self._names.values())

  def submit(
    self,
    names: Sequence[Hashable],
    rows: Sequence[Sequence[int]],
    keys: jax.Array,
    *,
    new_tokens: int | None = None,
    begun: Sequence[int] | None = None,
    excluded: Sequence[int] | None = None,
  ) -> None:
    """Asks for answers.

    A name that is new takes a slot, or waits for one, and keeps it until it is
    released.

    Args:
      names: of the rows.
      rows: all tokens of each, earlier answers included.
      keys: random keys [N], one for each answer.
      new_tokens: tokens of these answers at most.
      begun: how many tokens at the end of each row belong to its answer
        already, so that a stop string may have begun in them; 0 by default.
      excluded: a token for each row that cannot be its answer's first; -1: any
        can. The first call that gives them compiles the drawing anew.

    Raises:
      ValueError: a row that is answering already, has no token or one outside
        the vocabulary, or is too long.
    """
    if not len(names) == len(rows) == len(keys):
      raise ValueError(
        f'{len(names)} names, {len(rows)} rows and {len(keys)} keys are not '
        'one of each a row'
      )
    for what, numbers in (('begun', begun), ('excluded', excluded)):
      if numbers is not None and len(numbers) != len(rows):
        raise ValueError(
          f'{what} has {len(numbers)} numbers for {len(rows)} rows'
        )
    begun = [0] * len(rows) if begun is None else begun
    self._excludes |= excluded is not None
    excluded = [-1] * len(rows) if excluded is None else excluded
    budget = self._new_tokens if new_tokens is None else new_tokens
    if budget < 1:
      raise ValueError(f'new_tokens must be positive, not {budget}')
    if not jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key):
      keys = jax.random.wrap_key_data(keys)
    self._impl = jax.random.key_impl(keys)
    data = np.asarray(jax.random.key_data(keys))
    for name, row, key, count, token in zip(
      names, rows, data, begun, excluded, strict=True
    ):
      tokens = np.asarray(row, np.int32)
      self._submit(name, tokens, key, budget, count, token)

  def _submit(self, name, tokens, key, budget, begun, excluded):
    if name in self._names and self._names[name].answering:
      raise ValueError(f'row {name!r} is answering already')
    if tokens.ndim != 1 or not tokens.size:
      raise ValueError(
        f'row {name!r} must be a list of at least one token, not of shape '
        f'{tokens.shape}'
      )
    if tokens.min() < 0 or tokens.max() >= self._config.tokens:
      raise ValueError(
        f'row {name!r} has tokens from {tokens.min()} to {tokens.max()}, the '
        f'vocabulary 0 to {self._config.tokens - 1}'
      )
    if len(tokens) + budget > self._row_tokens:
      raise ValueError(
        f'row {name!r} has {len(tokens)} tokens: with {budget} for the answer '
        f'it does not fit a row of {self._row_tokens}'
      )
    if not 0 <= begun <= len(tokens):
      raise ValueError(
        f'row {name!r} has {len(tokens)} tokens: begun={begun} of them cannot '
        'belong to its answer'
      )
    state = 0
    if self._stops is not None and begun:
      state = self._stops.behind(tokens[-begun:])
    row = slots_lib.Row(
      name, tokens, key, budget, stop_state=state, excluded=excluded
    )
    if name in self._names:
      self._table.replace(self._names[name], row)
    else:
      self._queue.append(row)
    self._names[name] = row

  def release(self, name: Hashable) -> None:
    """Forgets a row: its slot is free, an answer under way is dropped.

    Raises:
      ValueError: no row has that name.
    """
    if name not in self._names:
      raise ValueError(f'there is no row {name!r} to release')
    row = self._names.pop(name)
    if row in self._queue:
      self._queue.remove(row)
    else:
      self._table.give_back(row)

  def step(self) -> list[Completion]:
    """Lets every row that has a slot read what it must, and draw a while.

    Returns:
      The answers that ended; empty where none did, or where none is due.

    Raises:
      ValueError: the policy's logits are not finite; or rows wait for slots
        that are held by rows whose answers have ended.
    """
    if not self.answering:
      return []
    self._fit()
    self._admit()
    if not any(row and row.answering for row in self._table.rows):
      raise ValueError(
        f'{len(self._queue)} rows wait for a slot, and each of the '
        f'{self._slots} slots is held by a row that has answered: release some'
      )
    self._prefill()
    return self._draw()

  def _size(self, rows: int) -> int:
    """Rows that the cache has for so many in use: a half, a quarter ..."""
    size = self._slots
    while size % 2 == 0 and size // 2 >= max(rows, _FEWEST_ROWS):
      size //= 2
    return size

  def _fit(self) -> None:
    """Makes the cache as large as the rows need it."""
    size = self._size(min(self._slots, len(self._names)))
    capacity = slots_lib.bucket(
      max(len(row.tokens) + row.budget for row in self._names.values()),
      self._capacities,
    )
    if self._cache is None:
      self._cache = cache_lib.init_cache(self._config, size, capacity)
      self._table.resize(size)
    if capacity > self._cache.capacity:
      self._cache = cache_lib.grow(self._cache, capacity)
    if size != len(self._table):
      self._cache = cache_lib.take(self._cache, self._table.resize(size))

  def _with_lengths(self) -> cache_lib.Cache:
    # A copy: the table changes while a call may still be under way.
    return dataclasses.replace(self._cache, length=self._table.held.copy())

  def _admit(self) -> None:
    """Gives free slots to rows that wait, and reads them."""
    while self._queue and self._table.free():
      copies, saved = self._table.admit(self._queue)
      self._copy(copies)
      self._prefill()
      self.stats.prefix_cache_hits += saved

  def _few(self, width: int = 1) -> int:
    """Rows that one call handles where not all rows take part."""
    return max(1, min(len(self._table) // 8, self._prefill_tokens // width))

  def _copy(self, copies: Sequence[tuple[int, int]]) -> None:
    # In one call: a row may be copied and overwritten at once.
    if copies:
      size = len(self._table)
      few = self._few()
      padded = few if len(copies) <= few else size
      source = np.zeros((padded,), np.int32)
      target = np.full((padded,), size, np.int32)
      source[: len(copies)], target[: len(copies)] = zip(*copies, strict=True)
      self._cache = cache_lib.copy(self._cache, source, target)

  def _prefill(self) -> None:
    """Reads all that rows must read before they draw."""
    size = len(self._table)
    while True:
      left = self._table.pending_tokens()
      if not left:
        return
      longest = min(max(left.values()), self._chunks[-1])
      width = slots_lib.bucket(longest, self._chunks)
      # The others are left for a call with less padding.
      alike = [slot for slot, count in left.items() if 4 * count > longest]
      if 2 * len(alike) >= size and size * width <= self._prefill_tokens:
        self._prefill_piece(list(range(size)), width, left, whole=True)
        continue
      few = self._few(width)
      for start in range(0, len(alike), few):
        self._prefill_piece(alike[start : start + few], width, left, few=few)

  def _prefill_piece(self, slots, width, left, *, whole=False, few=0) -> None:
    """Reads the next piece of some slots' texts, or of all."""
    count = len(self._table) if whole else few
    tokens = np.zeros((count, width), np.int32)
    counts = np.zeros((count,), np.int32)
    rows = np.full((count,), len(self._table), np.int32)
    for i, slot in enumerate(slots):
      held = self._table.held[slot]
      counts[i] = min(left.get(slot, 0), width)
      tokens[i, : counts[i]] = self._table.text[slot, held : held + counts[i]]
      rows[i] = slot
    self._cache = sampler.prefill(
      self._params,
      self._config,
      self._with_lengths(),
      tokens,
      counts,
      None if whole else rows,
    )
    self._table.held[rows[: len(slots)]] += counts[: len(slots)]
    self.stats.prefilled += int(counts.sum())

  def _draw(self) -> list[Completion]:
    size = len(self._table)
    pending_token, generated, budget, state = np.zeros((4, size), np.int32)
    excluded = np.full((size,), -1, np.int32)
    keys = None
    for slot, row in enumerate(self._table.rows):
      if row is None or not row.answering:
        continue
      if keys is None:
        keys = np.zeros((size, *row.key.shape), row.key.dtype)
      keys[slot] = row.key
      pending_token[slot] = self._table.text[slot, row.length - 1]
      generated[slot] = len(row.generated)
      budget[slot] = row.budget - len(row.generated)
      state[slot] = row.stop_state
      excluded[slot] = row.excluded
    turn = sampler.decode(
      self._params,
      self._config,
      self._with_lengths(),
      jax.random.wrap_key_data(keys, impl=self._impl),
      pending_token,
      generated,
      budget,
      state,
      excluded if self._excludes else None,
      steps=self._decode_steps,
      stop_tokens=self._stop_tokens,
      stops=self._stops,
      sampling_params=self._sampling_params,
    )
    self._cache = turn.cache
    self.stats.calls += 1
    results = jax.device_get(dataclasses.replace(turn, cache=None))
    answers = []
    for slot, row in enumerate(self._table.rows):
      if row is not None and row.answering:
        answers.extend(self._take_in(slot, row, results))
    return answers

  def _take_in(
    self, slot: int, row: slots_lib.Row, results
  ) -> list[Completion]:
    """Appends what a row drew; returns its answer where that has ended."""
    count = int(results.count[slot])
    tokens = results.tokens[slot, :count]
    for kept, new in (
      (row.log_probs, results.log_probs),
      (row.policy_log_probs, results.policy_log_probs),
      (row.entropies, results.entropies),
    ):
      if not np.isfinite(new[slot, :count]).all():
        raise ValueError(
          f'the policy gave row {row.name!r} logits that are not finite: its '
          'parameters hold NaN or infinity, or are too large for '
          f'{self._config.compute_dtype}'
        )
      kept.extend(new[slot, :count].tolist())
    if results.support is not None:
      row.support.extend(
        ids[ids >= 0].tolist() for ids in results.support[slot, :count]
      )
    if results.free_log_probs is not None:
      row.free_log_probs.extend(results.free_log_probs[slot, :count].tolist())
    begin = row.length
    self._table.text[slot, begin : begin + count] = tokens
    self._table.held[slot] += count
    row.generated.extend(tokens.tolist())
    row.stop_state = int(results.stop_state[slot])
    self.stats.generated += count
    if results.stopped[slot]:
      end = 'stop string'
      if row.generated[-1] in self._stop_tokens:
        end = 'stop token'
    elif len(row.generated) >= row.budget:
      end = 'length'
    else:
      return []
    row.answering = False
    return [
      Completion(
        row.name,
        row.generated,
        row.log_probs,
        row.policy_log_probs,
        row.entropies,
        end,
        None if results.support is None else row.support,
        free_log_probs=None
        if results.free_log_probs is None
        else row.free_log_probs,
      )
    ]
