"""Groups of completions with the credit of each token, for the report."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcredit import grpo, methods, tempo
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.reports import prefix_tree_records
from jaxcredit.rollouts import episodes as episodes_lib

FILE_NAME = prefix_tree_records.NAME
# Groups of an iteration whose trees are kept.
_GROUPS_KEPT = 2


def group_of_answers(
  episodes: Sequence[episodes_lib.Episode],
  scores: np.ndarray,
  tokenizer: tokenizer_lib.Tokenizer,
  title: str,
) -> tuple[prefix_tree_records.Group, int] | None:
  """A group as the page shows it, without credit.

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


def _padded(rows: Sequence[Sequence[Any]], dtype) -> np.ndarray:
  """Pads rows to [G, L] with 0."""
  result = np.zeros((len(rows), max(map(len, rows))), dtype)
  for row, values in zip(result, rows, strict=True):
    row[: len(values)] = values
  return result


def with_credit(
  group: prefix_tree_records.Group,
  total: np.ndarray,
  method: methods.Method,
) -> prefix_tree_records.Group:
  """A group with its tree, the method's credit and GRPO's.

  Args:
    group: G answers.
    total: float [G, L] of tokens, or [G, 1] of answers.
    method: that gave it.
  """
  tokens = _padded([a.token_ids for a in group.answers], np.int32)
  mask = _padded([a.mask for a in group.answers], bool)
  scores = np.array([a.reward for a in group.answers], np.float32)
  inside = _padded([[True] * len(a.token_ids) for a in group.answers], bool)
  tree = tempo.advantages(tokens, mask, scores, environment=inside & ~mask)
  total = np.where(mask, total[:, : tokens.shape[1]], 0)
  group = prefix_tree_records.with_credit(
    group,
    dataclasses.replace(tree, total=total),
    grpo.advantages(scores, mask.any(axis=-1)),
  )
  return dataclasses.replace(group, method=method.label)


def answer_records(
  iteration: int,
  batch,
  credit: methods.Credit,
  method: methods.Method,
  tokenizer: tokenizer_lib.Tokenizer,
) -> list[dict[str, Any]]:
  """The first groups of an iteration, for the report.

  Args:
    iteration: its number.
    batch: what was played, see `loop.Batch`.
    credit: that the gradient used.
    method: that gave it.
    tokenizer: of the policy.
  """
  t = batch.trajectories
  scores = np.where(t.mask, t.rewards - t.penalties, 0).sum(axis=-1)
  total = jax.device_get(credit.total[:_GROUPS_KEPT])
  size = scores.shape[1]
  records = []
  for number in range(min(_GROUPS_KEPT, len(scores))):
    first = number * size
    found = group_of_answers(
      batch.episodes[first : first + size],
      scores[number],
      tokenizer,
      f'iteration {iteration}',
    )
    if found is None:
      continue
    group, begin = found
    own = total[number]
    if method.unit == 'token':
      own = own[:, begin:]
    group = with_credit(group, own, method)
    record = prefix_tree_records.to_record(group)
    records.append({'iteration': iteration, **record})
  return records
