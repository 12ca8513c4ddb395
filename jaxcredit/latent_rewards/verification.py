"""Verification of what a language model wrote: apart first, then here.

  program, report = verification.verify(source, parameters, recorded)

The text goes to a child process with bounds on time, memory and files, which
parses it, compiles it and tries it on recorded transitions. Only what came
through there is parsed and tried in this process, by the same rules; it is
never executed in either.
"""

import atexit
import os
import pathlib
from collections.abc import Sequence

from jaxcredit.environments.questions import limited_process, question
from jaxcredit.latent_rewards import (
  examination,
  language,
  refusal,
  screen,
  transitions,
)

_PROGRAM = pathlib.Path(__file__).with_name('limited_verification.py')
_ROOT = pathlib.Path(__file__).resolve().parents[2]
TIME_LIMIT = 60.0
MEMORY = 4 * 2**30


class Unverified(ValueError):
  """The function was not accepted; the message says why, for its writer."""


def make_process(*, memory: int = MEMORY) -> limited_process.LimitedProcess:
  """A process that tries functions; started when first needed.

  It compiles with XLA's default options, as the trainer does: what ends the
  compiler, or takes it too long, does so there.

  Args:
    memory: bytes of address space.
  """
  paths = [str(_ROOT), os.environ.get('PYTHONPATH', '')]
  return limited_process.LimitedProcess(
    'verification',
    'see that jax works: python -c "import jax; jax.numpy.ones(3)"',
    program=_PROGRAM,
    variables={
      # Whatever accelerator the trainer has: a child must not take it.
      'JAX_PLATFORMS': 'cpu',
      'MALLOC_ARENA_MAX': '2',
      'PYTHONPATH': os.pathsep.join(path for path in paths if path),
    },
    memory=memory,
  )


_shared: list[limited_process.LimitedProcess] = []


def _process() -> limited_process.LimitedProcess:
  if not _shared:
    _shared.append(make_process())
  return _shared[0]


@atexit.register
def _close() -> None:
  for process in _shared:
    process.close()


def verify(
  source: str,
  parameters: Sequence[str],
  recorded: transitions.Transitions,
  *,
  require_gradients: bool = False,
  time_limit: float = TIME_LIMIT,
  process: limited_process.LimitedProcess | None = None,
) -> tuple[language.Program, examination.Report]:
  """Checks a text, and tries it in a child process and then here.

  Args:
    source: the text of one function.
    parameters: names that its arguments must have.
    recorded: transitions of the task.
    require_gradients: whether the derivatives by its arguments must be
      finite.
    time_limit: seconds that the child process may take.
    process: from `make_process`; by default one that is shared.

  Returns:
    The program, for `interpreter.encode`, and what it did.

  Raises:
    Unverified: it is outside the language, or failed on the transitions.
    question.CheckerUnavailable: the child process cannot start.
  """
  if len(source) > screen.MAX_CHARACTERS:
    raise Unverified(
      f'{len(source)} characters: write at most {screen.MAX_CHARACTERS}'
    )
  process = process or _process()
  sample = recorded.take(examination.MAX_ROWS)
  try:
    answer = process.ask(
      'verify',
      time_limit,
      source=source,
      parameters=list(parameters),
      arrays=[array.tolist() for array in sample.arrays],
      require_gradients=require_gradients,
    )
  except question.CheckFailure as failure:
    raise Unverified(
      f'the function cannot be tried: it {_words(failure)}; write a simpler one'
    ) from None
  if 'refused' in answer:
    raise Unverified(answer['refused'])
  try:
    program = language.check(source, parameters)
    report = examination.examine(
      program,
      recorded,
      # How it treats a batch was seen; from here on it gets single rows.
      whole_batch=False,
      require_gradients=require_gradients,
    )
  except (refusal.Refused, examination.Rejected) as error:
    raise Unverified(str(error)) from None
  return program, report


def _words(failure: question.CheckFailure) -> str:
  words = {
    'memory': 'needs more memory than allowed',
    'refused': f'was stopped: {failure}',
    'time': str(failure),
  }
  return words.get(failure.kind, f'fails ({failure})')
