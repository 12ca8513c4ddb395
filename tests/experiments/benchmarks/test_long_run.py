"""Runs that are long: no memory leaks, nothing compiles again."""

import csv
import json

import pytest

from tests.experiments import imported_script, script, small_run

MODULE = 'experiments.benchmarks.long_run'


@pytest.fixture(scope='module')
def long_run():
  with imported_script.imported(MODULE) as module:
    yield module


def watched(folder, iterations, *more):
  """The samples of a run in a process of its own, as columns."""
  log = folder.parent / f'{folder.name}.log'
  process = script.start(
    *small_run.command(folder, iterations=iterations),
    '--evaluate_every=0',
    '--checkpoint_every=5',
    *more,
    module=MODULE,
    log=log,
  )
  assert process.wait(small_run.PATIENCE) == 0, log.read_text()
  with open(folder / 'long_run.csv', newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert [int(r['iteration']) for r in rows] == list(range(1, iterations + 1))
  words = log.read_text()
  assert f'{iterations} iterations, of which {iterations // 10} are' in words
  assert 'leaked' not in words
  return {name: [float(row[name]) for row in rows] for name in rows[0]}


@pytest.mark.system
def test_hardly_anything_compiles_after_the_warm_up(uninterrupted):
  columns = watched(uninterrupted.parent / 'watched', 25)
  # Programs were compiled, so that counting them is no empty test.
  assert columns['compiled'][0] > 20
  assert columns['traced'][0] > 20
  # A prompt of a length that no earlier one had may compile once more.
  assert columns['compiled'][-1] - columns['compiled'][2] <= 1
  assert columns['traced'][-1] - columns['traced'][2] <= 1
  assert columns['open_files'][-1] <= columns['open_files'][4] + 2
  assert columns['threads'][-1] <= columns['threads'][4] + 3


@pytest.mark.system
@pytest.mark.slow
def test_memory_stays_where_it_is(uninterrupted):
  columns = watched(uninterrupted.parent / 'longer', 200)
  warm = 50
  assert columns['compiled'][-1] == columns['compiled'][warm]
  # 150 iterations; one that kept the rows of its batch would take more.
  grown = columns['memory_mb'][-1] - columns['memory_mb'][warm]
  assert grown < 60, columns['memory_mb'][::10]
  assert max(columns['arrays'][warm:]) <= max(columns['arrays'][:warm])
  assert columns['workers_mb'][-1] - columns['workers_mb'][warm] < 10


def sampled(long_run, memory):
  watch = long_run.Watch()
  watch.samples = [
    {'iteration': i + 1, 'seconds': 0.5 * i, 'memory_mb': value, 'compiled': 3}
    for i, value in enumerate(memory)
  ]
  return watch


def test_the_slope_is_what_is_added_in_a_thousand_iterations(long_run):
  # A warm-up that grows fast counts for nothing.
  watch = sampled(long_run, [0.0, 50.0, *(100 + 0.25 * i for i in range(18))])
  assert watch.slope('memory_mb', 2) == pytest.approx(250.0)
  assert watch.grown('memory_mb', 3) == pytest.approx(0.25 * 17)
  words = long_run.table(watch, 2)
  assert '20 iterations, of which 2 are warm-up' in words
  assert 'memory_mb' in words and '250.00' in words
  assert 'seconds of an iteration: median 0.500' in words


def test_compiles_are_counted(long_run):
  import jax

  with long_run.Watch() as watch:
    jax.jit(lambda x: 3 * x + 1)(2.0)
    watch.sample(1)
    watch.sample(2)
  jax.jit(lambda x: 5 * x + 1)(2.0)
  watch.sample(3)
  compiled = watch.column('compiled')
  assert compiled[0] >= 1
  assert compiled[0] == compiled[1] == compiled[2]
  assert watch.samples[0]['memory_mb'] > 50
  assert watch.samples[0]['open_files'] > 2
  assert json.dumps(watch.samples[0])
