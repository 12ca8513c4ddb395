"""Methods that give credit to tokens, as values for the training."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit import grpo, hepo, ppo, tempo, types
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.reports import prefix_tree_records
from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import loop as loop_lib

METHODS = ('tempo', 'grpo', 'hepo', 'ppo')
# Groups of an iteration whose trees are kept.
_GROUPS_KEPT = 2


@dataclasses.dataclass(frozen=True)
class TokenCreditOptions:
  """Options of the methods. Flags have the same names.

  Attributes:
    method: one of METHODS.
    scale: 'std' or 'none' (TEMPO, GRPO, HEPO).
    rho: share of the tokens that HEPO gives credit to.
    nodes: 'tokens' or 'steps': what the nodes of TEMPO's tree are prefixes of.
    td_weight: weight of TEMPO's TD term.
    ended: what becomes of responses that ended; see `tempo.advantages`.
    after_environment: likewise.
    discount: of PPO's returns.
    gae_lambda: of PPO's advantages.
    whiten: whether PPO's advantages are whitened over the batch.
  """

  method: str = 'tempo'
  scale: str = 'std'
  rho: float = 0.2
  nodes: str = 'tokens'
  td_weight: float = 1.0
  ended: str = 'leaves'
  after_environment: str = 'resume'
  discount: float = 1.0
  gae_lambda: float = 1.0
  whiten: bool = True

  def __post_init__(self):
    if self.method not in METHODS:
      raise ValueError(
        f'method must be one of {", ".join(METHODS)}, not {self.method!r}'
      )
    if self.nodes not in ('tokens', 'steps'):
      raise ValueError(f"nodes must be 'tokens' or 'steps', not {self.nodes!r}")


def scores_of(trajectories: types.Trajectories) -> jax.Array:
  """An episode's reward less its penalties, float [P, G]."""
  rewards = jnp.where(
    trajectories.mask, trajectories.rewards - trajectories.penalties, 0
  )
  return rewards.sum(axis=-1)


def drawn_and_read(rows: types.Rows) -> tuple[np.ndarray, np.ndarray]:
  """Tokens of the policy, and those of the environment behind the prompt.

  Args:
    rows: numpy rows [E, L].

  Returns:
    bool [E, L] each.
  """
  drawn = np.asarray(rows.step_of_token) >= 0
  begun = np.maximum.accumulate(drawn, axis=1)
  inside = np.arange(drawn.shape[1]) < np.asarray(rows.length)[:, None]
  return drawn, begun & inside & ~drawn


def tempo_parts(
  trajectories: types.Trajectories,
  rows: types.Rows,
  options: TokenCreditOptions,
) -> tempo.Advantages:
  """TEMPO's credit with its parts, whatever the method: [P, G, L]."""
  shape = np.shape(trajectories.mask)[:2]
  drawn, read = drawn_and_read(rows)
  drawn, read, tokens, steps = (
    x.reshape(*shape, -1)
    for x in (
      drawn, read, np.asarray(rows.tokens), np.asarray(rows.step_of_token),
    )
  )  # fmt: skip
  return tempo.advantages(
    tokens,
    drawn,
    scores_of(trajectories),
    scale=options.scale,
    td_weight=options.td_weight,
    ended=options.ended,
    environment=read,
    after_environment=options.after_environment,
    step_of_token=steps if options.nodes == 'steps' else None,
  )


def response_credit(
  trajectories: types.Trajectories,
  rows: types.Rows,
  options: TokenCreditOptions,
) -> jax.Array:
  """GRPO's credit of responses, float [P, G]."""
  shape = np.shape(trajectories.mask)[:2]
  taken = drawn_and_read(rows)[0].any(axis=-1).reshape(shape)
  return grpo.advantages(scores_of(trajectories), taken, scale=options.scale)


def make_token_credit(options: TokenCreditOptions) -> loop_lib.TokenCredit:
  """Returns the method for `loop.Loop`."""

  def flat(x):
    return x.reshape(-1, x.shape[-1])

  def tempo_credit(trajectories, rows, values):
    del values
    parts = tempo_parts(trajectories, rows, options)
    return loop_lib.TokenAdvantages(flat(parts.total))

  def grpo_credit(trajectories, rows, values):
    del values
    drawn, _ = drawn_and_read(rows)
    credit = response_credit(trajectories, rows, options).reshape(-1, 1)
    return loop_lib.TokenAdvantages(jnp.where(drawn, credit, 0))

  def hepo_credit(trajectories, rows, values):
    del values
    shape = np.shape(trajectories.mask)[:2]
    drawn, _ = drawn_and_read(rows)
    total = hepo.advantages(
      scores_of(trajectories),
      np.asarray(rows.entropies).reshape(*shape, -1),
      drawn.reshape(*shape, -1),
      rho=options.rho,
      scale=options.scale,
    )
    return loop_lib.TokenAdvantages(flat(total))

  def ppo_credit(trajectories, rows, values):
    drawn, _ = drawn_and_read(rows)
    # The reward comes with the last token that was drawn.
    last = drawn & (np.cumsum(drawn[:, ::-1], axis=1)[:, ::-1] == 1)
    scores = scores_of(trajectories).reshape(-1, 1)
    credit = ppo.advantages(
      jnp.where(last, scores, 0),
      values,
      drawn,
      discount=options.discount,
      gae_lambda=options.gae_lambda,
      whiten=options.whiten,
    )
    return loop_lib.TokenAdvantages(credit.total, credit.returns)

  return {
    'tempo': tempo_credit,
    'grpo': grpo_credit,
    'hepo': hepo_credit,
    'ppo': ppo_credit,
  }[options.method]


def rows_of(batch: loop_lib.Batch) -> types.Rows:
  """One row an episode, empty where it was lost."""
  rows = [
    episodes_lib.TokenRow() if e.failure or not e.rows else e.rows[0]
    for e in batch.episodes
  ]
  longest = max([len(row.tokens) for row in rows] + [1])
  return episodes_lib.pack_rows(rows, range(len(rows)), longest)


class TokenMethod:
  """A method of credit for tokens; see `method.Method`.

  Whatever the method, it is TEMPO's prefix tree that is measured and shown.
  """

  credit_of = 'tokens'
  credit = None
  carried: dict[str, Any] = {}
  record_files = (prefix_tree_records.NAME,)

  def __init__(self, options: TokenCreditOptions):
    self._options = options
    self.token_credit = make_token_credit(options)
    self.needs_critic = options.method == 'ppo'

  def metrics(self, batch: loop_lib.Batch) -> dict[str, Any]:
    """How much of a tree the groups are.

    Returns:
      branch_share: share of drawn tokens at which a response leaves others;
      branch_points: prefixes of a group behind which responses differ, in the
      mean; td_share: mean absolute TD term at branch tokens, in units of the
      mean absolute score difference of a response from its group.
    """
    rows = rows_of(batch)
    parts = jax.device_get(tempo_parts(batch.trajectories, rows, self._options))
    drawn, _ = drawn_and_read(rows)
    drawn = drawn.reshape(parts.branch.shape)
    scores = np.asarray(scores_of(batch.trajectories))
    taken = drawn.any(axis=-1)
    relative = np.abs(scores - _mean(scores, taken)[:, None])[taken]
    td = np.abs(parts.td[parts.branch])
    return {
      'branch_share': float(parts.branch.sum() / max(drawn.sum(), 1)),
      'branch_points': float(
        np.mean([branch_points(t, d) for t, d in zip(
          np.asarray(rows.tokens).reshape(drawn.shape), drawn, strict=True
        )])
      ),
      'td_share': float(td.mean() / relative.mean())
      if td.size and relative.any()
      else 0.0,
    }  # fmt: skip

  def records(self, iteration, batch, tokenizer, group_size):
    rows = rows_of(batch)
    parts = jax.device_get(tempo_parts(batch.trajectories, rows, self._options))
    scores = np.asarray(scores_of(batch.trajectories))
    baseline = np.asarray(
      response_credit(batch.trajectories, rows, self._options)
    )
    records = []
    for number in range(min(_GROUPS_KEPT, len(scores))):
      first = number * group_size
      found = group_of_answers(
        batch.episodes[first : first + group_size],
        scores[number],
        tokenizer,
        f'iteration {iteration}',
      )
      if found is None:
        continue
      group, begin = found
      # Answers begin behind the prompt, which all have in common.
      credit = tempo.Advantages(
        *(
          getattr(parts, field.name)[number, :, begin:]
          for field in dataclasses.fields(parts)
        )
      )
      group = prefix_tree_records.with_credit(group, credit, baseline[number])
      record = prefix_tree_records.to_record(group)
      records.append({'iteration': iteration, **record})
    return {prefix_tree_records.NAME: records}


def group_of_answers(
  episodes: Sequence[episodes_lib.Episode],
  scores: np.ndarray,
  tokenizer: tokenizer_lib.Tokenizer,
  title: str,
) -> tuple[prefix_tree_records.Group, int] | None:
  """A group as its page shows it, without credit.

  Args:
    episodes: G of one task.
    scores: float [G].
    tokenizer: of the policy.
    title: of the group.

  Returns:
    The group, and the position at which answers begin; None where no episode
    has an answer.
  """
  taken = [not e.failure and bool(e.rows) for e in episodes]
  if not any(taken):
    return None
  first = episodes[taken.index(True)]
  begin = next(i for i, s in enumerate(first.rows[0].step_of_token) if s >= 0)
  answers = []
  for episode, score, there in zip(episodes, scores, taken, strict=True):
    row = episode.rows[0] if there else episodes_lib.TokenRow()
    ids = [int(token) for token in row.tokens[begin:]]
    answers.append(
      prefix_tree_records.Answer(
        tokens=[tokenizer.decode([token]) for token in ids],
        token_ids=ids,
        mask=[step >= 0 for step in row.step_of_token[begin:]],
        reward=float(score),
        ended=bool(ids) and ids[-1] in tokenizer.stop_ids,
      )
    )
  group = prefix_tree_records.Group(first.initial_observation, answers, title)
  return group, begin


def _mean(scores: np.ndarray, taken: np.ndarray) -> np.ndarray:
  """Mean of each group over the episodes that count."""
  count = np.maximum(taken.sum(axis=-1), 1)
  return np.where(taken, scores, 0).sum(axis=-1) / count


def branch_points(tokens: np.ndarray, drawn: np.ndarray) -> int:
  """Prefixes of a group behind which its responses differ.

  Args:
    tokens: int [G, L].
    drawn: bool [G, L], tokens of the policy.
  """
  following: dict[tuple[int, ...], set[int]] = {}
  for row, mask in zip(tokens, drawn, strict=True):
    positions = np.flatnonzero(mask)
    for position in positions:
      prefix = tuple(row[positions[0] : position].tolist())
      following.setdefault(prefix, set()).add(int(row[position]))
  return sum(len(choices) > 1 for choices in following.values())
