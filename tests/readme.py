"""The README, and the examples in it."""

import re

from tests import distribution


def text() -> str:
  return (distribution.REPOSITORY / 'README.md').read_text(encoding='utf-8')


def python_blocks() -> list[str]:
  """Its blocks of Python, in order."""
  return re.findall(r'^```python\n(.*?)^```$', text(), re.M | re.S)
