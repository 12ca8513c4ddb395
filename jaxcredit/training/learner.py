"""The learner: gradients over micro-batches, one guarded optimizer step.

A batch of rows is cut into mini-batches (one optimizer step each) and these
into micro-batches of a fixed number of tokens, rows of like length together.
Denominators are those of the whole mini-batch, so the result does not depend on
the cut, unlike in trainers that average the means of their micro-batches.
Short rows can be packed several into one.

On a mesh, parameters and optimizer state lie as the table of rules says, and
the rows of a micro-batch are dealt out over "data" and "fsdp".

A non-finite loss or gradient changes nothing: parameters and optimizer state
stay as they were and the step is counted as skipped.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcredit import types
from jaxcredit.networks import heads, sharding
from jaxcredit.training import packed_rows

Params = Any
# (params, reference params or None, micro-batch, weight) -> loss, metrics.
# `weight` is the micro-batch's share of the mini-batch's denominator.
LossFunction = Callable[..., tuple[jax.Array, dict[str, jax.Array]]]


class NonFiniteError(FloatingPointError):
  """Several updates in a row had a non-finite loss or gradient."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LearnerState:
  """What training changes.

  Attributes:
    params: the policy's parameters.
    optimizer: state of the optimizer.
    updates: int32, optimizer steps that were applied.
    skipped: int32, optimizer steps that were skipped as non-finite.
    skipped_in_a_row: int32, how many of the latest steps were skipped.
  """

  params: Params
  optimizer: Any
  updates: jax.Array
  skipped: jax.Array
  skipped_in_a_row: jax.Array


def init_state(
  params: Params, optimizer: optax.GradientTransformation
) -> LearnerState:
  """Returns the state before the first update."""

  # One buffer each: the state is donated, and a buffer cannot be donated twice.
  return LearnerState(
    params=params,
    optimizer=optimizer.init(params),
    updates=jnp.zeros((), jnp.int32),
    skipped=jnp.zeros((), jnp.int32),
    skipped_in_a_row=jnp.zeros((), jnp.int32),
  )


def make_optimizer(
  *,
  learning_rate: float,
  warmup: int = 0,
  decay_steps: int = 0,
  weight_decay: float = 0.0,
  clip_norm: float = 1.0,
  b2: float = 0.999,
) -> optax.GradientTransformation:
  """AdamW with a clipped global norm.

  Args:
    learning_rate: peak rate.
    warmup: updates of linear warm-up.
    decay_steps: updates after which a cosine decay has reached a tenth of the
      peak; 0 keeps the rate constant.
    weight_decay: decoupled weight decay.
    clip_norm: bound on the gradient's global norm.
    b2: decay rate of the second moment.
  """
  if decay_steps:
    schedule = optax.warmup_cosine_decay_schedule(
      0.0 if warmup else learning_rate,
      learning_rate,
      warmup,
      max(decay_steps, warmup + 1),
      0.1 * learning_rate,
    )
  elif warmup:
    schedule = optax.linear_schedule(0.0, learning_rate, warmup)
  else:
    schedule = learning_rate
  return optax.chain(
    optax.clip_by_global_norm(clip_norm),
    optax.adamw(schedule, b2=b2, weight_decay=weight_decay),
  )


def cut_micro_batches(
  rows: types.Rows,
  micro_batch_tokens: int,
  lengths: Sequence[int],
  multiple: int = 1,
) -> Iterator[types.Rows]:
  """Yields micro-batches of few distinct shapes, rows of like length together.

  Args:
    rows: numpy rows [N, L]; those with trajectory -1 are left out.
    micro_batch_tokens: tokens of a micro-batch, padding included.
    lengths: the row lengths that may occur.
    multiple: what the number of rows is a multiple of.

  Yields:
    Rows [M, l] with l the smallest of `lengths` that holds the rows and
    M = max(1, micro_batch_tokens // l), cut to a multiple.
  """
  order = np.argsort(rows.length, kind='stable')[::-1]
  order = order[rows.trajectory[order] >= 0]
  if order.size and rows.length[order[0]] > max(lengths):
    raise ValueError(
      f'a row of {rows.length[order[0]]} tokens does not fit the longest '
      f'micro-batch row, {max(lengths)}'
    )
  start = 0
  while start < order.size:
    longest = rows.length[order[start]]
    length = min(l for l in lengths if l >= longest)
    count = packed_rows.rows_at_a_time(micro_batch_tokens, length, multiple)
    chosen = order[start : start + count]
    start += count
    micro = jax.tree.map(lambda x, c=chosen: x[c], rows)
    padding = count - chosen.size

    def fit(x, value, padding=padding, length=length):
      more = [(0, padding)] + [(0, 0)] * (x.ndim - 1)
      if x.ndim > 1:
        x = x[:, :length]
        more[1] = (0, length - x.shape[1])
      return np.pad(x, more, constant_values=value)

    yield types.Rows(
      tokens=fit(micro.tokens, 0),
      step_of_token=fit(micro.step_of_token, -1),
      trajectory=fit(micro.trajectory, -1),
      length=fit(micro.length, 0),
      log_probs=fit(micro.log_probs, 0),
      weights=None if micro.weights is None else fit(micro.weights, 0),
      support=None if micro.support is None else fit(micro.support, -1),
    )


def _figure(metric, share: float):
  """A metric's figure, from what its micro-batches add up to."""
  if isinstance(metric, tuple):
    total, count = metric
    return total / jnp.maximum(count, 1)
  return metric / share


class Learner:
  """Applies a loss to batches of rows.

  Args:
    loss: `(params, reference, micro_batch, extra, weight) -> loss, metrics`;
      a metric is a number already weighted, whose sum over micro-batches is the
      figure of the mini-batch; or a pair, a sum over tokens and their number,
      whose quotient over all of them is.
    denominator: `rows -> float`, what a loss is divided by; a micro-batch's
      weight is its share of the mini-batch's.
    optimizer: the gradient transformation.
    micro_batch_tokens: tokens of one micro-batch.
    lengths: row lengths that may occur (each compiles once).
    skip_limit: skipped updates in a row after which training stops.
    sequences_per_row: above 1, rows are packed: up to so many of them, one
      after the other, into rows of the longest of `lengths`, which is then
      the only shape that compiles.
    mesh: devices to train on (`sharding.make_mesh`); None for one.
    rules: where parameters lie on the mesh; see `heads.RULES`.
    device_lock: held while a micro-batch is computed, where another thread uses
      the devices. Each is then waited for before the next is handed over, so
      that what the other thread asks for comes between them and not behind all.
  """

  def __init__(
    self,
    loss: LossFunction,
    denominator: Callable[[types.Rows], float],
    optimizer: optax.GradientTransformation,
    *,
    micro_batch_tokens: int,
    lengths: Sequence[int],
    skip_limit: int = 3,
    sequences_per_row: int = 1,
    mesh: jax.sharding.Mesh | None = None,
    rules: sharding.Rules = heads.RULES,
    device_lock: contextlib.AbstractContextManager | None = None,
  ):
    if micro_batch_tokens < 1 or skip_limit < 1 or sequences_per_row < 1:
      raise ValueError(
        'micro_batch_tokens, skip_limit and sequences_per_row must be '
        f'positive, not {micro_batch_tokens}, {skip_limit} and '
        f'{sequences_per_row}'
      )
    self._loss = loss
    self._denominator = denominator
    self._optimizer = optimizer
    self._micro_batch_tokens = micro_batch_tokens
    self._lengths = sorted(lengths)
    self._skip_limit = skip_limit
    self._sequences_per_row = sequences_per_row
    self._mesh = mesh
    self._rules = rules
    self._device_lock = device_lock
    self._accumulate = jax.jit(self._accumulate_step, donate_argnums=(0,))
    # Not the gradients: the result goes into the state's buffers.
    self._apply = jax.jit(self._apply_step, donate_argnums=(0,))
    self._zeros = jax.jit(self._zero_gradients)

  def init(self, params: Params) -> LearnerState:
    """Returns the state before the first update, on the mesh if there is one.

    Raises:
      ValueError: the mesh does not divide a parameter; it is named.
    """
    if self._mesh is None:
      return init_state(params, self._optimizer)
    params = self.place(params)
    like = jax.eval_shape(
      functools.partial(init_state, optimizer=self._optimizer), params
    )
    where = self._state_shardings(like)
    optimizer = jax.jit(self._optimizer.init, out_shardings=where.optimizer)
    counters = (jnp.zeros((), jnp.int32) for _ in range(3))
    counters = (jax.device_put(zero, where.updates) for zero in counters)
    return LearnerState(params, optimizer(params), *counters)

  def place(self, params: Params) -> Params:
    """Puts parameters onto the mesh, if there is one, as the rules say."""
    return sharding.place(params, self._mesh, self._rules)

  def _state_shardings(self, state: LearnerState) -> LearnerState:
    """Where each part of the state lies: the optimizer's as the parameters."""
    whole = jax.sharding.NamedSharding(self._mesh, jax.sharding.PartitionSpec())
    params = sharding.shardings(state.params, self._mesh, self._rules)

    def beside(leaf, param, where):
      # Some optimizers keep less than a number for each parameter.
      return where if leaf.shape == param.shape else whole

    return LearnerState(
      params=params,
      optimizer=optax.tree.map_params(
        self._optimizer,
        beside,
        state.optimizer,
        state.params,
        params,
        transform_non_params=lambda _: whole,
      ),
      updates=whole,
      skipped=whole,
      skipped_in_a_row=whole,
    )

  def _place_rows(self, rows):
    if self._mesh is None:
      return rows
    # Made shard by shard, so that each host needs only its own devices.
    across = jax.sharding.NamedSharding(
      self._mesh, jax.sharding.PartitionSpec(('data', 'fsdp'))
    )
    return jax.tree.map(
      lambda x: jax.make_array_from_callback(x.shape, across, x.__getitem__),
      rows,
    )

  def _as_params(self, tree):
    """Constrains a tree of the parameters' form to lie as they do."""
    if self._mesh is None:
      return tree
    return jax.lax.with_sharding_constraint(
      tree, sharding.shardings(tree, self._mesh, self._rules)
    )

  def _zero_gradients(self, params):
    # Many small terms are added up: in half precision they would be lost.
    def zeros(p):
      return jnp.zeros_like(p, dtype=jnp.promote_types(p.dtype, jnp.float32))

    return self._as_params(jax.tree.map(zeros, params))

  def _accumulate_step(self, gradients, params, reference, rows, extra, weight):
    (loss, metrics), new = jax.value_and_grad(self._loss, has_aux=True)(
      params, reference, rows, extra, weight
    )
    gradients = jax.tree.map(jnp.add, gradients, self._as_params(new))
    return gradients, {**metrics, 'loss': loss}

  def _apply_step(self, state, gradients, loss):
    norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    # The optimizer's arithmetic must not meet the NaN either: its state would
    # be lost even though the parameters are kept.
    safe = jax.tree.map(lambda g: jnp.where(finite, g, 0), gradients)
    updates, optimizer = self._optimizer.update(
      safe, state.optimizer, state.params
    )
    params = optax.apply_updates(state.params, updates)
    keep = functools.partial(
      jax.tree.map, lambda new, old: jnp.where(finite, new, old)
    )
    skipped = (~finite).astype(jnp.int32)
    state = LearnerState(
      params=keep(params, state.params),
      optimizer=keep(optimizer, state.optimizer),
      updates=state.updates + 1 - skipped,
      skipped=state.skipped + skipped,
      skipped_in_a_row=(state.skipped_in_a_row + 1) * skipped,
    )
    if self._mesh is not None:
      state = jax.lax.with_sharding_constraint(
        state, self._state_shardings(state)
      )
    return state, norm

  def _micro_batches(self, rows: types.Rows):
    """Yields micro-batches, and the rows that each holds."""
    multiple = 1
    if self._mesh is not None:
      multiple = self._mesh.shape['data'] * self._mesh.shape['fsdp']
    if self._sequences_per_row > 1:
      yield from packed_rows.cut_micro_batches(
        rows,
        self._micro_batch_tokens,
        self._lengths[-1],
        self._sequences_per_row,
        multiple,
      )
      return
    for micro in cut_micro_batches(
      rows, self._micro_batch_tokens, self._lengths, multiple
    ):
      yield micro, micro

  def _compute(self, program, *arguments):
    """Calls a program, holding the devices if they are shared."""
    if self._device_lock is None:
      return program(*arguments)
    with self._device_lock:
      return jax.block_until_ready(program(*arguments))

  def update(
    self,
    state: LearnerState,
    rows: types.Rows,
    extra: Any = None,
    *,
    reference: Params = None,
    minibatches: int = 1,
    order: np.ndarray | None = None,
    needed: np.ndarray | None = None,
  ) -> tuple[LearnerState, dict[str, float]]:
    """Takes one optimizer step a mini-batch.

    Args:
      state: donated; use the returned one.
      rows: numpy rows [N, L].
      extra: arrays that the loss needs beside the rows (the advantages).
      reference: parameters of a reference policy, where the loss uses one.
      minibatches: number of optimizer steps.
      order: permutation of the rows, which are cut into mini-batches in this
        order; by default as they come.
      needed: bool [N], rows that can have a gradient; the others count in the
        denominator, but are not computed. By default all.

    Returns:
      The new state and the mean of each metric over the mini-batches, with
      `gradient_norm` (before clipping), `padding_share` (of the tokens that
      were computed) and `skipped_updates` (so far).

    Raises:
      NonFiniteError: `skip_limit` updates in a row were skipped.
    """
    if reference is not None:
      reference = self.place(reference)
    used = np.flatnonzero(np.asarray(rows.trajectory) >= 0)
    if order is not None:
      used = np.asarray(order)[np.isin(order, used)]
    if minibatches < 1:
      raise ValueError(f'minibatches must be positive, not {minibatches}')
    totals: dict[str, float] = {}
    taken = 0
    for chosen in np.array_split(used, minibatches):
      part = jax.tree.map(lambda x, c=chosen: np.asarray(x)[c], rows)
      total = self._denominator(part) if chosen.size else 0.0
      if needed is not None:
        wanted = np.flatnonzero(np.asarray(needed)[chosen])
        part = jax.tree.map(lambda x, w=wanted: x[w], part)
      if not total or not part.length.size:
        continue
      sums: dict[str, Any] | None = None
      share = 0.0
      read, computed = 0, 0
      with sharding.on(self._mesh):
        gradients = self._compute(self._zeros, state.params)
        for micro, held in self._micro_batches(part):
          weight = np.float32(self._denominator(held) / total)
          gradients, metrics = self._compute(
            self._accumulate,
            gradients,
            state.params,
            reference,
            self._place_rows(micro),
            extra,
            weight,
          )
          sums = (
            metrics if sums is None else jax.tree.map(jnp.add, sums, metrics)
          )
          share += float(weight)
          read += int(held.length.sum())
          computed += micro.tokens.size
      # Rows that were left out have no loss; of the other figures they would
      # only dilute the mean.
      figures = {
        k: _figure(v, 1.0 if k in ('loss', 'policy_loss') else share)
        for k, v in sums.items()
      }
      with sharding.on(self._mesh):
        state, norm = self._compute(
          self._apply, state, gradients, figures['loss']
        )
      taken += 1
      host = jax.device_get({**figures, 'gradient_norm': norm})
      host['padding_share'] = 1 - read / computed
      totals = {k: totals.get(k, 0.0) + float(v) for k, v in host.items()}
      if int(state.skipped_in_a_row) >= self._skip_limit:
        raise NonFiniteError(
          f'{self._skip_limit} updates in a row had a non-finite loss '
          f'({float(host["loss"])}) or gradient norm ({float(norm)}) and '
          'were skipped. The parameters are those before the first of them. '
          'Look for infinite rewards, or lower the learning rate.'
        )
    metrics = {k: v / taken for k, v in totals.items()} if taken else {}
    metrics['skipped_updates'] = int(state.skipped)
    return state, metrics
