"""Records of episodes on the host, and their packing into arrays."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcredit import types
from jaxcredit.algorithms import fingerprints


@dataclasses.dataclass
class Step:
  """One step of an episode, in text.

  Attributes:
    observation: what the agent saw before it acted.
    action: what was sent to the environment.
    next_observation: what the environment said.
    reward: reward of the step.
    valid: whether the policy's answer had the right form.
    admissible: whether the action was among those the environment listed, or
      was carried out by one that cannot list them all.
    anchor: text that identifies the state in which the action was chosen.
    grounded: whether the environment could carry the action out; None where it
      does not say.
  """

  observation: str
  action: str
  next_observation: str
  reward: float
  valid: bool
  admissible: bool
  anchor: str
  grounded: bool | None = None


@dataclasses.dataclass
class TokenRow:
  """A token sequence under construction; see `types.Rows`.

  Its support holds None for a token that was not sampled under a restriction.
  """

  tokens: list[int] = dataclasses.field(default_factory=list)
  step_of_token: list[int] = dataclasses.field(default_factory=list)
  log_probs: list[float] = dataclasses.field(default_factory=list)
  entropies: list[float] = dataclasses.field(default_factory=list)
  support: list[list[int] | None] = dataclasses.field(default_factory=list)

  def read(self, tokens: Sequence[int]) -> None:
    """Appends tokens that the policy read."""
    self.tokens.extend(tokens)
    self.step_of_token.extend([-1] * len(tokens))
    self._unscored(len(tokens))

  def skip(self, tokens: Sequence[int]) -> None:
    """Appends tokens of an action that nobody should learn from."""
    self.tokens.extend(tokens)
    self.step_of_token.extend([types.NOT_LEARNED] * len(tokens))
    self._unscored(len(tokens))

  def sample(
    self,
    tokens: Sequence[int],
    log_probs: Sequence[float],
    step: int,
    entropies: Sequence[float] | None = None,
    support: Sequence[list[int]] | None = None,
  ) -> None:
    """Appends tokens that the policy sampled in a step."""
    self.tokens.extend(tokens)
    self.step_of_token.extend([step] * len(tokens))
    self.log_probs.extend(log_probs)
    self.entropies.extend(
      [0.0] * len(tokens) if entropies is None else entropies
    )
    self.support.extend([None] * len(tokens) if support is None else support)

  def _unscored(self, count: int) -> None:
    self.log_probs.extend([0.0] * count)
    self.entropies.extend([0.0] * count)
    self.support.extend([None] * count)


@dataclasses.dataclass
class Episode:
  """One rollout of a task.

  Attributes:
    task: the task, as given to the environment.
    group: index of the task in the batch.
    rollout: index of the rollout in its group.
    initial_observation: the environment's first words.
    steps: what happened.
    rows: its token sequences, one an episode or one a step.
    shared_prefix_length: tokens at the head of its first completion that
      another completion of the group sampled, from which it branched off (tree
      sampling).
    terminated: whether the environment ended it.
    truncated: whether a limit of steps or tokens ended it.
    cut_off: whether the token limit ended its last completion, or its row had
      no room for another.
    failure: what went wrong with the environment; empty if nothing did.
    solved: whether the environment says that the task is solved; None where it
      leaves that to the return.
  """

  task: Any
  group: int
  rollout: int
  initial_observation: str = ''
  steps: list[Step] = dataclasses.field(default_factory=list)
  rows: list[TokenRow] = dataclasses.field(default_factory=list)
  shared_prefix_length: int = 0
  terminated: bool = False
  truncated: bool = False
  cut_off: bool = False
  failure: str = ''
  solved: bool | None = None

  @property
  def episode_return(self) -> float:
    return float(sum(step.reward for step in self.steps))

  @property
  def success(self) -> bool:
    if self.solved is not None:
      return self.solved
    return self.terminated and self.episode_return > 0

  @property
  def finished(self) -> bool:
    return self.terminated or self.truncated or bool(self.failure)


def grounding_accuracy(episodes: Sequence[Episode]) -> float | None:
  """Share of the actions that their environment could carry out.

  Args:
    episodes: those that were lost do not count.

  Returns:
    None where the environment does not say of any.
  """
  known = [
    step.grounded
    for episode in episodes
    if not episode.failure
    for step in episode.steps
    if step.grounded is not None
  ]
  return sum(known) / len(known) if known else None


def pack_trajectories(
  episodes: Sequence[Episode],
  group_size: int,
  max_steps: int,
  *,
  invalid_penalty: float = 0.0,
  reward_scale: float = 1.0,
  penalise: str = 'format',
) -> types.Trajectories:
  """Packs episodes, ordered by group and rollout, into arrays.

  An episode that its environment lost is masked whole: it takes no part in the
  statistics of its group.

  Args:
    episodes: P * G of them; group p's are episodes[p * G : (p + 1) * G].
    group_size: G.
    max_steps: S.
    invalid_penalty: what a step with an invalid action costs.
    reward_scale: factor on the rewards (the paper pays 10 for success).
    penalise: 'format' penalises answers of wrong form (the paper's released
      code); 'inadmissible' also those the environment did not list.

  Returns:
    Trajectories [P, G, S] of numpy arrays.
  """
  if group_size < 1 or len(episodes) % group_size:
    raise ValueError(
      f'{len(episodes)} episodes cannot be cut into groups of {group_size}'
    )
  if penalise not in ('format', 'inadmissible'):
    raise ValueError(
      f"penalise must be 'format' or 'inadmissible', not {penalise!r}"
    )
  count = len(episodes)
  rewards = np.zeros((count, max_steps), np.float32)
  penalties = np.zeros((count, max_steps), np.float32)
  mask = np.zeros((count, max_steps), bool)
  anchors = np.zeros((count, max_steps, 2), np.uint32)
  grounding = np.zeros((count, max_steps), bool)
  for row, episode in enumerate(episodes):
    if episode.failure:
      continue
    steps = len(episode.steps)
    if steps > max_steps:
      raise ValueError(
        f'episode {row} has {steps} steps, more than {max_steps}'
      )
    mask[row, :steps] = True
    for column, step in enumerate(episode.steps):
      rewards[row, column] = reward_scale * step.reward
      wrong = not step.valid or (
        penalise == 'inadmissible' and not step.admissible
      )
      penalties[row, column] = invalid_penalty * wrong
      # Where the environment does not say, nothing was refused.
      grounding[row, column] = step.grounded is not False
    anchors[row, :steps] = fingerprints.text_fingerprints(
      [step.anchor for step in episode.steps]
    )
  shape = (count // group_size, group_size)
  return types.Trajectories(
    rewards=rewards.reshape(*shape, max_steps),
    mask=mask.reshape(*shape, max_steps),
    anchors=anchors.reshape(*shape, max_steps, 2),
    penalties=penalties.reshape(*shape, max_steps),
    terminated=np.array([e.terminated for e in episodes]).reshape(shape),
    truncated=np.array([e.truncated for e in episodes]).reshape(shape),
    grounding=grounding.reshape(*shape, max_steps),
  )


def pack_rows(
  rows: Sequence[TokenRow],
  trajectories: Sequence[int],
  length: int,
  count: int | None = None,
) -> types.Rows:
  """Packs token rows into right-padded arrays.

  Args:
    rows: the rows.
    trajectories: for each row, the index of its episode in [P * G].
    length: L.
    count: N; rows beyond those given are empty.

  Returns:
    Rows of numpy arrays.
  """
  count = len(rows) if count is None else count
  if len(rows) > count or len(rows) != len(trajectories):
    raise ValueError(
      f'{len(rows)} rows and {len(trajectories)} trajectories do not fit a '
      f'batch of {count}'
    )
  tokens = np.zeros((count, length), np.int32)
  step_of_token = np.full((count, length), -1, np.int32)
  log_probs = np.zeros((count, length), np.float32)
  entropies = np.zeros((count, length), np.float32)
  lengths = np.zeros((count,), np.int32)
  trajectory = np.full((count,), -1, np.int32)
  for index, row in enumerate(rows):
    size = len(row.tokens)
    if size > length:
      raise ValueError(f'row {index} has {size} tokens, more than {length}')
    tokens[index, :size] = row.tokens
    step_of_token[index, :size] = row.step_of_token
    log_probs[index, :size] = row.log_probs
    entropies[index, :size] = row.entropies
    lengths[index] = size
  trajectory[: len(rows)] = trajectories
  widest = max(
    (len(ids or ()) for row in rows for ids in row.support), default=0
  )
  support = None
  if widest:
    # Few sizes, since each compiles once.
    support = np.full(
      (count, length, 2 ** (widest - 1).bit_length()), -1, np.int32
    )
    for index, row in enumerate(rows):
      for place, ids in enumerate(row.support):
        support[index, place, : len(ids or ())] = ids or ()
  return types.Rows(
    tokens=tokens,
    step_of_token=step_of_token,
    trajectory=trajectory,
    length=lengths,
    log_probs=log_probs,
    entropies=entropies,
    support=support,
  )
