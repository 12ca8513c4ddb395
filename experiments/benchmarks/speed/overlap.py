"""Rollouts beside learning against one after the other, from one warm start.

  python -m experiments.benchmarks.speed.overlap --output=runs/overlap \
      --flagfile=experiments/flagfiles/gigpo/overlap_comparison.cfg

First, for each seed, the plain loop and --overlap with each correction: time,
idle share of the accelerator, success, and how far the policy had moved since
the tokens were drawn. Then both modes with environments that take
--environment_delay_ms longer for a step, of whose iterations only the time is
looked at. Prints Markdown and writes it to OUTPUT/comparison.md. Other flags
are those of experiments.gigpo; --environment_workers processes play.

Times of runs one after the other are compared, so the machine should have
nothing else to do; seconds of sleeping environments do not depend on it.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags, logging

from experiments.benchmarks.comparisons import comparison
from experiments.benchmarks.speed import delayed_environment
from experiments.run import folder as run_folder
from experiments.run import interruption, script
from experiments.text import flags as training_flags
from experiments.text import script as text_script
from jaxcredit.reports import run_data

flags.adopt_module_key_flags(text_script)
text_script.begin_with(method='gigpo', domain='household')

_OUTPUT = flags.DEFINE_string('output', 'runs/overlap', 'Folder of the runs.')
_SEEDS = flags.DEFINE_multi_integer('seeds', [0, 1, 2], 'Seeds.', 0)
_DELAY = flags.DEFINE_float(
  'environment_delay_ms', 20.0, 'Of a step, in the second comparison.', 0.0
)
_DELAY_ITERATIONS = flags.DEFINE_integer(
  'delay_iterations', 6, 'Iterations of the second comparison; 0: none.', 0
)

# Column -> settings.
MODES = {
  'one after the other': {'overlap': False},
  'overlap, clipped': {'overlap': True, 'overlap_correction': 'clipped'},
  'overlap, decoupled': {'overlap': True, 'overlap_correction': 'decoupled'},
  'overlap, none': {'overlap': True, 'overlap_correction': 'none'},
}
DELAYED_MODES = ('one after the other', 'overlap, clipped')
# The first iterations compile.
_COMPILING = 2


def train(
  name: str, seed: int, start: pathlib.Path | None, delay: float = 0, **changes
) -> pathlib.Path:
  """Runs or resumes a training and returns its folder.

  Args:
    name: of the folder.
    seed: of the run.
    start: folder of a warm start; None to make one.
    delay: seconds that a step of an environment takes longer.
    **changes: flags of `OverlapOptions`, and the number of iterations.

  Raises:
    interruption.InterruptedRunError: the user wants to stop.
    ValueError: the folder holds a run with other flags.
  """
  parts = text_script.build()
  folder = pathlib.Path(_OUTPUT.value) / name
  given = {'seed': seed, 'start_from': start and str(start), **changes}
  config = {
    **script.own_flags(text_script.__name__),
    **given,
    'run': str(folder),
    'script': 'overlap',
    'environment_delay': delay,
  }
  may_change = script.MAY_CHANGE | training_flags.MAY_CHANGE
  settings = parts.settings
  iterations = changes.pop('iterations', settings.run.iterations)
  settings = dataclasses.replace(
    settings,
    seed=seed,
    start_from=given['start_from'],
    loop=dataclasses.replace(settings.loop, seed=seed),
    run=dataclasses.replace(settings.run, iterations=iterations),
    overlap=dataclasses.replace(settings.overlap, **changes),
  )
  domain = parts.domain
  if delay:
    domain = delayed_environment.DelayedDomain(domain, delay)
  parts = dataclasses.replace(parts, settings=settings, domain=domain)
  with (
    interruption.Interruption() as stop,
    run_folder.opened(folder, config, may_change),
  ):
    if not text_script.execute(parts, stop, folder):
      raise interruption.InterruptedRunError(name)
  return folder


def figures(folder: pathlib.Path) -> dict[str, float]:
  """What a run came to: means over iterations after those that compile."""
  run = run_data.read(folder)
  timed = run.training[_COMPILING:] or run.training

  def mean(name: str, records: Sequence[dict[str, Any]] = timed):
    values = [r[name] for r in records if r.get(name) is not None]
    return float(np.mean(values)) if values else None

  last = run.training[-max(len(run.training) // 3, 1) :]
  success = run.evaluations[-1]['success_rate'] if run.evaluations else None
  return {
    'seconds': mean('seconds_total'),
    'idle': mean('accelerator_idle_share'),
    'rollout': mean('seconds_rollout'),
    'beside': mean('seconds_beside'),
    'update': mean('seconds_update'),
    'success': success,
    'training_success': mean('success_rate', last),
    'training_return': mean('mean_return', last),
    'clip_share': mean('clip_share'),
    'ratio': mean('stale_ratio'),
    'ratio_deviation': mean('stale_ratio_deviation'),
    'ratio_maximum': max(
      (r['stale_ratio_maximum'] for r in timed if r.get('stale_ratio_maximum')),
      default=None,
    ),
    'truncated': mean('stale_ratio_truncated'),
    'effective': mean('effective_sample_share'),
  }


# Row of the table, figure, factor and digits.
ROWS = (
  ('seconds of an iteration', 'seconds', 1, 2),
  ('- in which it waits for episodes', 'rollout', 1, 2),
  ('- of its update', 'update', 1, 2),
  ('seconds of episodes played beside the update', 'beside', 1, 2),
  ('idle share of the accelerator, per cent', 'idle', 100, 1),
  ('evaluation games won, per cent', 'success', 100, 1),
  ('won in the last third of training, per cent', 'training_success', 100, 1),
  ('return in the last third', 'training_return', 1, 3),
  ('tokens whose gradient the clip cut off, per cent', 'clip_share', 100, 2),
  ('mean of pi_prox / pi_behaviour', 'ratio', 1, 4),
  ('its standard deviation', 'ratio_deviation', 1, 4),
  ('its maximum', 'ratio_maximum', 1, 2),
  ('its share above the cap, per cent', 'truncated', 100, 3),
  ('effective share of the sample, per cent', 'effective', 100, 2),
)


def table(
  results: dict[str, list[dict[str, float]]], rows: Sequence[tuple] = ROWS
) -> str:
  """Markdown of figures by mode.

  Args:
    results: mode -> figures of each seed. The first is what times are compared
      with, seed by seed.
    rows: which, as ROWS.
  """
  modes = list(results)
  lines = [
    '| | ' + ' | '.join(modes) + ' |',
    '| --- |' + ' ---: |' * len(modes),
  ]
  for label, name, factor, digits in rows:
    cells = [
      comparison.spread(
        [None if f[name] is None else factor * f[name] for f in results[m]],
        digits,
      )
      for m in modes
    ]
    lines.append(f'| {label} | ' + ' | '.join(cells) + ' |')
    if name == 'seconds':
      first = [f['seconds'] for f in results[modes[0]]]
      cells = [
        comparison.spread(
          [
            f['seconds'] / one for f, one in zip(results[m], first, strict=True)
          ],
          2,
        )
        for m in modes
      ]
      lines.append('| - over that of the first column | ' + ' | '.join(cells))
      lines[-1] += ' |'
  return '\n'.join(lines) + '\n'


def compare(output: pathlib.Path) -> str:
  """Runs all and returns the tables."""
  del output  # `train` knows it.
  given = flags.FLAGS.start_from
  results: dict[str, list] = {mode: [] for mode in MODES}
  delayed: dict[str, list] = {mode: [] for mode in DELAYED_MODES}
  for seed in _SEEDS.value:
    start = given and pathlib.Path(given)
    start = start or train(f'seed{seed}/warm_start', seed, None, iterations=0)
    for mode, changes in MODES.items():
      name = mode.replace(', ', '_').replace(' ', '_')
      folder = train(f'seed{seed}/{name}', seed, start, **changes)
      results[mode].append(figures(folder))
      if mode in DELAYED_MODES and _DELAY_ITERATIONS.value:
        folder = train(
          f'seed{seed}/{name}_delayed',
          seed,
          start,
          _DELAY.value / 1000,
          iterations=_DELAY_ITERATIONS.value,
          **changes,
        )
        delayed[mode].append(figures(folder))
  count = len(_SEEDS.value)
  text = (
    f'Mean ± standard deviation over {count} seeds, of iterations after the '
    f'first {_COMPILING}.\n\n{table(results)}'
  )
  if _DELAY_ITERATIONS.value:
    workers = flags.FLAGS.environment_workers
    text += (
      f'\nWith environments that take {_DELAY.value:g} ms longer for a step, '
      f'in {workers} processes:\n\n{table(delayed, ROWS[:5])}'
    )
  return text


def main(argv):
  logging.set_verbosity(logging.ERROR)
  script.use_compilation_cache()
  return comparison.command(argv, pathlib.Path(_OUTPUT.value), compare)


if __name__ == '__main__':
  app.run(main)
