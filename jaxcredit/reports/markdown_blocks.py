"""Paragraphs and tables of the Markdown that experiments write, as data.

markdown-it finds them. Marks within a line, and raw HTML, stay text.
"""

import dataclasses

import markdown_it

_PARSER = markdown_it.MarkdownIt('zero').enable('table')


@dataclasses.dataclass(frozen=True)
class Block:
  """A paragraph, or a table.

  Attributes:
    text: of a paragraph; empty for a table.
    rows: of a table, its header first; empty for a paragraph.
  """

  text: str = ''
  rows: tuple[tuple[str, ...], ...] = ()


def read(text: str) -> list[Block]:
  """Blocks of a text, in order."""
  blocks: list[Block] = []
  rows: list[list[str]] | None = None
  for token in _PARSER.parse(text):
    if token.type == 'table_open':
      rows = []
    elif token.type == 'tr_open':
      rows.append([])
    elif token.type == 'table_close':
      blocks.append(Block(rows=tuple(map(tuple, rows))))
      rows = None
    elif token.type == 'inline' and rows is not None:
      rows[-1].append(token.content)
    elif token.type == 'inline':
      lines = (line.strip() for line in token.content.splitlines())
      blocks.append(Block(text=' '.join(lines)))
  return blocks
