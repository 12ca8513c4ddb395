"""The README, and the examples in it and in the documentation."""

import collections
import dataclasses
import pathlib
import re
import shlex

from tests import distribution

DOCS = distribution.REPOSITORY / 'docs'


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


def pages() -> list[pathlib.Path]:
  """The pages of the documentation."""
  return sorted(
    path for path in DOCS.rglob('*.md') if '_build' not in path.parts
  )


@dataclasses.dataclass(frozen=True)
class Command:
  """A command that a page shows.

  Attributes:
    module: that Python runs.
    arguments: behind it.
  """

  module: str
  arguments: tuple[str, ...]

  def flag(self, name: str) -> str | None:
    """The value that a flag gets: the last one, as absl takes it.

    The lines of a flagfile stand in its place.
    """
    value = None
    for argument in self.arguments:
      key, _, given = argument.partition('=')
      if key == '--flagfile':
        lines = (distribution.REPOSITORY / given).read_text(encoding='utf-8')
        found = re.findall(rf'^--{name}=(.*)$', lines, re.M)
        value = found[-1] if found else value
      elif key == f'--{name}':
        value = given
    return value

  def folder(self) -> str | None:
    """Where it writes; None for commands that only read runs."""
    package, _, script = self.module.rpartition('.')
    if package == 'experiments.benchmarks.comparisons':
      return self.flag('output')
    if package == 'experiments':
      return self.flag('run') or f'runs/{script}'
    return None


def commands(page: str) -> list[Command]:
  """The commands of a page's indented blocks."""
  lines = re.sub(r'\\\n\s*', ' ', page).splitlines()
  found = []
  for line in lines:
    if match := re.match(r' {4}\S*python -m (.*)', line):
      module, *arguments = shlex.split(match[1], comments=True)
      if '--' in arguments:
        # A tool that starts another module.
        module, *arguments = arguments[arguments.index('--') + 1 :]
      found.append(Command(module, tuple(arguments)))
  return found


def collisions(shown: list[Command]) -> dict[str, set[Command]]:
  """Folders that several commands would write."""
  writers = collections.defaultdict(set)
  for command in shown:
    if folder := command.folder():
      writers[folder].add(command)
  return {k: found for k, found in writers.items() if len(found) > 1}
