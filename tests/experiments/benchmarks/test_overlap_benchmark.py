"""The comparison of rollouts beside learning with one after the other."""

import time

import pytest

from experiments.benchmarks.speed import delayed_environment
from tests.experiments import imported_script
from tests.experiments.benchmarks.test_compare_methods import rows
from tests.reports import run_files
from tests.rollouts import echo_environment


@pytest.fixture(scope='module')
def overlap():
  name = 'experiments.benchmarks.speed.overlap'
  with imported_script.imported(name) as module:
    yield module


def run(path, seconds, **figures):
  """A run of six iterations, the first two of which compile."""
  return run_files.write_run(
    path,
    evaluations=[run_files.evaluation('after training', 6, 4)],
    metrics=[
      run_files.training_record(
        i,
        seconds_total=99.0 if i <= 2 else seconds,
        accelerator_idle_share=0.5 if i <= 2 else 0.25,
        **{name: i * value for name, value in figures.items()},
      )
      for i in range(1, 7)
    ],
  )


def test_figures_are_of_iterations_that_do_not_compile(overlap, tmp_path):
  found = overlap.figures(
    run(tmp_path / 'a', 3.0, stale_ratio_maximum=1.0, clip_share=0.1)
  )
  assert found['seconds'] == 3.0
  assert found['idle'] == 0.25
  assert found['success'] == 0.5
  # The last third of six: 5 / 20 and 6 / 20.
  assert found['training_success'] == pytest.approx(0.275)
  assert found['ratio_maximum'] == 6.0
  assert found['clip_share'] == pytest.approx(0.45)
  assert found['effective'] is None


def test_the_table_compares_times_seed_by_seed(overlap, tmp_path):
  results = {
    'one after the other': [
      overlap.figures(run(tmp_path / f'a{i}', s)) for i, s in enumerate((2, 8))
    ],
    'overlap, clipped': [
      overlap.figures(run(tmp_path / f'b{i}', s)) for i, s in enumerate((1, 6))
    ],
  }
  found = rows(overlap.table(results))
  assert found['seconds of an iteration'][1].startswith('3.50 ')
  # A half and three quarters.
  assert found['- over that of the first column'] == [
    '1.00 ± 0.00',
    '0.62 ± 0.18',
  ]
  assert found['idle share of the accelerator, per cent'][0] == '25.0 ± 0.0'
  assert found['effective share of the sample, per cent'] == ['-', '-']


def test_modes_are_the_two_and_each_correction(overlap):
  from jaxcredit.training import off_policy

  assert [m['overlap'] for m in overlap.MODES.values()] == [False] + [True] * 3
  given = {m.get('overlap_correction') for m in overlap.MODES.values()}
  assert given - {None} == set(off_policy.CORRECTIONS)
  assert set(overlap.DELAYED_MODES) <= set(overlap.MODES)


class Domain:
  """What a delayed domain is made of."""

  won = 'won'

  def environment(self):
    return echo_environment.EchoEnvironment


def test_a_delayed_environment_answers_the_same_later():
  domain = delayed_environment.DelayedDomain(Domain(), 0.05)
  assert domain.won == 'won'
  late, soon = domain.environment()(), echo_environment.EchoEnvironment()
  assert late.reset('room left') == soon.reset('room left')
  start = time.perf_counter()
  answer = late.step('left')
  assert time.perf_counter() - start >= 0.05
  assert answer == soon.step('left')
