"""Paragraphs and tables of the Markdown that experiments write, as data.

No more of Markdown than that: everything else is text, and stays text.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Block:
  """A paragraph, or a table.

  Attributes:
    text: of a paragraph; empty for a table.
    rows: of a table, its header first; empty for a paragraph.
  """

  text: str = ''
  rows: tuple[tuple[str, ...], ...] = ()


def _cells(line: str) -> tuple[str, ...]:
  return tuple(cell.strip() for cell in line.strip().strip('|').split('|'))


def _is_rule(line: str) -> bool:
  """Whether a line is the one below a table's header."""
  return '-' in line and not set(line) - set('|-: ')


def read(text: str) -> list[Block]:
  """Blocks of a text, in order."""
  blocks, lines = [], []

  def end():
    if not lines:
      return
    if all(line.lstrip().startswith('|') for line in lines):
      rows = tuple(_cells(line) for line in lines if not _is_rule(line))
      blocks.append(Block(rows=rows))
    else:
      blocks.append(Block(text=' '.join(line.strip() for line in lines)))
    lines.clear()

  for line in text.splitlines():
    if line.strip():
      lines.append(line)
    else:
      end()
  end()
  return blocks
