"""Several token sequences in one row of the learner's batch.

Rows of uneven length are mostly padding, which costs as much as tokens. Packed,
each sequence has its stretch of a row and sees that stretch alone. What the
decoder says of the tokens is then laid out again as one sequence a row: losses
know nothing of the packing, and give the same numbers.
"""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit import types
from jaxcredit.algorithms import step_tokens
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, sharding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PackedRows:
  """M rows of L tokens, each with up to K sequences.

  Attributes:
    tokens: int32 [M, L].
    step_of_token: int32 [M, L], as in `types.Rows`.
    log_probs: float [M, L], as in `types.Rows`.
    segment_ids: int32 [M, L], 1 + the sequence's number in its row, 0 for
      padding.
    trajectory: int32 [M, K], the episode of each sequence, -1 for none.
    start: int32 [M, K], where the sequence begins.
    length: int32 [M, K], its tokens, 0 for none.
    weights: float [M, L], as in `types.Rows`.
    support: int32 [M, L, C], as in `types.Rows`.
  """

  tokens: jax.Array
  step_of_token: jax.Array
  log_probs: jax.Array
  segment_ids: jax.Array
  trajectory: jax.Array
  start: jax.Array
  length: jax.Array
  weights: jax.Array | None = None
  support: jax.Array | None = None


def place(
  lengths: np.ndarray, row_length: int, sequences: int
) -> list[list[int]]:
  """Chooses which sequences share a row: first fit, longest first.

  Args:
    lengths: int [N], tokens of each sequence.
    row_length: L.
    sequences: K, at most so many in a row.

  Returns:
    For each row the indices of its sequences, in order.

  Raises:
    ValueError: a sequence is longer than a row.
  """
  rows: list[list[int]] = []
  left: list[int] = []
  for index in np.argsort(-lengths, kind='stable').tolist():
    size = int(lengths[index])
    if size > row_length:
      raise ValueError(
        f'a row of {size} tokens does not fit the longest micro-batch row, '
        f'{row_length}'
      )
    for row, room in enumerate(left):
      if size <= room and len(rows[row]) < sequences:
        break
    else:
      row = len(rows)
      rows.append([])
      left.append(row_length)
    rows[row].append(index)
    left[row] -= size
  return rows


def pack(
  rows: types.Rows,
  placed: list[list[int]],
  *,
  row_length: int,
  sequences: int,
  count: int,
) -> PackedRows:
  """Lays sequences out as `place` chose.

  Args:
    rows: numpy rows, one sequence each.
    placed: for each packed row the indices of its sequences.
    row_length: L.
    sequences: K.
    count: M; rows beyond those placed are empty.

  Returns:
    PackedRows of numpy arrays.
  """
  packed = PackedRows(
    tokens=np.zeros((count, row_length), np.int32),
    step_of_token=np.full((count, row_length), -1, np.int32),
    log_probs=np.zeros((count, row_length), rows.log_probs.dtype),
    segment_ids=np.zeros((count, row_length), np.int32),
    trajectory=np.full((count, sequences), -1, np.int32),
    start=np.zeros((count, sequences), np.int32),
    length=np.zeros((count, sequences), np.int32),
    weights=None
    if rows.weights is None
    else np.zeros((count, row_length), rows.weights.dtype),
    support=None
    if rows.support is None
    else np.full((count, row_length, rows.support.shape[2]), -1, np.int32),
  )
  for row, chosen in enumerate(placed):
    start = 0
    for slot, index in enumerate(chosen):
      size = int(rows.length[index])
      stretch = slice(start, start + size)
      packed.tokens[row, stretch] = rows.tokens[index, :size]
      packed.step_of_token[row, stretch] = rows.step_of_token[index, :size]
      packed.log_probs[row, stretch] = rows.log_probs[index, :size]
      if packed.weights is not None:
        packed.weights[row, stretch] = rows.weights[index, :size]
      if packed.support is not None:
        packed.support[row, stretch] = rows.support[index, :size]
      packed.segment_ids[row, stretch] = slot + 1
      packed.trajectory[row, slot] = rows.trajectory[index]
      packed.start[row, slot] = start
      packed.length[row, slot] = size
      start += size
  return packed


def cut_micro_batches(
  rows: types.Rows,
  micro_batch_tokens: int,
  row_length: int,
  sequences: int,
  multiple: int = 1,
) -> Iterator[tuple[PackedRows, types.Rows]]:
  """Yields packed micro-batches of one shape.

  Args:
    rows: numpy rows [N, L]; those with trajectory -1 are left out.
    micro_batch_tokens: tokens of a micro-batch, padding included.
    row_length: tokens of a packed row.
    sequences: K, at most so many in a packed row.
    multiple: what the number of packed rows is a multiple of.

  Yields:
    Packed rows, and the rows that they hold.
  """
  used = np.flatnonzero((rows.trajectory >= 0) & (rows.length > 0))
  count = rows_at_a_time(micro_batch_tokens, row_length, multiple)
  placed = place(rows.length[used], row_length, sequences)
  for start in range(0, len(placed), count):
    part = [used[chosen].tolist() for chosen in placed[start : start + count]]
    packed = pack(
      rows, part, row_length=row_length, sequences=sequences, count=count
    )
    held = np.array([index for chosen in part for index in chosen])
    yield packed, jax.tree.map(lambda x, h=held: x[h], rows)


def rows_at_a_time(tokens: int, row_length: int, multiple: int) -> int:
  """How many rows make up `tokens` tokens: a multiple, and not none."""
  return max(tokens // row_length // multiple, 1) * multiple


def spread(values: jax.Array, packed: PackedRows, empty=0) -> jax.Array:
  """Lays token values out as one sequence a row.

  Args:
    values: [M, L, ...], of packed rows.
    packed: the rows.
    empty: value where a sequence has no token.

  Returns:
    [M * K, L, ...]; the sequence of slot k of row m stands in row m * K + k.
  """
  m, l, *rest = values.shape
  offset = jnp.arange(l)
  ones = (1,) * len(rest)
  index = jnp.minimum(packed.start[..., None] + offset, l - 1)
  laid = jnp.take_along_axis(
    values[:, None], index.reshape(*index.shape, *ones), axis=2
  )
  there = offset < packed.length[..., None]
  laid = jnp.where(there.reshape(*there.shape, *ones), laid, empty)
  laid = laid.reshape(m * packed.start.shape[1], l, *rest)
  return sharding.constrain(laid, 'batch', None, *(None for _ in rest))


def one_sequence_a_row(rows: types.Rows | PackedRows) -> types.Rows:
  """The rows in the form that losses take, packed or not."""
  if isinstance(rows, types.Rows):
    return rows
  return types.Rows(
    tokens=spread(rows.tokens, rows),
    step_of_token=spread(rows.step_of_token, rows, -1),
    trajectory=rows.trajectory.reshape(-1),
    length=rows.length.reshape(-1),
    log_probs=spread(rows.log_probs, rows),
    weights=None if rows.weights is None else spread(rows.weights, rows),
  )


def log_probs(
  params,
  config: config_lib.DecoderConfig,
  rows: types.Rows | PackedRows,
  *,
  temperature: float = 1.0,
) -> tuple[jax.Array, jax.Array]:
  """Log-probabilities and entropies, laid out as `one_sequence_a_row`.

  Args:
    params: of the decoder.
    config: its configuration.
    rows: packed or not.
    temperature: divides the logits.

  Returns:
    float32 [N, L] each; see `decoder.log_probs`.
  """
  if isinstance(rows, types.Rows):
    return decoder.log_probs(
      params,
      config,
      rows.tokens,
      rows.length,
      temperature=temperature,
      support=rows.support,
    )
  scores = decoder.log_probs(
    params,
    config,
    rows.tokens,
    segment_ids=rows.segment_ids,
    temperature=temperature,
    support=rows.support,
  )
  of_token, entropy = (spread(x, rows) for x in scores)
  return of_token, entropy


def apply(
  head: Callable[..., jax.Array],
  params,
  config: config_lib.DecoderConfig,
  rows: types.Rows | PackedRows,
  *,
  steps: int | None = None,
) -> jax.Array:
  """What a head says, laid out as `one_sequence_a_row`.

  Args:
    head: a function of `networks/heads`, `(params, config, tokens, *,
      segment_ids)` -> [N, L, ...], as `value_head.values`. With `steps`,
      `(params, config, tokens, positions, *, segment_ids)` -> [N, S, ...], as
      `progress_head.contributions`.
    params: of the head.
    config: of its trunk.
    rows: packed or not.
    steps: S, of a head that speaks of steps and not of tokens.

  Returns:
    [N, L, ...], or [N, S, ...] with `steps`.
  """
  ends = None if steps is None else step_ends(rows, steps)
  if isinstance(rows, types.Rows):
    places = () if ends is None else (ends,)
    return head(params, config, rows.tokens, *places)
  if ends is None:
    said = head(params, config, rows.tokens, segment_ids=rows.segment_ids)
    return spread(said, rows)
  # Each packed row has the steps of its sequences, one sequence after another.
  within = jnp.where(ends >= 0, ends + rows.start.reshape(-1, 1), -1)
  said = head(
    params,
    config,
    rows.tokens,
    within.reshape(rows.start.shape[0], -1),
    segment_ids=rows.segment_ids,
  )
  return said.reshape(*ends.shape, *said.shape[2:])


def step_ends(rows: types.Rows | PackedRows, steps: int) -> jax.Array:
  """Where each step ends in its sequence.

  Args:
    rows: packed or not.
    steps: S.

  Returns:
    int32 [N, S], laid out as `one_sequence_a_row`; -1 where there is no step.
  """
  return step_tokens.last_positions(
    one_sequence_a_row(rows).step_of_token, steps
  )
