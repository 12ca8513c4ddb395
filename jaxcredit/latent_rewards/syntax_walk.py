"""One pass over the syntax tree of a latent reward function.

The walk happens under a trace of JAX: each operation of `jnp` becomes a part of
the traced program, and no text is executed. Shapes are known while the walk
goes on, before anything is computed: the sizes of arrays are bounded here, and
what the compiled program needs by `program_cost`.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit.latent_rewards import (
  operations,
  program_cost,
  refusal,
  static_values,
)

Refused = refusal.Refused

MAX_FACTORS = 32
MAX_STEPS = 20_000
MAX_OPERATIONS = 1_000
# Of one array, and of all together, for each row.
MAX_ELEMENTS = 16_384
MAX_WORK = 262_144


class Walk:
  """One pass over the tree.

  Values are arrays, numbers that are known while tracing, None, and lists of
  these.

  Args:
    names: of the arguments, with their arrays.
    rows: of the batch.
  """

  def __init__(self, names: dict[str, jax.Array], rows: int):
    self._names: dict[str, Any] = dict(names)
    self._rows = rows
    self._steps = 0
    self._operations = 0
    self._work = 0

  def function(self, node: ast.FunctionDef) -> list:
    for statement in node.body[:-1]:
      self._statement(statement)
    found = self._value(node.body[-1].value)
    line = node.body[-1].lineno
    if not isinstance(found, list) or not found:
      raise Refused('no list of factors', 'end with return [factor, ...]', line)
    if len(found) > MAX_FACTORS:
      raise Refused(
        f'{len(found)} factors', f'return at most {MAX_FACTORS}', line
      )
    return found

  def _count(self, node: ast.AST) -> None:
    self._steps += 1
    if self._steps > MAX_STEPS:
      raise Refused('too many steps', 'loop less', node.lineno)

  def _statement(self, node: ast.stmt) -> None:
    self._count(node)
    if isinstance(node, ast.Assign):
      self._assign(node.targets[0], self._value(node.value))
    elif isinstance(node, ast.AugAssign):
      old = self._value(node.target)
      new = self._binary(node.op, old, self._value(node.value), node.lineno)
      self._names[node.target.id] = new
    elif isinstance(node, ast.For):
      for item in self._items(node.iter):
        self._assign(node.target, item)
        for statement in node.body:
          self._statement(statement)
    elif isinstance(node, ast.If):
      body = node.body if self._decide(node.test) else node.orelse
      for statement in body:
        self._statement(statement)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
      self._append(node.value)
    # What is left is a docstring.

  def _assign(self, target: ast.expr, value: Any) -> None:
    if isinstance(target, ast.Name):
      self._names[target.id] = value
      return
    if not isinstance(value, list) or len(value) != len(target.elts):
      raise Refused(
        f'{len(target.elts)} names for something else', 'assign one by one',
        target.lineno,
      )  # fmt: skip
    for name, part in zip(target.elts, value, strict=True):
      self._names[name.id] = part

  def _append(self, node: ast.Call) -> None:
    old = self._value(node.func.value)
    if not isinstance(old, list):
      raise Refused('append to no list', 'start with [ ]', node.lineno)
    # A new list: another name for the old one keeps what it had.
    added = [*old, self._value(node.args[0])]
    self._names[node.func.value.id] = static_values.sequence(added, node.lineno)

  def _decide(self, node: ast.expr) -> bool:
    value = self._value(node)
    if not static_values.is_number(value):
      raise Refused(
        'a condition on the data', 'use jnp.where(condition, a, b)',
        node.lineno,
      )  # fmt: skip
    return bool(value)

  def _items(self, node: ast.expr) -> list:
    if isinstance(node, ast.Call):
      return static_values.span(
        [self._value(a) for a in node.args], node.lineno
      )
    items = self._value(node)
    if not isinstance(items, list):
      raise Refused(
        'a loop over no list', 'loop over range(5), or over a list',
        node.lineno,
      )  # fmt: skip
    return items

  def _value(self, node: ast.expr) -> Any:
    self._count(node)
    return getattr(self, f'_{type(node).__name__.lower()}')(node)

  def _constant(self, node: ast.Constant) -> Any:
    return node.value

  def _name(self, node: ast.Name) -> Any:
    if node.id not in self._names:
      raise Refused(
        f'{node.id!r} has no value', 'assign it first; jnp is the only module',
        node.lineno,
      )  # fmt: skip
    return self._names[node.id]

  def _tuple(self, node: ast.Tuple | ast.List) -> list:
    parts = [self._value(part) for part in node.elts]
    return static_values.sequence(parts, node.lineno)

  _list = _tuple

  def _listcomp(self, node: ast.ListComp) -> list:
    loop = node.generators[0]
    outside = dict(self._names)
    parts = []
    for item in self._items(loop.iter):
      self._assign(loop.target, item)
      parts.append(self._value(node.elt))
    # Its variable is its own.
    self._names = outside
    return static_values.sequence(parts, node.lineno)

  def _ifexp(self, node: ast.IfExp) -> Any:
    return self._value(node.body if self._decide(node.test) else node.orelse)

  def _boolop(self, node: ast.BoolOp) -> bool:
    is_and = isinstance(node.op, ast.And)
    for value in node.values:
      if self._decide(value) != is_and:
        return not is_and
    return is_and

  def _binop(self, node: ast.BinOp) -> Any:
    left, right = self._value(node.left), self._value(node.right)
    return self._binary(node.op, left, right, node.lineno)

  def _compare(self, node: ast.Compare) -> Any:
    left = self._value(node.left)
    right = self._value(node.comparators[0])
    return self._binary(node.ops[0], left, right, node.lineno)

  def _binary(self, kind: ast.AST, left: Any, right: Any, line: int) -> Any:
    function = operations.OPERATORS[type(kind)]
    if static_values.is_number(left) and static_values.is_number(right):
      return static_values.binary(function, left, right, line)
    return self._apply(function, (left, right), line)

  def _unaryop(self, node: ast.UnaryOp) -> Any:
    if isinstance(node.op, ast.Not):
      return not self._decide(node.operand)
    value = self._value(node.operand)
    function = operations.OPERATORS[type(node.op)]
    if static_values.is_number(value):
      if function is operator.invert:
        raise Refused('~ of a number', 'write not', node.lineno)
      return function(value)
    return self._apply(function, (value,), node.lineno)

  def _subscript(self, node: ast.Subscript) -> Any:
    if isinstance(node.value, ast.Attribute):  # x.shape[1], no other
      if node.value.attr == 'shape':
        array = self._array(node.value.value)
        axis = static_values.integer(self._value(node.slice), node.lineno)
        return static_values.item(list(array.shape), axis, node.lineno)
    value = self._value(node.value)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [
      node.slice
    ]  # fmt: skip
    index = [self._index(part) for part in parts]
    if isinstance(value, list):
      if len(index) != 1 or not static_values.is_number(index[0]):
        raise Refused('an index of a list', 'use one whole number', node.lineno)
      place = static_values.integer(index[0], node.lineno)
      return static_values.item(value, place, node.lineno)
    if not isinstance(value, jax.Array):
      raise Refused('an index of no array', 'index arrays', node.lineno)
    static_values.check_index(index, value.shape, node.lineno)
    index = tuple(
      jnp.asarray(part) if isinstance(part, list) else part for part in index
    )
    return self._apply(lambda x: x[index], (value,), node.lineno)

  def _index(self, node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
      return slice(
        *(
          None if bound is None else self._value(bound)
          for bound in (node.lower, node.upper, node.step)
        )
      )
    return self._value(node)

  def _attribute(self, node: ast.Attribute) -> float:
    return operations.CONSTANTS[node.attr]

  def _array(self, node: ast.expr) -> jax.Array:
    value = self._value(node)
    if not isinstance(value, jax.Array):
      raise Refused('no array', 'use an array here', node.lineno)
    return value

  def _call(self, node: ast.Call) -> Any:
    line = node.lineno
    if isinstance(node.func, ast.Name):
      value = self._value(node.args[0])
      if node.func.id == 'len':
        return static_values.length(value, line)
      return self._apply(jnp.abs, (value,), line)
    name = node.func.attr
    first, given = node.func.value, []
    if isinstance(first, ast.Attribute) and name == 'norm':
      name = 'linalg.norm'
    elif not (isinstance(first, ast.Name) and first.id == 'jnp'):
      given = [self._array(first)]
      if name == 'astype':
        dtype = jnp.result_type(float)
        return self._apply(lambda x: x.astype(dtype), tuple(given), line)
    operation = operations.TABLE[name]
    given += [self._value(argument) for argument in node.args]
    if given and name == 'reshape' and len(given) > 2:
      given = [given[0], given[1:]]  # x.reshape(-1, 1)
    keywords = {k.arg: self._value(k.value) for k in node.keywords}
    bound = static_values.bind(operation, name, given, keywords, line)
    # Many functions of jnp take their arrays by position alone.
    needed = operation.arguments[: operation.required]
    values = [bound.pop(argument) for argument in needed]
    return self._apply(
      lambda: operation.function(*values, **bound), (), line, f'jnp.{name}'
    )

  def _apply(
    self,
    function: Callable[..., jax.Array],
    arguments: tuple,
    line: int,
    name: str = 'an operation',
  ) -> jax.Array:
    """Calls what makes an array, and bounds it."""
    self._operations += 1
    if self._operations > MAX_OPERATIONS:
      raise Refused(f'more than {MAX_OPERATIONS} operations', 'loop less', line)
    if any(value is None or isinstance(value, list) for value in arguments):
      raise Refused(
        'arithmetic with a list', 'make it an array: jnp.array([...])', line
      )
    try:
      with jax.named_scope(program_cost.scope(line)):
        result = function(*arguments)
    # Shapes and types that do not fit.
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
      if isinstance(error, Refused):
        raise
      reason = ' '.join(str(error).split())[:200]
      raise Refused(
        f'{name} fails ({reason})', 'mind the shapes', line
      ) from None
    self._work += result.size
    if result.size > MAX_ELEMENTS * max(self._rows, 1):
      raise Refused(
        f'an array of the shape {result.shape}', 'make smaller ones', line
      )
    if self._work > MAX_WORK * max(self._rows, 1):
      raise Refused(
        f'arrays of {self._work // max(self._rows, 1):,} elements a row up to '
        'here',
        f'at most {MAX_WORK:,}: use smaller arrays',
        line,
      )
    return result
