"""Imports an experiment script into the tests' process.

absl's flags are global, and two scripts may have flags of one name. So a script
is imported for a while only, and its flags leave with it.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator

from absl import flags, logging
from absl.testing import flagsaver


@contextlib.contextmanager
def imported(name: str) -> Iterator[types.ModuleType]:
  """Yields the module `name`, its flags at their defaults."""
  verbosity = logging.get_verbosity()
  with flagsaver.flagsaver():
    sys.modules.pop(name, None)
    module = importlib.import_module(name)
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()
    try:
      yield module
    finally:
      sys.modules.pop(name, None)
      logging.set_verbosity(verbosity)


def own_flags(module: types.ModuleType) -> list[flags.Flag]:
  """The flags that a script defines."""
  return flags.FLAGS.flags_by_module_dict()[module.__name__]
