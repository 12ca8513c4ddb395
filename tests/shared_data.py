"""Finds the real games and models that some tests read.

They lie beside a developer's checkout, in `../shared/data`, or where
JAXCREDIT_SHARED_DATA points. A user's clone has none of them.
"""

import os
import pathlib

import pytest

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def shared_data(name: str) -> pathlib.Path:
  """Returns the path of `name` in the shared data, or skips the test."""
  folder = os.environ.get('JAXCREDIT_SHARED_DATA')
  root = (
    pathlib.Path(folder) if folder else _REPOSITORY.parent / 'shared' / 'data'
  )
  path = root / name
  if not path.exists():
    pytest.skip(
      f'{path} is absent: this test reads real data that is not part of the '
      'repository; set JAXCREDIT_SHARED_DATA to the folder that holds it'
    )
  return path
