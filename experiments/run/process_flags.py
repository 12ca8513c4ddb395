"""Flags of a run with several processes, and how a process joins it.

The same command is given on every host. Where the cluster is known to jax
(SLURM, GKE, Cloud TPU), --processes=auto is enough; elsewhere each process is
told where the first is, how many there are, and its own number.
"""

import os
import sys
import traceback
from collections.abc import Callable

from absl import flags

_PROCESSES = flags.DEFINE_string(
  'processes',
  '1',
  'How many processes share the run, each with its own environments and '
  'devices; auto: what SLURM, GKE or Cloud TPU says, with no further flags.',
)
_PROCESS = flags.DEFINE_integer(
  'process', None, 'Number of this process, from 0.', 0
)
_COORDINATOR = flags.DEFINE_string(
  'coordinator',
  None,
  'host:port at which process 0 listens; the same for all processes.',
)
_HEARTBEAT = flags.DEFINE_integer(
  'heartbeat',
  30,
  'Seconds without a sign of life after which a process counts as dead, which '
  'ends the others.',
  5,
)

# How a run is shared out does not change what it computes.
NAMES = ('processes', 'process', 'coordinator', 'heartbeat')

# The exit statuses of a script that ended in good order, with all the others.
_ENDS = (0, 130, 143)
# Words of errors that come of another process.
_OF_OTHERS = (
  'Gloo', 'NCCL', 'coordination', 'Coordination', 'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
)  # fmt: skip


@flags.validator('processes', message='must be a number from 1, or auto')
def _is_count(value: str) -> bool:
  return value == 'auto' or (value.isdecimal() and int(value) > 0)


@flags.multi_flags_validator(
  ['processes', 'process', 'coordinator'],
  message='--coordinator=host:port and --process, below --processes, go with '
  'a number of --processes above 1; auto and 1 take neither',
)
def _go_together(values: dict[str, object]) -> bool:
  given = [values[name] is not None for name in ('process', 'coordinator')]
  if values['processes'] in ('auto', '1'):
    return not any(given)
  return all(given) and values['process'] < int(values['processes'])


@flags.validator(
  'coordinator', message='must be host:port, as in 10.0.0.1:9000'
)
def _has_port(value: str | None) -> bool:
  return value is None or value.rpartition(':')[2].isdecimal()


def together(script: Callable[[], int]) -> int:
  """Runs a script beside the other processes, if there are any.

  Called before any use of jax. A process that fails ends at once, so that the
  others need not wait for it.

  Args:
    script: returns the exit status.

  Returns:
    The exit status.
  """
  if _PROCESSES.value == '1':
    return script()
  from experiments.run import console
  from jaxcredit.distributed import processes

  try:
    _join()
    console.console.quiet = not processes.is_first()
    status = script()
    if status in _ENDS:
      # None leaves while another may still need it.
      processes.wait()
  except SystemExit as error:
    _say('it was stopped')
    os._exit(error.code)
  except BaseException as error:
    _say(_reason(error))
    os._exit(1)
  if status not in _ENDS:
    _say('it failed')
    os._exit(status)
  return status


def leave(status: int) -> int:
  """The exit status of a process that stops without the others' knowledge.

  Alone it just ends. Of several it leaves at once, without waiting for them;
  they notice, and end too.

  Raises:
    SystemExit: it is one of several; `together` sees to it.
  """
  from jaxcredit.distributed import processes

  if processes.count() > 1:
    raise SystemExit(status)
  return status


def _say(reason: str) -> None:
  """Says why this process ends, and what to do about it."""
  sys.stdout.flush()
  print(
    f'error: {_who()} ends: {reason}; the same commands, given again in all '
    'processes, go on from the last checkpoint',
    file=sys.stderr,
    flush=True,
  )


def _who() -> str:
  if _PROCESSES.value == 'auto':
    return 'this process'
  return f'process {_PROCESS.value} of {_PROCESSES.value}'


def _join() -> None:
  from jaxcredit.distributed import processes

  if _PROCESSES.value == 'auto':
    processes.join(heartbeat=_HEARTBEAT.value)
    return
  processes.join(
    _COORDINATOR.value,
    int(_PROCESSES.value),
    _PROCESS.value,
    heartbeat=_HEARTBEAT.value,
  )


def _reason(error: BaseException) -> str:
  """Why a process ends, in a few words; shows what those do not say."""
  if isinstance(error, KeyboardInterrupt):
    return 'it was interrupted'
  if any(word in str(error) for word in _OF_OTHERS):
    print(f'  ({str(error).splitlines()[0]})', file=sys.stderr)
    return 'another process ended or cannot be reached; its own words say why'
  traceback.print_exception(error)
  return f'it failed ({type(error).__name__})'
