"""What the scripts that train a text policy have in common.

They are one program. A script sets its default method and domain, and its short
help. Flags choose among all methods whose needs can be met, and all domains.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from experiments.domains import flags as domain_flags
from experiments.run import console, help_pages, interruption, script
from experiments.text import domain as domain_lib
from experiments.text import flags as training_flags
from experiments.text import (
  method_flags,
  progress_flags,
  reference_stage,
  training,
)
from experiments.text import settings as settings_lib
from experiments.text import stage as stage_lib
from jaxcredit import methods

# What a script adopts.
for _module in (training_flags, method_flags, domain_flags, progress_flags):
  flags.adopt_module_key_flags(_module)

# What --help shows of every script that trains a text policy.
_SHORT: help_pages.Groups = {
  'Run': (
    *script.SHORT, 'seed', 'iterations', 'evaluate_every', 'checkpoint_every',
  ),
  'Task': ('domain', 'max_steps', 'max_new_tokens', 'evaluation_count'),
  'Policy': (
    'pretrained', 'start_from', 'layers', 'width', 'format', 'lora_rank',
    'warm_start_steps', 'mesh_fsdp',
  ),
  'Rollouts': ('groups', 'group_size', 'temperature', 'reward_scale'),
  'Learner': (
    'learning_rate', 'minibatches', 'epochs', 'clip', 'kl_coefficient',
    'micro_batch_tokens',
  ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Parts:
  """The parts of a run.

  Attributes:
    settings: of the run.
    domain: what is trained on.
    method: how credit is given.
    method_options: of the method.
    stages: what can be done before the iterations.
  """

  settings: settings_lib.Settings
  domain: domain_lib.Domain
  method: methods.Method
  method_options: Any
  stages: Sequence[stage_lib.Stage]

  def of_training(self) -> tuple[Any, ...]:
    """The first arguments of `training.TextTraining`."""
    return (
      self.settings,
      self.domain,
      self.method,
      self.method_options,
      self.stages,
    )


def begin_with(method: str, domain: str) -> None:
  """Sets the defaults of --method and --domain."""
  flags.set_default(method_flags.METHOD, method)
  flags.set_default(domain_flags.DOMAIN, domain)


def build() -> Parts:
  """Makes the parts of the run from flags.

  Raises:
    ValueError: values that are not allowed, or do not go together.
  """
  method, options = method_flags.read()
  if words := method_flags.unused():
    console.print_line(words)
  return Parts(
    training_flags.read(),
    domain_flags.domain(training_flags.max_steps(), training_flags.seed()),
    method,
    options,
    (reference_stage.ReferenceStage(), progress_flags.stage()),
  )


def execute(
  parts: Parts, stop: interruption.Interruption, folder: pathlib.Path
) -> bool:
  """Warm start, stages and training; returns whether they are complete."""
  return training.TextTraining(*parts.of_training(), stop, folder).run()


def report(folder: pathlib.Path) -> None:
  """Shows the table of success, and writes curves and pages."""
  from jaxcredit.reports import (
    curves,
    page,
    prefix_tree,
    prefix_tree_records,
    progress_curves,
    run_data,
    success_table,
  )

  run = run_data.read(folder)
  if run.evaluations:
    console.console.print(success_table.success_table(run.evaluations))
  if run.training:
    curves.save(run)
  if run.estimator:
    progress_curves.save(run)
  console.print_line(f'report: {page.save(run)}')
  trees = folder / prefix_tree_records.NAME
  if trees.exists():
    prefix_tree.main([str(trees)])


def main(argv: list[str], module: str) -> int:
  """Runs, or resumes, what the flags say.

  Args:
    argv: what absl left of the command line.
    module: `__name__` of the script.

  Returns:
    The exit status, see `script.run`.
  """
  return script.run(
    argv,
    module=module,
    build=build,
    execute=execute,
    report=report,
    may_change=training_flags.MAY_CHANGE,
  )


def start(main: Callable[[list[str]], int], credit: Sequence[str]) -> None:
  """Starts the script of this process; does not return.

  Args:
    main: of the script.
    credit: flags of credit that --help shows, beside --method.
  """
  groups = {'Credit': ('method', *credit)}
  script.start(main, help_pages.merge(groups, _SHORT))
