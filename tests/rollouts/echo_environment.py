"""A deterministic environment that repeats what it hears."""

from jaxcredit.environments import protocol


class EchoEnvironment:
  """Repeats what it hears; the last word of the task ends the episode.

  Words in front of it change the room: 'broken' cannot be reset, 'fragile'
  raises at the second step, 'closing' truncates the episode there.
  """

  def reset(self, task) -> protocol.TextStep:
    if 'broken' in task:
      raise RuntimeError('the room is broken')
    self.task = task
    self.count = 0
    return protocol.TextStep(
      'quiet', 0.0, False, False, ('left', 'right'), 'quiet'
    )

  def step(self, action: str) -> protocol.TextStep:
    self.count += 1
    if 'fragile' in self.task and self.count == 2:
      raise RuntimeError('the room fell in')
    won = self.task.split()[-1] in action
    text = f'heard {action[:20]}'
    return protocol.TextStep(
      observation=text,
      reward=float(won),
      terminated=won,
      truncated='closing' in self.task and self.count == 2,
      admissible=('left', 'right'),
      anchor=text,
    )
