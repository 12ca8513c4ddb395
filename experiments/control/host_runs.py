"""Runs of a method on robots of the host, with checkpoints.

As `runs`, whose results it gives, for simulators that no compiled program
holds: the seeds take turns.
"""

import pathlib

import jax
import numpy as np

from experiments.control import runs as lare_runs
from experiments.control import settings
from experiments.run import console, interruption
from jaxcredit.agents import td3, td3_on_host
from jaxcredit.environments import gymnasium_robots
from jaxcredit.training import checkpoints

# Of the episodes of an evaluation, the same each time.
_EVALUATION_SEED = 2**31 - 10_000


def train(
  label: str,
  program: td3.Td3,
  schedule: settings.Settings,
  folder: pathlib.Path,
  stop=lambda: False,
) -> lare_runs.Result:
  """Trains a method with every seed, from its newest checkpoint on.

  Args:
    label: of the progress bar.
    program: the learner, whose environment names the robot.
    schedule: seeds, one run each, and how long.
    folder: of the checkpoints.
    stop: says whether the user wants to stop; looked at after each iteration
      of all seeds.

  Raises:
    interruption.InterruptedRunError: the user wants to stop.
    FloatingPointError: a return is not finite.
  """
  name, seeds = program.environment.name, schedule.seed
  loops = [
    td3_on_host.HostLoop(
      program,
      gymnasium_robots.GymnasiumRobots(name, program.options.environments),
      seed,
    )
    for seed in seeds
  ]
  others = gymnasium_robots.GymnasiumRobots(name, schedule.evaluation_episodes)
  learned = jax.eval_shape(program.learn, loops[0].state, jax.random.key(0))[1]
  names = sorted([*learned, 'team_return'])

  def empty(rows):
    return np.full((rows, len(seeds)), np.nan, np.float32)

  history = {key: empty(schedule.iterations) for key in names}
  history['evaluation'] = empty(schedule.records)
  kept = checkpoints.Checkpoints(folder, report=console.console.print)

  def to_save():
    # Written while training goes on, which fills the history further.
    curves = {key: values.copy() for key, values in history.items()}
    return [lare_runs.to_save(loop.saved()) for loop in loops], curves

  with kept, console.bar(label, schedule.iterations) as bar:
    done = 0
    if kept.latest is not None:
      saved, history = kept.restore(to_save())
      history = jax.tree.map(np.array, history)
      for loop, state in zip(loops, saved, strict=True):
        loop.go_on(lare_runs.restored(state, loop.saved()))
      done = kept.latest
    bar(done, 'compiling' if done < schedule.iterations else '')
    while done < schedule.iterations:
      if stop():
        kept.save(done, to_save(), force=True)
        raise interruption.InterruptedRunError
      found = [loop.iterate() for loop in loops]
      for key in names:
        history[key][done] = [one[key] for one in found]
      done += 1
      words = ''
      record, rest = divmod(done, schedule.record_every)
      if not rest:
        now = np.array(
          [loop.evaluate(others, _EVALUATION_SEED).mean() for loop in loops]
        )
        lare_runs.check(label, now, done)
        history['evaluation'][record - 1] = now
        words = f'return {now.mean():.1f}'
        if (
          done == schedule.iterations or not record % schedule.checkpoint_every
        ):
          kept.save(done, to_save(), force=True)
      bar(1, words)

  def curve(key):
    values = history[key]
    if key != 'evaluation':
      # Means over the iterations of a record.
      values = values.reshape(schedule.records, -1, len(seeds)).mean(axis=1)
    return values.T

  one = gymnasium_robots.GymnasiumRobots(name, 1)
  return lare_runs.Result(
    schedule.recorded,
    {key: curve(key) for key in history},
    loops[0].state.source,
    lambda: loops[0].play(one, _EVALUATION_SEED),
  )
