"""Values of the language that are known while tracing: numbers and lists."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcredit.latent_rewards import allow_list, operations, refusal

Refused = refusal.Refused

MAX_ITEMS = 64
MAX_EXPONENT = 64
MAX_AXIS = 4_096


def is_number(value: Any) -> bool:
  """Whether it is a number (or a truth) that is known while tracing."""
  return isinstance(value, bool | int | float)


def integer(value: Any, line: int) -> int:
  """The value, where it is a whole number.

  Raises:
    refusal.Refused: it is not.
  """
  if isinstance(value, bool) or not isinstance(value, int):
    raise Refused(
      'no whole number that is known', 'write the number itself', line
    )
  return value


def binary(function: Callable, left: Any, right: Any, line: int) -> Any:
  """An operator between two numbers.

  Raises:
    refusal.Refused: the result is huge, or is none.
  """
  if function.__name__ == 'pow' and abs(right) > MAX_EXPONENT:
    raise Refused(
      f'the power of {right}', f'exponents up to {MAX_EXPONENT}', line
    )
  try:
    result = function(left, right)
  except (ArithmeticError, TypeError) as error:
    raise Refused(
      f'arithmetic of numbers fails ({error})', 'mend it', line
    ) from None
  largest = (
    allow_list.MAX_INTEGER if isinstance(result, int) else allow_list.MAX_FLOAT
  )
  # Not NaN either; infinity alone may be written, as jnp.inf.
  if not is_number(result) or not abs(result) <= largest:
    raise Refused('a huge number', f'at most {largest:g}', line)
  return result


def sequence(items: list, line: int) -> list:
  """A list, if it is short and flat, or a list of flat ones.

  Raises:
    refusal.Refused: it is not.
  """
  if len(items) > MAX_ITEMS:
    raise Refused(f'a list of {len(items)}', f'at most {MAX_ITEMS}', line)
  for item in items:
    if isinstance(item, list) and any(isinstance(x, list) for x in item):
      raise Refused('lists nested deeper than two', 'use an array', line)
  return items


def span(bounds: Sequence[Any], line: int) -> list[int]:
  """The numbers of a range.

  Raises:
    refusal.Refused: there are too many, or it is no range.
  """
  whole = [integer(bound, line) for bound in bounds]
  if len(whole) == 3 and whole[2] == 0:
    raise Refused('a range with the step 0', 'another step', line)
  numbers = range(*whole)
  if len(numbers) > MAX_ITEMS:
    raise Refused(
      f'a range of {len(numbers)}',
      f'at most {MAX_ITEMS}; array operations take whole axes',
      line,
    )
  return list(numbers)


def item(values: Sequence[Any], place: int, line: int) -> Any:
  """An element of a list.

  Raises:
    refusal.Refused: there is none.
  """
  if not -len(values) <= place < len(values):
    raise Refused(
      f'element {place} of {len(values)}', 'they count from 0', line
    )
  return values[place]


def length(value: Any, line: int) -> int:
  """The length of a list.

  Raises:
    refusal.Refused: it is no list.
  """
  if not isinstance(value, list):
    raise Refused('len of no list', 'use x.shape[1]', line)
  return len(value)


def check_index(index: list, shape: tuple[int, ...], line: int) -> None:
  """Raises Refused where an index is not one, or reaches beyond the array.

  JAX would take the last element in silence.
  """
  axes = sum(part is not None and part is not Ellipsis for part in index)
  if axes > len(shape) or sum(part is Ellipsis for part in index) > 1:
    raise Refused(
      f'{axes} indices of an array of {len(shape)} axes', 'mind its shape',
      line,
    )  # fmt: skip
  axis = 0
  for part in index:
    if part is Ellipsis:
      axis += len(shape) - axes
    elif part is not None:
      _check_part(part, shape[axis], axis, line)
      axis += 1


def _check_part(part: Any, size: int, axis: int, line: int) -> None:
  if isinstance(part, slice):
    bounds = [part.start, part.stop, part.step]
    whole = [integer(b, line) for b in bounds if b is not None]
    if any(abs(bound) > size for bound in whole) or part.step == 0:
      raise Refused(
        f'a slice beyond the {size} elements of axis {axis}',
        'mind the layout of the observation',
        line,
      )
    if not len(range(size)[part]):
      raise Refused('an empty slice', 'the end is not part of it', line)
    return
  for number in part if isinstance(part, list) else [part]:
    if not -size <= integer(number, line) < size:
      raise Refused(
        f'index {number} of the {size} elements of axis {axis}',
        'mind the layout of the observation; indices count from 0',
        line,
      )
  if part == []:
    raise Refused('an empty index', 'name the elements', line)


def bind(
  operation: operations.Operation,
  name: str,
  given: list,
  keywords: dict[str, Any],
  line: int,
) -> dict[str, Any]:
  """Arguments of a call by their names.

  Raises:
    refusal.Refused: they are not those of the operation.
  """
  bound = dict(zip(operation.arguments, given, strict=False))
  known = ', '.join(operation.arguments)
  wrong = [k for k in keywords if k not in operation.arguments or k in bound]
  bound |= keywords
  needed = operation.arguments[: operation.required]
  missing = [argument for argument in needed if argument not in bound]
  if len(given) > len(operation.arguments) or wrong or missing:
    raise Refused(f'arguments of jnp.{name}', f'it takes ({known})', line)
  for argument, value in bound.items():
    if argument in operations.STATIC:
      bound[argument] = _static(argument, value, line)
    elif argument in operations.LISTS:
      if not isinstance(value, list) or not value:
        raise Refused(
          f'jnp.{name} of no list', f'write jnp.{name}([a, b])', line
        )
    elif not (isinstance(value, jax.Array) or is_number(value)):
      optional = argument not in needed
      if value is not None or not optional:
        raise Refused(
          f'{argument} of jnp.{name} is no array', 'use an array', line
        )
  return bound


def _static(argument: str, value: Any, line: int) -> Any:
  """An argument that must be known: an axis, a shape, a truth."""
  if argument == 'keepdims':
    if not isinstance(value, bool):
      raise Refused('keepdims', 'True or False', line)
    return value
  if value is None and argument != 'shape':
    return None
  if argument == 'ord':
    if value not in (1, 2):
      raise Refused('ord of the norm', '1 or 2', line)
    return value
  parts = value if isinstance(value, list) else [value]
  whole = tuple(integer(part, line) for part in parts)
  if len(whole) > 4 or any(abs(part) > MAX_AXIS for part in whole):
    raise Refused(argument, 'at most four, and small', line)
  return whole if isinstance(value, list) else whole[0]
