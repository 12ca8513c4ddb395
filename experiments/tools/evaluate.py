"""Plays the policies of finished runs on games of your choice.

  python -m experiments.tools.evaluate --run=runs/quick --rollouts=8
  python -m experiments.tools.evaluate --run=runs/a --run=runs/b \
      --evaluate_on=valid_unseen.jsonl.xz --output=evaluation.json

One episode a game, as after training, leaves a standard error of four points on
134 games. Several rollouts a game tell policies apart that lie closer. Each run
is a column of the table; all play the same games with the same random keys.
"""

import functools
import json
import pathlib
import sys
from typing import Any

import jax
from absl import app, flags, logging

from experiments.domains import household as household_tasks
from experiments.run import console
from experiments.run import folder as run_folder
from experiments.text import saved_policy
from jaxcredit.environments import household
from jaxcredit.reports import success_table
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import formats
from jaxcredit.rollouts import pool as pool_lib
from jaxcredit.training import evaluation

_RUNS = flags.DEFINE_multi_string(
  'run', None, 'Folder of a run; may be given several times.', required=True
)
_STAGE = flags.DEFINE_enum(
  'stage',
  'train',
  saved_policy.STAGES,
  'Which policy of the run: that after training, or that before.',
)
_EVALUATE_ON = flags.DEFINE_string(
  'evaluate_on', None, 'Real games. Without it, games are generated.'
)
_GAMES = flags.DEFINE_integer(
  'evaluation_count',
  0,
  'How many games. 0: all of --evaluate_on, or 120 generated.',
  lower_bound=0,
)
_ROLLOUTS = flags.DEFINE_integer('rollouts', 1, 'Episodes a game.', 1)
_TEMPERATURE = flags.DEFINE_float(
  'temperature', None, "Of the sampler; by default the run's own.", 0.0
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of the sampler.')
_AT_ONCE = flags.DEFINE_integer(
  'at_once', 64, 'Episodes that are played side by side, at most.', 1
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'File for the results, as JSON; none by default.'
)


def play(folder: pathlib.Path, games, origin: str) -> dict[str, Any]:
  """Evaluates the policy of one run; returns an entry as a run records it.

  Args:
    folder: of the run.
    games: to play.
    origin: where they come from, in words.

  Raises:
    FileNotFoundError: no run, no checkpoint of the stage.
    ValueError: its configuration is damaged.
  """
  config = run_folder.read_config(folder)
  policy = saved_policy.load(folder, _STAGE.value)
  rollouts = _ROLLOUTS.value
  slots = max(_AT_ONCE.value // rollouts, 1) * rollouts
  factory = functools.partial(
    household.HouseholdEnvironment,
    wording=config['wording'],
    anchor=config['anchor'],
    max_steps=config['max_steps'],
  )
  text_format = (
    formats.Plain(config['repeat_task'])
    if config['format'] == 'plain'
    else formats.ThinkAction(config['history_length'])
  )
  with pool_lib.EnvironmentPool(
    factory, slots, time_limit=config['step_time_limit']
  ) as pool:
    collector = collector_lib.Collector(
      policy.config,
      policy.tokenizer,
      text_format,
      pool,
      task_sentence=lambda game: game.task_description,
      limits=collector_lib.RolloutLimits(
        steps=config['max_steps'],
        new_tokens=config['max_new_tokens'],
        row_tokens=config['row_tokens'],
        chunks=tuple(config['chunk']),
      ),
    )
    temperature = _TEMPERATURE.value
    if temperature is None:
      temperature = config['evaluation_temperature']
    with console.bar(folder.name, len(games) * rollouts) as advance:
      summary = evaluation.evaluate(
        collector,
        policy.params,
        games,
        lambda game: game.task_type,
        jax.random.key(_SEED.value),
        temperature=temperature,
        rollouts=rollouts,
        on_episode=advance,
      )
  return {
    'stage': str(folder),
    'games': f'{origin}, {rollouts} a game',
    'policy': _STAGE.value,
    'temperature': temperature,
    'seed': _SEED.value,
    **summary,
  }


def main(argv):
  if len(argv) > 1:
    print(
      f'error: unknown arguments: {" ".join(argv[1:])} (flags start with --)',
      file=sys.stderr,
    )
    return 1
  logging.set_verbosity(logging.ERROR)
  try:
    games, origin = household_tasks.load_or_generate(
      _EVALUATE_ON.value,
      _GAMES.value or (0 if _EVALUATE_ON.value else 120),
      household_tasks.EVALUATION_SEED,
    )
    entries = [
      play(pathlib.Path(run).expanduser(), games, origin) for run in _RUNS.value
    ]
    if _OUTPUT.value:
      run_folder.write_text(
        pathlib.Path(_OUTPUT.value).expanduser(),
        json.dumps(entries, indent=2) + '\n',
      )
  except (OSError, household.GameError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  console.console.print(success_table.success_table(entries))
  return 0


if __name__ == '__main__':
  app.run(main)
