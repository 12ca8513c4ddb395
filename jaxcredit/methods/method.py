"""What the library knows of a method of credit assignment, once.

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

# What a method may need beside the trajectories, and why a batch may lack it.
NEEDS = {
  'values': 'it needs the values of a critic',
  'entropies': 'it needs the entropy of each sampled token',
  'reference': 'it needs the log-probabilities of a reference policy',
  'contributions': 'it needs what a progress estimator says of each step',
  'continuations': 'it needs further rollouts from the states of an episode',
  'step_rewards': 'it needs the rewards of steps that a decoder was trained to '
  'give',
  'turn_rewards': 'it needs a reward for each turn',
  'replay': 'it needs replayed episodes',
}
# Of these, what comes with rows.
_OF_ROWS = {'values', 'entropies', 'reference'}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
  """What a method looks at.

  Attributes:
    trajectories: [P, G, S].
    rows: [E, L], row e being the whole of episode e; None for methods that look
      at no tokens.
    values: float [E, L], a critic's value of the state in which each token was
      sampled; None without a critic.
    reference_log_probs: float [E, L], of each token under the reference policy;
      None without one.
    predictions: what stages provide, by the name in `Method.needs`:
      'contributions' and 'step_rewards' float [P, G, S], 'continuations' float
      [P, G, S, K], all in units of the trajectories' rewards.
    carry: what `Credit.carry` held in the iteration before.
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
  """What a method gives.

  Attributes:
    total: what multiplies the policy gradient, 0 where masked: float [P, G, S],
      or [P, G, L] of a method whose unit is the token.
    parts: what the total is made of, by name, [P, G, S] or [P, G, L].
    returns: float [P, G, L], what a critic learns; None without one.
    carry: for the next iteration.
    metrics: scalars, or dicts of scalars, by name.
  """

  total: jax.Array
  parts: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
  returns: jax.Array | None = None
  carry: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
  metrics: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class NoOptions:
  """Options of a method that has none."""


def _nothing(options: Any) -> dict[str, jax.Array]:
  del options
  return {}


@dataclasses.dataclass(frozen=True)
class Method:
  """A method of credit assignment.

  Attributes:
    name: 'gigpo'; the value of a script's --method.
    label: 'GiGPO', in tables and pictures.
    paper: arXiv number.
    unit: 'episode', 'step' or 'token': what has a credit of its own.
    options: frozen dataclass whose fields are made by `options.option`.
    credit: pure and jittable, with static options.
    needs: names from NEEDS.
    stages: what a training does before its iterations, by name.
    standardised: whether credit is in units of a standard deviation, so that
      pictures give methods one scale.
    needed_by: options -> what these options need, where that is less than
      `needs`; None where it is the same.
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
    """Why a batch does not suffice, in words; '' where it does."""
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
  """A method as a compiled function of batches alone.

  Args:
    method: from the table.
    options: of the method; static.

  Returns:
    batch -> credit. It raises ValueError where the batch lacks what the method
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
