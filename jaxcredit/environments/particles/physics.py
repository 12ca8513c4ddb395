"""jaxmarl's particles, imported without what its import prints."""

import contextlib
import io
import sys


@contextlib.contextmanager
def _silent():
  """Takes away what is printed, also past `sys.stdout`.

  A part of jaxmarl puts `sys.__stdout__` in the place of `sys.stdout`.
  """
  out, err, true_out, true_err = (
    sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__,
  )  # fmt: skip
  nowhere = io.StringIO()
  sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = nowhere
  try:
    yield
  finally:
    sys.stdout, sys.stderr = out, err
    sys.__stdout__, sys.__stderr__ = true_out, true_err


try:
  with _silent():
    from jaxmarl.environments.mpe import simple, simple_spread, simple_tag
except ModuleNotFoundError as error:
  raise ModuleNotFoundError(
    f'{error.name} is not installed; particles need the extra control: '
    "pip install 'jaxcredit[control]'",
    name=error.name,
  ) from None

SimpleMPE, State = simple.SimpleMPE, simple.State
SimpleSpreadMPE = simple_spread.SimpleSpreadMPE
SimpleTagMPE = simple_tag.SimpleTagMPE
