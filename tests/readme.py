"""The README, and the examples in it and in the documentation."""

import re

from tests import distribution


def text() -> str:
  return (distribution.REPOSITORY / 'README.md').read_text(encoding='utf-8')


def python_blocks_of(page: str) -> list[str]:
  """The blocks of Python of a page, in order."""
  return re.findall(r'^```python\n(.*?)^```$', page, re.M | re.S)


def python_blocks() -> list[str]:
  """Those of the README."""
  return python_blocks_of(text())


def shape_claims(block: str) -> dict[str, tuple[int, ...]]:
  """Shapes that comments claim: `credit.total  # [4, 3], ...`."""
  claims = re.findall(
    r'^([\w.]+)(?: = .*)?  # \[(\d+(?:, \d+)*)\]', block, re.M
  )
  return {
    name: tuple(int(n) for n in sizes.split(', ')) for name, sizes in claims
  }


def value(variables: dict, name: str):
  """The variable `a`, or the part `a.b` of it."""
  first, *attributes = name.split('.')
  result = variables[first]
  for attribute in attributes:
    result = getattr(result, attribute)
  return result
