"""One folder of compiled programs for all workers and their child processes.

JAX writes an entry straight to its place. A reader that comes too early, or one
that finds what a killed process left, is warned by JAX and compiles by itself;
the damaged entry would stay. So `sweep` removes what is damaged.
"""

import contextlib
import importlib.metadata
import os
import pathlib
import re
import time
import zlib
from collections.abc import Iterator

# Compiles faster; tests run next to nothing. See the marker `optimised`.
QUICK = 'JAX_DISABLE_MOST_OPTIMIZATIONS'
FOLDER = 'JAX_COMPILATION_CACHE_DIR'
_LARGEST = 4 << 30
_ZSTANDARD = b'\x28\xb5\x2f\xfd'


def processor() -> str:
  """The model of the processor: programs of one may not run on another."""
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8')
  except OSError:
    lines = ''
  found = dict(re.findall(r'^([\w ]+?)\s*: (.*)$', lines, re.MULTILINE))
  parts = [found.get(n, '') for n in ('model name', 'cpu family', 'model')]
  text = '-'.join(part for part in parts if part) or 'unknown'
  return re.sub(r'[^A-Za-z0-9.]+', '_', text)


def default_folder() -> pathlib.Path:
  version = importlib.metadata.version('jaxlib')
  home = pathlib.Path('~/.cache/jaxcredit').expanduser()
  return home / f'tests-{version}-{processor()}'


def variables() -> dict[str, str]:
  """What JAX reads when it is imported, here and in child processes.

  JAXCREDIT_TEST_CACHE names another folder; empty, nothing is kept. A folder
  that cannot be written to is not used: JAX would warn once a program.
  """
  named = os.environ.get('JAXCREDIT_TEST_CACHE')
  folder = pathlib.Path(named).absolute() if named else default_folder()
  usable = named != '' and _writable(folder)
  return {
    QUICK: os.environ.get(QUICK, '1'),
    FOLDER: str(folder) if usable else '',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    # Any size, and none that JAX finds better for the file system.
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
  }


@contextlib.contextmanager
def real_code() -> Iterator[None]:
  """Within it programs are compiled as for a user, here and in new processes.

  What was compiled before is forgotten, and so is what was compiled within.
  """
  import jax

  name = QUICK.lower()
  quick, variable = jax.config.read(name), os.environ.pop(QUICK, None)
  jax.config.update(name, False)
  jax.clear_caches()
  try:
    yield
  finally:
    jax.config.update(name, quick)
    jax.clear_caches()
    if variable is not None:
      os.environ[QUICK] = variable


def _writable(folder: pathlib.Path) -> bool:
  probe = folder / f'.probe-{os.getpid()}'
  try:
    folder.mkdir(parents=True, exist_ok=True)
    # A full disk takes the name of a file, but no byte.
    probe.write_bytes(bytes(4096))
    probe.unlink()
  except OSError:
    with contextlib.suppress(OSError):
      probe.unlink()
    return False
  return True


def whole(entry: bytes) -> bool:
  """Whether an entry was written to its end."""
  if entry.startswith(_ZSTANDARD):
    # JAX uses it where it is installed; this file does not need it.
    return True
  reader = zlib.decompressobj()
  try:
    reader.decompress(entry)
  except zlib.error:
    return False
  return reader.eof


def sweep(folder: pathlib.Path, largest: int = _LARGEST) -> int:
  """Removes damaged entries, and the oldest where there are too many.

  Reads only entries that came since it looked last. Another process may write
  at the same time: its entry is written anew by whoever needs it next.

  Returns:
    How many were removed.
  """
  stamp = folder / '.checked'
  since = stamp.stat().st_mtime if stamp.exists() else 0.0
  now = time.time()
  entries, removed = [], []
  for path in folder.glob('*-cache'):
    about = path.stat()
    if about.st_mtime >= since and not whole(path.read_bytes()):
      removed.append(path)
    else:
      # The file system notes at most once a day that a file was read.
      used = max(about.st_atime, about.st_mtime)
      entries.append((used, about.st_size, path))
  total = sum(size for _, size, _ in entries)
  for _, size, path in sorted(entries):
    if total <= largest:
      break
    removed.append(path)
    total -= size
  for path in removed:
    path.unlink(missing_ok=True)
  stamp.touch()
  os.utime(stamp, (now, now))
  return len(removed)
