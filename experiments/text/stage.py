"""Stages between warm start and training, as values in a list."""

from collections.abc import Mapping
from typing import Any, Protocol

from jaxcredit.networks import decoder
from jaxcredit.training import loop as loop_lib


class Stage(Protocol):
  """A stage of a training, which resumes where it was stopped.

  Attributes:
    name: as in `methods.Method.stages`, or of what it provides.
    provides: names from `methods.NEEDS`. A stage runs where the method needs
      one of them.
  """

  name: str
  provides: frozenset[str]

  def check(self, training: Any) -> None:
    """Raises errors before the warm start about what cannot work.

    Raises:
      OSError: a file of another run is missing.
      ValueError: settings that do not go with the stage.
    """
    ...

  def run(
    self, training: Any, params: decoder.Params
  ) -> Mapping[str, loop_lib.Prediction] | None:
    """Runs the rest of the stage.

    Args:
      training: `training.TextTraining`.
      params: after the warm start; the stage may keep them.

    Returns:
      What it provides, by name; None where it was interrupted.
    """
    ...
