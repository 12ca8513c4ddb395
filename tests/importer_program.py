"""What an importer's program does, run by tests in a Python of its own.

It is a script and imports nothing of the tests but the contract table, since it
also runs where only the wheel is installed:

    python importer_program.py settings.json

The settings name `example` and `contract_table` (files), `blocked`: modules
whose import raises, as if they were not installed, and `looked_for`: modules of
which it says whether they could be imported. It prints one line of JSON: where
jaxcredit lies, what was imported, and what the functions returned.
"""

import importlib.abc
import importlib.util
import json
import math
import pathlib
import runpy
import sys


class Blocker(importlib.abc.MetaPathFinder):
  """Raises when one of the modules, or a part of it, is imported."""

  def __init__(self, modules):
    self.modules = frozenset(modules)

  def find_spec(self, fullname, path=None, target=None):
    if fullname.partition('.')[0] in self.modules:
      raise ModuleNotFoundError(f'{fullname} is blocked', name=fullname)


def imported() -> list[str]:
  return sorted({name.partition('.')[0] for name in sys.modules})


def importable(module: str) -> bool:
  try:
    return importlib.util.find_spec(module) is not None
  except ModuleNotFoundError:
    return False


def numbers(result) -> list[float]:
  """All numbers of a pytree in one list."""
  import jax
  import numpy as np

  return [float(x) for leaf in jax.tree.leaves(result) for x in np.ravel(leaf)]


def results_of_table(path: pathlib.Path) -> dict[str, list[float]]:
  """Calls each function of the contract table once, without other options."""
  # The table imports its row; jaxcredit is imported already, from elsewhere.
  sys.path.append(str(path.parents[2]))
  table = runpy.run_path(str(path))
  results = {}
  for row in table['TABLE']:
    if not row.options_of:
      arguments = table['contract_row'].arguments(row, (8,))
      results[row.name] = numbers(row.call(*arguments))
      assert all(map(math.isfinite, results[row.name])), row.name
      # A score, or the best scale of what is unlike, may be 0.
      assert row.undefined or any(results[row.name]) or row.over_batch, row.name
  return results


def main() -> None:
  settings = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding='utf-8'))
  already = set(settings['blocked']) & set(imported())
  assert not already, f'imported before they could be blocked: {already}'
  sys.meta_path.insert(0, Blocker(settings['blocked']))

  import jaxcredit

  report = {'file': jaxcredit.__file__, 'after_import': imported()}
  names = runpy.run_path(settings['example'])
  report['episode_credit'] = numbers(names['credit'].episode)
  report['table'] = results_of_table(pathlib.Path(settings['contract_table']))

  from jaxcredit.environments import household

  # It needs no extra either, and counts the scenes of a data file.
  game = household.generate_game(0)
  seen = household.HouseholdEnvironment().reset(game)
  report['household_commands'] = len(seen.admissible)
  report['after_calls'] = imported()
  report['importable'] = list(filter(importable, settings['looked_for']))
  print(json.dumps(report))


if __name__ == '__main__':
  main()
