"""The description of a method of credit assignment.

A method is a pure function of a batch of trajectories:

  credit(batch: Batch, options) -> Credit

Dimensions are those of `jaxcredit.types`; E = P * G episodes, in the order of
the flattened [P, G].
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from jaxcredit import types
from jaxcredit.algorithms.internal import explicit_axes

UNITS = ('episode', 'step', 'token')

# What a method may need beside the trajectories -> the error without it.
NEEDS = {
  'values': 'it needs the values of a critic',
  'entropies': 'it needs the entropy of each sampled token',
  'reference': 'it needs the log-probabilities of a reference policy',
  'contributions': 'it needs the contributions of a progress estimator',
  'continuations': 'it needs further rollouts from the states of an episode',
  'step_rewards': 'it needs the step rewards of a trained decoder',
  'turn_rewards': 'it needs a reward for each turn',
  'replay': 'it needs replayed episodes',
}
# Of these, what comes with rows.
_OF_ROWS = {'values', 'entropies', 'reference'}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
  """The inputs of a method.

  Attributes:
    trajectories: [P, G, S].
    rows: [E, L], row e being the whole of episode e; None for methods that
      ignore tokens.
    values: float [E, L], the critic's value of the state before each token;
      None without a critic.
    reference_log_probs: float [E, L], log-probability of each token under the
      reference policy; None without one.
    predictions: arrays that stages provide, by the name in `Method.needs`:
      'contributions' and 'step_rewards' float [P, G, S], 'continuations' float
      [P, G, S, K], all in units of the trajectories' rewards.
    carry: `Credit.carry` of the previous iteration.
  """

  trajectories: types.Trajectories
  rows: types.Rows | None = None
  values: jax.Array | None = None
  reference_log_probs: jax.Array | None = None
  predictions: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
  carry: dict[str, jax.Array] = dataclasses.field(default_factory=dict)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Credit:
  """The outputs of a method.

  Attributes:
    total: the factor of the policy gradient, 0 where masked: float [P, G, S],
      or [P, G, L] if the unit of the method is the token.
    parts: components of the total, by name, [P, G, S] or [P, G, L].
    returns: float [P, G, L], targets of the critic; None without one.
    carry: state for the next iteration.
    metrics: scalars, or dicts of scalars, by name.
  """

  total: jax.Array
  parts: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
  returns: jax.Array | None = None
  carry: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
  metrics: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class NoOptions:
  """Options of a method without options."""


def _nothing(options: Any) -> dict[str, jax.Array]:
  del options
  return {}


@dataclasses.dataclass(frozen=True)
class Method:
  """A method of credit assignment.

  Attributes:
    name: the value of a script's --method, such as 'gigpo'.
    label: the name in tables and pictures, such as 'GiGPO'.
    paper: arXiv number.
    unit: 'episode', 'step' or 'token': the unit that gets its own credit.
    options: frozen dataclass whose fields are made by `options.option`.
    credit: pure and jittable, with static options.
    needs: names from NEEDS.
    stages: names of the stages of a training before its iterations.
    standardised: whether credit is in units of a standard deviation, so that
      pictures can use one scale.
    needed_by: options -> the part of `needs` that these options need; None if
      all options need all.
    first_carry: options -> `Batch.carry` of the first iteration.
  """

  name: str
  label: str
  paper: str
  unit: str
  options: type
  credit: Callable[[Batch, Any], Credit]
  needs: frozenset[str] = frozenset()
  stages: tuple[str, ...] = ()
  standardised: bool = False
  needed_by: Callable[[Any], frozenset[str]] | None = None
  first_carry: Callable[[Any], dict[str, jax.Array]] = _nothing

  def __post_init__(self):
    if self.unit not in UNITS:
      raise ValueError(
        f'{self.name}: unit must be one of {", ".join(UNITS)}, not '
        f'{self.unit!r}'
      )
    if unknown := self.needs - NEEDS.keys():
      raise ValueError(
        f'{self.name}: unknown needs {", ".join(sorted(unknown))}; known are '
        f'{", ".join(NEEDS)}'
      )

  def needs_with(self, options: Any) -> frozenset[str]:
    """What the method needs with these options."""
    return self.needs if self.needed_by is None else self.needed_by(options)

  def needs_rows(self, options: Any) -> bool:
    """Whether a batch must have rows, one an episode."""
    return self.unit == 'token' or bool(self.needs_with(options) & _OF_ROWS)

  def missing(self, batch: Batch, options: Any) -> str:
    """Why a batch does not suffice; '' if it does."""
    there = set(batch.predictions)
    if batch.values is not None:
      there.add('values')
    if batch.reference_log_probs is not None:
      there.add('reference')
    if batch.rows is not None and batch.rows.entropies is not None:
      there.add('entropies')
    for need in sorted(self.needs_with(options) - there):
      return NEEDS[need]
    if batch.rows is None and self.needs_rows(options):
      return 'it needs the tokens of each episode'
    return ''


def compiled(method: Method, options: Any) -> Callable[[Batch], Credit]:
  """A method with fixed options, as a compiled function of batches.

  Args:
    method: from the table.
    options: its options; static.

  Returns:
    batch -> credit. It raises ValueError if the batch lacks what the method
    needs.

  Example:
    >>> import jax.numpy as jnp
    >>> from jaxcredit import methods
    >>> batch = methods.Batch(methods.trajectories(jnp.eye(2), jnp.eye(2)))
    >>> rloo = methods.TABLE['rloo']
    >>> print(methods.compiled(rloo, rloo.options())(batch).total.shape)
    (1, 2, 2)
  """

  # The mask of the groups says how they are sharded, under Explicit axes.
  @jax.jit
  @explicit_axes.under_any_mesh
  def credit(mask, batch):
    del mask
    return method.credit(batch, options)

  def checked(batch: Batch) -> Credit:
    if reason := method.missing(batch, options):
      raise ValueError(f'{method.label} cannot give credit: {reason}')
    return credit(batch.trajectories.mask, batch)

  return checked
