"""How an option is declared: default, bounds, choices and help in one place.

A dataclass of options is a frozen dataclass whose fields are made by `option`.
Flags, records and documentation are made from these fields, so that an option
has one spelling and is typed once:

  @dataclasses.dataclass(frozen=True)
  class Options:
    discount: float = options.option(0.95, 'Discount of step returns.', 0, 1)

    __post_init__ = options.check
"""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any


def option(
  default: Any,
  help: str,
  low: float | None = None,
  high: float | None = None,
  *,
  above: float | None = None,
  choices: Sequence[str] | None = None,
) -> Any:
  """A field of a dataclass of options.

  Args:
    default: value where none is given. Its type is the option's type; with
      None the annotation of the field says the type.
    help: one sentence for people, without the default.
    low: least value that is allowed; None for no bound.
    high: greatest value that is allowed; None for no bound.
    above: a value that has to be exceeded, in place of `low`.
    choices: the values that are allowed, of an option that is a string.

  Bounds and choices of an option that is a tuple are those of its elements.

  Returns:
    A `dataclasses.field`.
  """
  bounds = {'low': low, 'high': high, 'above': above}
  return dataclasses.field(
    default=default, metadata={'help': help, 'choices': choices, **bounds}
  )


def internal(
  default: Any,
  low: float | None = None,
  high: float | None = None,
  *,
  above: float | None = None,
) -> Any:
  """A number among the options that is checked and has no flag.

  Args:
    default: value where none is given.
    low: least value that is allowed; None for no bound.
    high: greatest value that is allowed; None for no bound.
    above: a value that has to be exceeded, in place of `low`.

  Returns:
    A `dataclasses.field`.
  """
  return dataclasses.field(
    default=default, metadata={'low': low, 'high': high, 'above': above}
  )


def _problem(value: Any, metadata: Any) -> str:
  """What is wrong with a value; '' for nothing."""
  if isinstance(value, tuple):
    problems = (_problem(x, metadata) for x in value)
    return next((problem for problem in problems if problem), '')
  choices = metadata.get('choices')
  if choices is not None:
    if value not in choices:
      return f'must be one of {", ".join(map(str, choices))}'
    return ''
  if not isinstance(value, numbers.Real) or isinstance(value, bool):
    return ''
  if not math.isfinite(value):
    return 'must be a finite number'
  low, high = metadata.get('low'), metadata.get('high')
  above = metadata.get('above')
  if above is not None and value <= above:
    return f'must be above {above}'
  if low is not None and value < low:
    return f'must be at least {low}'
  if high is not None and value > high:
    return f'must be at most {high}'
  return ''


def check(instance: Any) -> None:
  """Checks the values of a dataclass of options; a `__post_init__`.

  None is allowed where it is the default.

  Args:
    instance: of a dataclass whose fields were made by `option` or `internal`.

  Raises:
    ValueError: a value is out of bounds, not finite, or no choice; it names
      the field.
  """
  for field in dataclasses.fields(instance):
    value = getattr(instance, field.name)
    if value is None and field.default is None:
      continue
    if problem := _problem(value, field.metadata):
      raise ValueError(f'{field.name} {problem}, not {value!r}')
