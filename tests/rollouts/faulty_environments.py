"""Environments that misbehave on command, for the tests of the pool."""

import os
import signal
import sys
import time

from jaxcredit.environments import protocol


class CountingEnvironment:
  """Counts its steps; some actions make it misbehave."""

  def __init__(self):
    self.count = 0

  def _step(self, text: str, reward: float = 0.0) -> protocol.TextStep:
    return protocol.TextStep(
      text, reward, False, False, ('wait',), f'{self.task}:{self.count}'
    )

  def reset(self, task) -> protocol.TextStep:
    if task == 'unplayable':
      raise RuntimeError('this task cannot be played')
    self.task = task
    self.count = 0
    return self._step(f'{task} starts')

  def step(self, action: str) -> protocol.TextStep:
    self.count += 1
    if action == 'hang':
      time.sleep(3600)
    if action == 'die':
      os._exit(3)
    if action == 'kill':
      os.kill(os.getpid(), signal.SIGKILL)
    if action == 'exit':
      sys.exit('no more')
    if action == 'print':
      # More than a pipe that nobody reads would take.
      for stream in (sys.stdout, sys.stderr):
        stream.write('flood ' * 200_000)
        stream.flush()
    if action == 'long':
      return self._step('x' * 20_000_000)
    if action == 'raise':
      raise KeyError('inside the environment')
    if action in ('nan', 'inf', '-inf'):
      return self._step('x', float(action))
    if action == 'garbage':
      return 'not a step'
    if action == 'number':
      return protocol.TextStep(7, 0.0, False, False, (), '')
    return self._step(f'{self.task} {self.count} {action}', 0.5)
