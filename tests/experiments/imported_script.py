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

# What holds flags, or holds on to them.
_WITH_FLAGS = (
  'experiments.domains.flags',
  'experiments.gigpo',
  'experiments.run.process_flags',
  'experiments.run.script',
  'experiments.text.flags',
  'experiments.text.method_flags',
  'experiments.text.progress_flags',
  'experiments.text.script',
)


def _forget(name: str) -> None:
  """Lets a module be imported anew, by whatever form of import."""
  sys.modules.pop(name, None)
  package, _, rest = name.rpartition('.')
  vars(sys.modules.get(package, types.ModuleType(''))).pop(rest, None)


def _forget_all(name: str) -> None:
  for module_name in {name, *_with_flags()}:
    _forget(module_name)


@contextlib.contextmanager
def imported(name: str) -> Iterator[types.ModuleType]:
  """Yields the module `name`, its flags at their defaults."""
  verbosity = logging.get_verbosity()
  # Such as a test file has imported: its flags are not this script's.
  _forget_all(name)
  with flagsaver.flagsaver():
    module = importlib.import_module(name)
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()
    try:
      yield module
    finally:
      _forget_all(name)
      logging.set_verbosity(verbosity)


def own_flags(module: types.ModuleType) -> list[flags.Flag]:
  """The flags of a script: those it defines, and those that it adopts."""
  return flags.FLAGS.get_key_flags_for_module(module.__name__)
