"""Plays the policies of finished runs again, on tasks of your choice.

  python -m experiments.tools.evaluate --run=runs/quick --rollouts=8
  python -m experiments.tools.evaluate --run=runs/a --run=runs/b \
      --evaluate_on=valid_unseen.jsonl.xz --output=evaluation.json

A policy plays in the text format and the domain that its run recorded. Flags of
the domain change the tasks. One episode a task, as after training, leaves a
standard error of four points on 134 games; more rollouts a task distinguish
policies that are closer. Each run is a column of the table. All runs must be of
one domain, and play with the same random keys.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from absl import app, flags

from experiments.domains import flags as domain_flags
from experiments.run import command, console
from experiments.run import folder as run_folder
from experiments.text import saved_policy, settings
from jaxcredit import files
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.reports import success_table
from jaxcredit.rollouts import collector as collector_lib
from jaxcredit.rollouts import pool as pool_lib
from jaxcredit.training import evaluation

flags.adopt_module_key_flags(domain_flags)

_RUNS = flags.DEFINE_multi_string(
  'run', None, 'Folder of a run; may be given several times.', required=True
)
_STAGE = flags.DEFINE_enum(
  'stage',
  'train',
  saved_policy.STAGES,
  'Which policy of the run: after training, or after the warm start.',
)
_ROLLOUTS = flags.DEFINE_integer('rollouts', 1, 'Episodes a task.', 1)
_TEMPERATURE = flags.DEFINE_float(
  'temperature',
  None,
  'Temperature; by default that of the run; 0 takes the likeliest token.',
  0.0,
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of the sampler.', 0)
_AT_ONCE = flags.DEFINE_integer(
  'at_once', 64, 'Episodes that are played at the same time, at most.', 1
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'File for the results, as JSON; none by default.'
)


# Flags that a run of a text policy has, and others have not.
_NEEDED = ('domain', 'format', 'max_steps', 'chunk', 'pretrained')


def read_config(folder: pathlib.Path) -> dict[str, Any]:
  """The flags of a run that trained a text policy.

  Raises:
    FileNotFoundError: there is no run.
    ValueError: it is damaged, of an earlier version, or trained no text policy.
  """
  config = run_folder.read_config(folder)
  missing = [name for name in _NEEDED if name not in config]
  if run_folder.SCRIPT not in config or missing:
    raise ValueError(
      f'{folder} holds no text policy of this version: its {run_folder.CONFIG} '
      f'says nothing of {(missing or [run_folder.SCRIPT])[0]}'
    )
  return config


def text_format(config: Mapping[str, Any], tokenizer: tokenizer_lib.Tokenizer):
  """The form of the text in which a run's policy reads and writes."""
  names = {field.name for field in dataclasses.fields(settings.FormatOptions)}
  recorded = {name: config[name] for name in names & config.keys()}
  return settings.FormatOptions(**recorded).text_format(tokenizer)


def domain_of(config: Mapping[str, Any]):
  """A run's domain, with what the flags change of it; its tasks are loaded."""
  domain = domain_flags.recorded({**config, **domain_flags.OPTIONS.given()})
  domain.load()
  return domain


def play(
  folder: pathlib.Path, config: Mapping[str, Any], domain
) -> dict[str, Any]:
  """Evaluates the policy of one run; returns an entry as a run records it.

  Args:
    folder: of the run.
    config: its flags.
    domain: whose test tasks are played.

  Raises:
    FileNotFoundError: no checkpoint of the stage.
    ValueError: options that do not go together.
  """
  policy = saved_policy.load(folder, _STAGE.value)
  rollouts = _ROLLOUTS.value
  slots = max(_AT_ONCE.value // rollouts, 1) * rollouts
  with pool_lib.EnvironmentPool(
    domain.environment(), slots, time_limit=config['step_time_limit']
  ) as pool:
    collector = collector_lib.Collector(
      policy.config,
      policy.tokenizer,
      text_format(config, policy.tokenizer),
      pool,
      task_sentence=domain.task_sentence,
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
    total = len(domain.test_tasks) * rollouts
    with console.bar(folder.name, total) as advance:
      summary = evaluation.evaluate(
        collector,
        policy.params,
        domain.test_tasks,
        domain.task_type,
        jax.random.key(_SEED.value),
        temperature=temperature,
        rollouts=rollouts,
        on_episode=advance,
      )
  return {
    'stage': str(folder),
    'games': f'{domain.test_from}, {rollouts} each',
    'policy': _STAGE.value,
    'temperature': temperature,
    'seed': _SEED.value,
    **summary,
  }


def evaluate() -> None:
  """Evaluates all runs, and prints and writes what they came to."""
  folders = [pathlib.Path(run).expanduser() for run in _RUNS.value]
  configs = [read_config(folder) for folder in folders]
  names = {config['domain'] for config in configs}
  if flags.FLAGS['domain'].present or len(names) > 1:
    raise ValueError(
      f'these runs were trained on {", ".join(sorted(names))}: a policy is '
      'evaluated on the domain of its run, so give runs of one domain, and no '
      '--domain'
    )
  (name,) = names
  if unused := domain_flags.OPTIONS.unused(name):
    raise ValueError(f'--{unused[0]}: no option of the domain {name}')
  # All play the tasks of the first run.
  domain = domain_of(configs[0])
  entries = [
    play(folder, config, domain)
    for folder, config in zip(folders, configs, strict=True)
  ]
  if _OUTPUT.value:
    files.write_text(
      pathlib.Path(_OUTPUT.value).expanduser(),
      json.dumps(entries, indent=2) + '\n',
    )
  console.console.print(success_table.success_table(entries))


def main(argv):
  return command.run(argv, evaluate)


if __name__ == '__main__':
  app.run(main)
