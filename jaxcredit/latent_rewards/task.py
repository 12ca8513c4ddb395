"""A task as a language model is told about it."""

import dataclasses

import numpy as np

from jaxcredit.latent_rewards import transitions


@dataclasses.dataclass(frozen=True)
class Part:
  """Neighbouring elements of an observation or action.

  Attributes:
    size: how many.
    words: what they are, in their order.
    low: a plausible least value, from which random transitions are drawn.
    high: a plausible greatest value.
  """

  size: int
  words: str
  low: float = -1.0
  high: float = 1.0


@dataclasses.dataclass(frozen=True)
class Task:
  """A task, and the layout of what its agent sees and does.

  Attributes:
    name: of the task.
    summary: what the agent is to do, in sentences.
    observation: parts, in their order.
    action: likewise; empty where the function sees the observation alone.
  """

  name: str
  summary: str
  observation: tuple[Part, ...]
  action: tuple[Part, ...] = ()

  @property
  def parameters(self) -> tuple[str, ...]:
    """Names of the function's arguments."""
    return ('observation', 'action') if self.action else ('observation',)

  @property
  def sizes(self) -> tuple[int, ...]:
    """Elements of each argument."""
    return tuple(sum(part.size for part in parts) for parts in self._layouts())

  def layout(self, parameter: str) -> str:
    """The elements of an argument, a line each part, with their indices."""
    parts = dict(zip(self.parameters, self._layouts(), strict=True))[parameter]
    lines, first = [], 0
    for part in parts:
      last = first + part.size - 1
      index = f'[:, {first}]' if part.size == 1 else f'[:, {first}:{last + 1}]'
      lines.append(f'{parameter}{index}: {part.words}')
      first = last + 1
    return '\n'.join(lines)

  def random_transitions(
    self, seed: int = 0, rows: int = 256
  ) -> transitions.Transitions:
    """Transitions drawn evenly from the ranges of the layout.

    They serve where none were recorded: elements that depend on each other in
    the environment do not here.

    Args:
      seed: of the draws.
      rows: how many.
    """
    generator = np.random.default_rng(seed)
    arrays = []
    for parts in self._layouts():
      low = np.concatenate([np.full(p.size, p.low) for p in parts])
      high = np.concatenate([np.full(p.size, p.high) for p in parts])
      drawn = generator.uniform(low, high, (rows, len(low)))
      arrays.append(drawn.astype(np.float32))
    return transitions.Transitions(tuple(arrays))

  def _layouts(self) -> tuple[tuple[Part, ...], ...]:
    if self.action:
      return (self.observation, self.action)
    return (self.observation,)
