"""What may stand in a latent reward function, form by form."""

import ast
import math

from jaxcredit.latent_rewards import advice, operations, refusal

Refused = refusal.Refused

NAME = advice.NAME
MAX_INTEGER = 10**9
MAX_FLOAT = 1e12

# Names of the language itself: never values, and never bound anew.
_RESERVED = frozenset({'jnp', 'range', 'len', 'abs', 'float', NAME})
_BINARY = (
  ast.Add,
  ast.Sub,
  ast.Mult,
  ast.Div,
  ast.FloorDiv,
  ast.Mod,
  ast.Pow,
  ast.BitAnd,
  ast.BitOr,
)
_UNARY = (ast.USub, ast.UAdd, ast.Not, ast.Invert)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)


def is_docstring(node: ast.AST) -> bool:
  """Whether a statement is a text and no more."""
  return (
    isinstance(node, ast.Expr)
    and isinstance(node.value, ast.Constant)
    and isinstance(node.value.value, str)
  )


class Checker:
  """Walks a tree and raises at the first node that is not on the list."""

  def __init__(self, parameters: tuple[str, ...]):
    self._parameters = parameters
    # By the very type: what a newer Python adds is not on the list.
    self._forms = {
      ast.Attribute: self._attribute,
      ast.BinOp: self._binop,
      ast.BoolOp: self._boolop,
      ast.Call: self._call,
      ast.Compare: self._compare,
      ast.Constant: self._constant,
      ast.IfExp: self._ifexp,
      ast.List: self._sequence,
      ast.ListComp: self._listcomp,
      ast.Name: self._value,
      ast.Subscript: self._subscript,
      ast.Tuple: self._sequence,
      ast.UnaryOp: self._unaryop,
    }

  def function(self, node: ast.FunctionDef) -> None:
    form = f'def {NAME}({", ".join(self._parameters)}):'
    arguments = node.args
    if node.name != NAME:
      raise Refused(f'a function {node.name!r}', f'write {form}', node.lineno)
    if node.decorator_list:
      raise Refused('a decorator', f'write {form}', node.lineno)
    annotated = node.returns or any(a.annotation for a in arguments.args)
    if annotated or getattr(node, 'type_params', None):
      raise Refused('types', f'write {form}', node.lineno)
    if (
      arguments.posonlyargs
      or arguments.kwonlyargs
      or arguments.vararg
      or arguments.kwarg
      or arguments.defaults
      or tuple(a.arg for a in arguments.args) != self._parameters
    ):
      raise Refused('other arguments', f'write {form}', node.lineno)
    body = node.body[1:] if is_docstring(node.body[0]) else node.body
    if not body or not isinstance(body[-1], ast.Return):
      raise Refused(
        'no return at the end', 'end with return [factor, ...]', node.lineno
      )
    for statement in body[:-1]:
      self._statement(statement)
    if body[-1].value is None:
      raise Refused(
        'an empty return', 'return a list of factors', body[-1].lineno
      )
    self._expression(body[-1].value)

  def _statement(self, node: ast.stmt) -> None:
    if isinstance(node, ast.Assign):
      if len(node.targets) > 1:
        raise Refused(
          'an assignment to several targets', 'one at a time', node.lineno
        )
      self._target(node.targets[0])
      self._expression(node.value)
    elif isinstance(node, ast.AugAssign):
      if not isinstance(node.target, ast.Name):
        raise Refused(
          'a change of a part', 'arrays stay as they are; use jnp.where',
          node.lineno,
        )  # fmt: skip
      self._target(node.target)
      self._operator(node.op, node.lineno)
      self._expression(node.value)
    elif isinstance(node, ast.For):
      if node.orelse:
        raise Refused('else behind a loop', 'leave it out', node.lineno)
      self._target(node.target)
      self._items(node.iter)
      for statement in node.body:
        self._statement(statement)
    elif isinstance(node, ast.If):
      self._expression(node.test)
      for statement in [*node.body, *node.orelse]:
        self._statement(statement)
    elif isinstance(node, ast.Expr) and _is_append(node.value):
      self._value(node.value.func.value)
      self._expression(node.value.args[0])
    elif isinstance(node, ast.Return):
      raise Refused(
        'a return before the end', 'return once, at the end', node.lineno
      )
    elif isinstance(node, ast.Expr):
      # What else is wrong in it says more.
      self._expression(node.value)
      raise Refused('an expression whose value is lost', 'assign it',
                    node.lineno)  # fmt: skip
    else:
      raise advice.refused(node)

  def _target(self, node: ast.expr) -> None:
    if isinstance(node, ast.Tuple):
      for part in node.elts:
        if not isinstance(part, ast.Name):
          raise Refused(
            'an assignment to something else than names', 'use names',
            part.lineno,
          )  # fmt: skip
        self._target(part)
      return
    if isinstance(node, ast.Subscript | ast.Attribute):
      raise Refused(
        'a change of a part', 'arrays stay as they are; use jnp.where',
        node.lineno,
      )  # fmt: skip
    self._name(node)
    if node.id in _RESERVED:
      raise Refused(
        f'an assignment to {node.id}', 'use another name', node.lineno
      )

  def _name(self, node: ast.AST) -> None:
    if not isinstance(node, ast.Name):
      raise advice.refused(node)
    if '__' in node.id:
      raise Refused(
        f'the name {node.id}', 'names have no double underscore', node.lineno
      )

  def _value(self, node: ast.Name) -> None:
    self._name(node)
    if node.id in _RESERVED:
      raise Refused(
        f'{node.id} as a value', 'call it where it is needed', node.lineno
      )

  def _items(self, node: ast.expr) -> None:
    """What a loop runs over: a range or a list."""
    if isinstance(node, ast.Tuple | ast.List | ast.Name):
      self._expression(node)
      return
    if not (
      isinstance(node, ast.Call)
      and isinstance(node.func, ast.Name)
      and node.func.id == 'range'
      and 1 <= len(node.args) <= 3
      and not node.keywords
    ):
      raise Refused(
        'a loop over something else',
        'loop over range(5), or over a list',
        node.lineno,
      )
    for argument in node.args:
      self._expression(argument)

  def _operator(self, node: ast.operator, line: int) -> None:
    if not isinstance(node, _BINARY):
      raise advice.refused(node, line)

  def _expression(self, node: ast.expr) -> None:
    form = self._forms.get(type(node))
    if form is None:
      raise advice.refused(node)
    form(node)

  def _constant(self, node: ast.Constant) -> None:
    value = node.value
    # In this order: True is an int.
    if value is None or isinstance(value, bool):
      return
    if isinstance(value, int):
      if abs(value) > MAX_INTEGER:
        raise Refused('a huge integer', f'at most {MAX_INTEGER}', node.lineno)
    elif isinstance(value, float):
      if not math.isfinite(value) or abs(value) > MAX_FLOAT:
        raise Refused('a huge number', f'at most {MAX_FLOAT:g}', node.lineno)
    elif isinstance(value, str):
      raise Refused('a string', 'docstrings alone', node.lineno)
    elif value is Ellipsis:
      raise Refused('...', 'only as an index: x[..., 0]', node.lineno)
    else:
      raise Refused(
        f'a constant of the kind {type(value).__name__}',
        'use whole and decimal numbers',
        node.lineno,
      )

  def _binop(self, node: ast.BinOp) -> None:
    self._operator(node.op, node.lineno)
    self._expression(node.left)
    self._expression(node.right)

  def _unaryop(self, node: ast.UnaryOp) -> None:
    if not isinstance(node.op, _UNARY):
      raise advice.refused(node.op, node.lineno)
    self._expression(node.operand)

  def _boolop(self, node: ast.BoolOp) -> None:
    for value in node.values:
      self._expression(value)

  def _compare(self, node: ast.Compare) -> None:
    if len(node.ops) > 1:
      raise Refused(
        'a chain of comparisons', 'write (a < b) & (b < c)', node.lineno
      )
    if not isinstance(node.ops[0], _COMPARISONS):
      raise advice.refused(node.ops[0], node.lineno)
    self._expression(node.left)
    self._expression(node.comparators[0])

  def _ifexp(self, node: ast.IfExp) -> None:
    for part in (node.test, node.body, node.orelse):
      self._expression(part)

  def _sequence(self, node: ast.Tuple | ast.List) -> None:
    for part in node.elts:
      self._expression(part)

  def _listcomp(self, node: ast.ListComp) -> None:
    loop = node.generators[0]
    if len(node.generators) > 1 or loop.ifs or loop.is_async:
      raise Refused(
        'a list with several loops or conditions', 'one loop', node.lineno
      )
    self._target(loop.target)
    self._items(loop.iter)
    self._expression(node.elt)

  def _subscript(self, node: ast.Subscript) -> None:
    if _is_attribute(node.value, 'shape'):
      self._expression(node.value.value)
      self._expression(node.slice)
      return
    self._expression(node.value)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [
      node.slice
    ]  # fmt: skip
    for part in parts:
      if isinstance(part, ast.Slice):
        for bound in (part.lower, part.upper, part.step):
          if bound is not None:
            self._expression(bound)
      elif not (isinstance(part, ast.Constant) and part.value is Ellipsis):
        self._expression(part)

  def _attribute(self, node: ast.Attribute) -> None:
    if _path(node) in {f'jnp.{name}' for name in operations.CONSTANTS}:
      return
    raise Refused(
      f'the attribute .{node.attr}',
      'use x.shape[1], and the functions of jnp that are listed',
      node.lineno,
    )

  def _call(self, node: ast.Call) -> None:
    given = set()
    for keyword in node.keywords:
      if keyword.arg is None:
        raise Refused('**', 'write the arguments out', node.lineno)
      # Python's compiler refuses it, its parser does not.
      if keyword.arg in given:
        raise Refused(
          f'the argument {keyword.arg} given twice', 'give it once',
          keyword.lineno,
        )  # fmt: skip
      given.add(keyword.arg)
    arguments = [*node.args, *(k.value for k in node.keywords)]
    if _is_astype(node):
      self._expression(node.func.value)
      return
    path = _path(node.func)
    if path is not None and path.startswith('jnp.'):
      if path.removeprefix('jnp.') not in operations.TABLE:
        raise Refused(
          f'a call of {path}',
          f'jnp has here: {", ".join(operations.NAMES)}',
          node.lineno,
        )
    elif isinstance(node.func, ast.Attribute):
      if node.func.attr not in operations.METHODS:
        raise Refused(
          f'a call of .{node.func.attr}',
          'arrays have here: .astype(jnp.float32), '
          + ', '.join(f'.{name}' for name in sorted(operations.METHODS)),
          node.lineno,
        )
      self._expression(node.func.value)
    elif not (
      path in ('len', 'abs') and len(node.args) == 1 and not node.keywords
    ):
      raise Refused(
        f'a call of {path or "an expression"}',
        'call functions of jnp, len(list), abs(x), and range in loops',
        node.lineno,
      )
    for argument in arguments:
      self._expression(argument)


def _path(node: ast.AST) -> str | None:
  """'jnp.linalg.norm' of such an expression; None for others."""
  if isinstance(node, ast.Name):
    return node.id
  if isinstance(node, ast.Attribute):
    front = _path(node.value)
    return None if front is None else f'{front}.{node.attr}'
  return None


def _is_attribute(node: ast.AST, name: str) -> bool:
  return isinstance(node, ast.Attribute) and node.attr == name


def _is_append(node: ast.AST) -> bool:
  return (
    isinstance(node, ast.Call)
    and _is_attribute(node.func, 'append')
    and isinstance(node.func.value, ast.Name)
    and len(node.args) == 1
    and not node.keywords
  )


def _is_astype(node: ast.Call) -> bool:
  """Whether it is x.astype(jnp.float32), or another name of floats."""
  return (
    _is_attribute(node.func, 'astype')
    and len(node.args) == 1
    and not node.keywords
    and (
      _path(node.args[0]) in ('float', 'jnp.float32', 'jnp.float64')
      or (
        _is_attribute(node.args[0], 'dtype')
        and isinstance(node.args[0].value, ast.Name)
      )
    )
  )
