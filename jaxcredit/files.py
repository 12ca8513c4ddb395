"""Files that are written whole or not at all.

A file is written beside its place and then renamed. A reader never sees half of
it, an error leaves the old file as it was, and a symbolic link at the place is
replaced, never written through.
"""

import csv
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

# At the end of the name of a file that is being written.
HALF = '.tmp'


def write_bytes(
  path: pathlib.Path, write: Callable[[BinaryIO], object]
) -> None:
  """Writes what a function writes into an open file.

  Args:
    path: of the file. Its permissions follow the user's umask.
    write: takes the open binary file.

  Raises:
    OSError: the file cannot be written; one that was there is as it was.
  """
  path = pathlib.Path(path)
  half = path.with_name(path.name + HALF)
  # One that a killed process left, or a link that somebody else put there.
  half.unlink(missing_ok=True)
  made = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
  try:
    with open(made, 'wb') as file:
      write(file)
    half.replace(path)
  except BaseException:
    half.unlink(missing_ok=True)
    raise


def write_text(path: pathlib.Path, text: str) -> None:
  """As `write_bytes`, a text in UTF-8."""
  write_bytes(path, lambda file: file.write(text.encode('utf-8')))


def write_csv(
  path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
  """As `write_bytes`, a table as comma-separated values."""

  def write(file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding='utf-8', newline='')
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    # It would close the file with it.
    text.detach()

  write_bytes(path, write)


def save_figure(figure: Any, path: pathlib.Path, **options: Any) -> None:
  """As `write_bytes`, a figure of matplotlib in the form of the path's suffix.

  Args:
    figure: of matplotlib.
    path: of the picture, such as curves.pdf.
    **options: of `savefig`.
  """
  form = pathlib.Path(path).suffix.lstrip('.')
  write_bytes(path, lambda file: figure.savefig(file, format=form, **options))
