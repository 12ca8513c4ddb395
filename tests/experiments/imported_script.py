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


def _with_flags() -> set[str]:
  """Modules of the experiments that define flags, or hold one that does.

  Flags that left would not come back with a module that is imported already.
  """
  ours = {
    name: module
    for name, module in list(sys.modules.items())
    if name.startswith('experiments.') and module is not None
  }
  found = ours.keys() & flags.FLAGS.flags_by_module_dict().keys()
  while True:
    # What a module or a function of one stands for in another.
    further = {
      name
      for name, module in ours.items()
      if name not in found
      and any(
        _home(value) in found
        for value in vars(module).values()
        if isinstance(value, types.ModuleType | types.FunctionType)
      )
    }
    if not further:
      return found
    found |= further


def _home(value: types.ModuleType | types.FunctionType) -> str:
  if isinstance(value, types.ModuleType):
    return value.__name__
  return value.__module__


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
    for flag in list(flags.FLAGS):
      if flags.FLAGS.find_module_defining_flag(flag).startswith('experiments.'):
        delattr(flags.FLAGS, flag)
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
