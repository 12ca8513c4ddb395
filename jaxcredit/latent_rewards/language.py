"""The language of latent reward functions: a small part of Python.

LaRe (Qu et al. 2025, arXiv 2412.11120) has a language model write the encoder
of its latent reward, and the authors' code hands that text to Python to be
executed with all that Python can do. Here the text is never executed. It is
read into a syntax tree, every node of which must be in `allow_list`;
`interpreter` walks that tree and calls functions of `jnp`. There is no import,
no attribute but those listed, and no name that stands for anything but the
arguments and what the function itself assigned: what is not on the list cannot
be said.
"""

import ast
import dataclasses
import hashlib
import warnings
from collections.abc import Sequence

from jaxcredit.latent_rewards import advice, allow_list, refusal, screen

Refused = refusal.Refused
NAME = allow_list.NAME

MAX_NODES = 3_000
MAX_DEPTH = 40


@dataclasses.dataclass(frozen=True)
class Program:
  """A function that was checked.

  Two are equal where their text is.

  Attributes:
    source: the text.
    parameters: names of the arguments.
    tree: of the function.
  """

  source: str
  parameters: tuple[str, ...]
  tree: ast.FunctionDef = dataclasses.field(repr=False, compare=False)

  @property
  def sha256(self) -> str:
    """Of the text in UTF-8, hexadecimal."""
    return sha256(self.source)


def sha256(source: str) -> str:
  """Hash of a source, by which a stored one is known."""
  return hashlib.sha256(source.encode()).hexdigest()


def check(
  source: str, parameters: Sequence[str] = ('observation', 'action')
) -> Program:
  """Reads a text and checks that all of it is in the language.

  Nothing is executed. What depends on shapes is checked by `interpreter`.

  Args:
    source: the text of one function.
    parameters: names that its arguments must have.

  Returns:
    The program.

  Raises:
    refusal.Refused: with line, construct and what to write instead.
  """
  source = screen.screen(source)
  module = _parse(source)
  _check_size(module)
  function = _only_function(module)
  allow_list.Checker(tuple(parameters)).function(function)
  return Program(source, tuple(parameters), function)


def _parse(source: str) -> ast.Module:
  try:
    # It warns of what will be errors some day.
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      return ast.parse(source)
  except SyntaxError as error:
    raise Refused(
      f'no Python ({error.msg})', 'mend the syntax', error.lineno
    ) from None
  except (MemoryError, RecursionError, ValueError) as error:
    raise Refused(
      f'no Python ({type(error).__name__})', 'write shorter expressions'
    ) from None


def _check_size(module: ast.Module) -> None:
  """Bounds count and depth of the nodes, without recursion."""
  stack = [(module, 0)]
  count = 0
  while stack:
    node, depth = stack.pop()
    count += 1
    if count > MAX_NODES:
      raise Refused(f'more than {MAX_NODES} syntax nodes', 'write less')
    if depth > MAX_DEPTH:
      raise Refused(
        f'expressions nested more than {MAX_DEPTH} deep',
        'give the parts names',
        getattr(node, 'lineno', None),
      )
    stack += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _only_function(module: ast.Module) -> ast.FunctionDef:
  body = module.body
  if body and allow_list.is_docstring(body[0]):
    body = body[1:]
  for node in body:
    if not isinstance(node, ast.FunctionDef):
      raise advice.refused(node)
  if not body:
    raise Refused('no function', f'write def {NAME}(...):')
  if len(body) > 1:
    raise Refused(
      f'{len(body)} functions', f'one function, {NAME}', body[1].lineno
    )
  return body[0]
