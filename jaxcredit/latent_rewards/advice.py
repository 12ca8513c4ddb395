"""What to write in place of what the language lacks."""

import ast

from jaxcredit.latent_rewards import refusal

NAME = 'factors'

# By the type of the syntax node.
_ADVICE = {
  'Import': 'jnp is there already; write no import',
  'ImportFrom': 'jnp is there already; write no import',
  'While': 'use for i in range(5), or array operations over an axis',
  'Lambda': 'write the expression where it is needed',
  'FunctionDef': f'one function, {NAME}, and none inside it',
  'AsyncFunctionDef': f'one plain function, {NAME}',
  'ClassDef': f'one function, {NAME}, and no class',
  'Try': 'divide by something that is never 0, such as x + 1e-6',
  'TryStar': 'divide by something that is never 0, such as x + 1e-6',
  'With': 'the function may only compute',
  'AsyncWith': 'the function may only compute',
  'AsyncFor': 'use for i in range(5)',
  'Raise': 'return factors for every observation',
  'Assert': 'return factors for every observation',
  'Global': 'use the arguments alone; nothing is kept between calls',
  'Nonlocal': 'use the arguments alone; nothing is kept between calls',
  'Delete': 'leave it out',
  'Pass': 'leave it out',
  'Break': 'let the loop run to its end; jnp.where chooses',
  'Continue': 'let the loop run to its end; jnp.where chooses',
  'Match': 'use jnp.where',
  'AnnAssign': 'write the assignment without the type',
  'TypeAlias': 'leave it out',
  'NamedExpr': 'assign on a line of its own',
  'GeneratorExp': 'write a list: [... for i in range(5)]',
  'SetComp': 'write a list: [... for i in range(5)]',
  'DictComp': 'write a list: [... for i in range(5)]',
  'Dict': 'give each value a name',
  'Set': 'write a list',
  'Yield': 'return the factors',
  'YieldFrom': 'return the factors',
  'Await': 'the function may only compute',
  'JoinedStr': 'the function has no texts',
  'TemplateStr': 'the function has no texts',
  'FormattedValue': 'the function has no texts',
  'Starred': 'write the arguments out',
  'Slice': 'a slice stands inside [...]',
  'MatMult': 'write jnp.sum(x * y, axis=-1, keepdims=True)',
  'LShift': 'use arithmetic',
  'RShift': 'use arithmetic',
  'BitXor': 'powers are written **',
  'Is': 'use ==',
  'IsNot': 'use !=',
  'In': 'compare with each value',
  'NotIn': 'compare with each value',
}


def refused(node: ast.AST, line: int | None = None) -> refusal.Refused:
  """The refusal of a node that the language does not have."""
  kind = type(node).__name__
  advice = _ADVICE.get(kind, 'the language does not have it')
  return refusal.Refused(_words(kind), advice, getattr(node, 'lineno', line))


def _words(kind: str) -> str:
  """ImportFrom -> 'import from'."""
  return ''.join(f' {c.lower()}' if c.isupper() else c for c in kind).strip()
