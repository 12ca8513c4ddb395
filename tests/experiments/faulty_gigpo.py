"""experiments.gigpo with environments or credit that fail on purpose.

python -m tests.experiments.faulty_gigpo --fault=nan_reward --run=...
"""

import dataclasses
import functools
import multiprocessing
import os
import time
import zlib

import jax.numpy as jnp
from absl import app, flags

from experiments import gigpo
from experiments.text import script as training_script
from jaxcredit.training import batch_credit

flags.adopt_module_key_flags(gigpo)

_FAULT = flags.DEFINE_enum(
  'fault', None, ['mixed', 'nan_reward', 'slow', 'nan_credit'], 'What fails.'
)
KINDS = ('die', 'hang', 'garbage', 'flood', 'nan_reward', 'inf_reward')


class FaultyEnvironment:
  """Fails at some actions of a model, always at the same.

  Of mixed faults a third of a worker's environments has any at a time, so that
  not all episodes are lost.
  """

  made = 0

  def __init__(self, factory, fault):
    self._environment = factory()
    self._fault = fault
    self._turn = FaultyEnvironment.made
    FaultyEnvironment.made += 1

  def reset(self, task):
    self._turn += 1
    return self._environment.reset(task)

  def step(self, action):
    step = self._environment.step(action)
    # Not where an expert shows how to play.
    if multiprocessing.parent_process() is None:
      return step
    chance = zlib.crc32(action.encode()) % 24
    fault = self._fault
    if fault == 'mixed':
      fault = ''
      if chance < len(KINDS) and self._turn % 3 == 0:
        fault = KINDS[chance]
    elif fault == 'nan_reward' and chance % 6:
      fault = ''
    if fault == 'die':
      os._exit(3)
    if fault == 'hang':
      time.sleep(3600)
    if fault == 'slow':
      time.sleep(0.5)
    if fault == 'garbage':
      return {'observation': 'this is no step'}
    if fault == 'flood':
      print('flood ' * 100_000, flush=True)
      return step._replace(observation='x' * 10_000_000)
    if fault in ('nan_reward', 'inf_reward'):
      return step._replace(reward=float(fault[:3]))
    return step


_build = training_script.build
_compiled = batch_credit.compiled


def build():
  parts = _build()
  if _FAULT.value == 'nan_credit':
    batch_credit.compiled = spoilt
  else:
    environment = parts.domain.environment
    parts.domain.environment = lambda: functools.partial(
      FaultyEnvironment, environment(), _FAULT.value
    )
  return parts


def spoilt(method, options):
  """Credit that is no number from the third iteration on."""
  credit, calls = _compiled(method, options), []

  def of_batch(batch):
    calls.append(None)
    given = credit(batch)
    if len(calls) < 3:
      return given
    return dataclasses.replace(given, total=given.total * jnp.nan)

  return of_batch


def main(argv):
  training_script.build = build
  return training_script.main(argv, __name__)


if __name__ == '__main__':
  app.run(main)
