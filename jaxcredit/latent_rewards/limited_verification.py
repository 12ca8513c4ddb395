"""The program of the limited process in which functions are tried first.

Run by path, by `verification`. A text that makes Python's parser crash, that
compiles for ever, or that wants more memory than there is costs this process,
not the trainer. Limits and the audit hook are those of `limited_program`; where
the system allows it, the process has no network.
"""

import contextlib
import ctypes
import os

# Of Linux: a user namespace, and in it a network without any device.
_NEW_USER = 0x10000000
_NEW_NETWORK = 0x40000000

# The norm of a matrix has JAX import scipy.linalg, which executes text.
_EXAMPLE = """def factors(observation):
  a = jnp.linalg.norm(observation[:, :2], axis=1, keepdims=True)
  b = observation[:, :, None] * observation[:, None, :]
  b = jnp.linalg.norm(b, ord=2, axis=(1, 2))
  return [a, b, jnp.where(a > 0.5, jnp.exp(-a), jnp.sort(observation)[:, 1:2])]
"""


def leave_network() -> None:
  """Cuts the process off the network, where the system lets it."""
  with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).unshare(_NEW_USER | _NEW_NETWORK)


def use_one_core() -> None:
  """Before JAX is imported: threads take address space, which is bounded."""
  with contextlib.suppress(AttributeError, OSError):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


class Verification:
  """Checks and tries functions."""

  def __init__(self):
    import numpy as np

    from jaxcredit.latent_rewards import (
      examination,
      language,
      refusal,
      transitions,
    )

    self._numpy = np
    self._examination = examination
    self._language = language
    self._refusal = refusal
    self._transitions = transitions
    # What is imported and started when first needed, is so before the limits.
    observation = np.random.default_rng(0).uniform(size=(16, 3)).tolist()
    answer = self.verify(
      {
        'source': _EXAMPLE,
        'parameters': ['observation'],
        'arrays': [observation],
        'require_gradients': False,
      }
    )
    if 'refused' in answer:
      raise ValueError(answer['refused'])

  def verify(self, request):
    """Returns the report, or why there is none."""
    np = self._numpy
    try:
      program = self._language.check(request['source'], request['parameters'])
      arrays = [np.asarray(a, np.float32) for a in request['arrays']]
      report = self._examination.examine(
        program,
        self._transitions.Transitions(tuple(arrays)),
        require_gradients=request['require_gradients'],
      )
    except (self._refusal.Refused, self._examination.Rejected) as error:
      return {'refused': str(error)}
    return {'report': report.to_json()}


if __name__ == '__main__':
  leave_network()
  use_one_core()
  from jaxcredit.environments.questions import limited_program

  limited_program.main({'verification': Verification})
