"""A critic that learns beside the policy.

It says what tokens are worth before the credit is given, and learns from the
returns afterwards.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np
import optax

from jaxcredit import options as options_lib
from jaxcredit import types
from jaxcredit.algorithms import losses
from jaxcredit.networks import config as config_lib
from jaxcredit.networks.heads import value_head
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import packed_rows, policy_gradient, row_scores


def make_loss(
  config: config_lib.DecoderConfig, *, clip: float | None = 0.2
) -> learner_lib.LossFunction:
  """Returns the critic's loss, for `learner.Learner`.

  Its `extra` is a dict with `returns` and `values` [E, L], by episode.

  Args:
    config: of the trunk.
    clip: see `losses.value_loss`.
  """

  def loss(params, reference, micro_batch, extra, weight):
    del reference
    values = packed_rows.apply(value_head.values, params, config, micro_batch)
    rows = packed_rows.one_sequence_a_row(micro_batch)
    mask = rows.step_of_token >= 0
    result = losses.value_loss(
      values,
      policy_gradient.of_rows(extra['values'], rows),
      policy_gradient.of_rows(extra['returns'], rows),
      mask,
      clip=clip,
    )
    count = mask.sum()
    return weight * result.loss, {
      'value_error': (count * result.error, count),
      'value_clip_share': (count * result.clip_share, count),
    }

  return loss


@dataclasses.dataclass(frozen=True)
class CriticOptions:
  """Options of a critic.

  Attributes:
    weight_decay: of AdamW.
    clip_norm: bound on the gradient's norm.
  """

  learning_rate: float = options_lib.option(
    1e-3, "Learning rate of the critic's AdamW.", above=0.0
  )
  clip: float = options_lib.option(
    0.2, 'Clip range of values in an update; 0 does not clip.', 0.0
  )
  weight_decay: float = options_lib.internal(0.0, 0.0)
  clip_norm: float = options_lib.internal(1.0, above=0.0)

  __post_init__ = options_lib.check


class Critic:
  """Values of tokens, and how they are learned.

  Args:
    config: of the trunk.
    options: of the critic.
    micro_batch_tokens: tokens that are computed at a time.
    lengths: row lengths that may occur.
    skip_limit: see `learner.Learner`; likewise the rest.
    mesh: devices; None for one.
    device_lock: see `learner.Learner`.
  """

  def __init__(
    self,
    config: config_lib.DecoderConfig,
    options: CriticOptions,
    *,
    micro_batch_tokens: int,
    lengths: Sequence[int],
    skip_limit: int = 3,
    mesh: jax.sharding.Mesh | None = None,
    device_lock: contextlib.AbstractContextManager | None = None,
  ):
    self._micro_batch_tokens = micro_batch_tokens
    self._lengths = sorted(lengths)
    self._mesh = mesh
    self._learner = learner_lib.Learner(
      make_loss(config, clip=options.clip or None),
      policy_gradient.make_denominator('token-mean'),
      _optimizer(options),
      micro_batch_tokens=micro_batch_tokens,
      lengths=lengths,
      skip_limit=skip_limit,
      mesh=mesh,
      device_lock=device_lock,
    )
    self._values = jax.jit(
      lambda params, rows: packed_rows.apply(
        value_head.values, params, config, rows
      )
    )

  def init(self, params) -> learner_lib.LearnerState:
    """The state of a critic that begins with a policy's trunk."""
    return self._learner.init(value_head.init(params))

  def values(self, params, rows: types.Rows) -> np.ndarray:
    """Values of the states in which tokens were chosen.

    Args:
      params: of the critic.
      rows: numpy rows [N, L].

    Returns:
      float32 [N, L]; 0 beyond the tokens of a row.
    """
    said = row_scores.over_rows(
      functools.partial(self._values, params),
      rows,
      rows.tokens.shape[1],
      micro_batch_tokens=self._micro_batch_tokens,
      lengths=self._lengths,
      mesh=self._mesh,
    )
    inside = np.arange(said.shape[1]) < np.asarray(rows.length)[:, None]
    return np.where(inside, said, 0)

  def update(
    self,
    state: learner_lib.LearnerState,
    rows: types.Rows,
    returns: np.ndarray,
    values: np.ndarray,
    **options,
  ) -> tuple[learner_lib.LearnerState, dict[str, float]]:
    """Takes optimizer steps towards the returns; see `Learner.update`.

    Args:
      state: donated.
      rows: numpy rows [N, L], one for each episode.
      returns: float [E, L], by episode.
      values: float [E, L], before the update.
      **options: of `Learner.update`.
    """
    return self._learner.update(
      state, rows, {'returns': returns, 'values': values}, **options
    )


def _optimizer(options: CriticOptions) -> optax.GradientTransformation:
  return learner_lib.make_optimizer(
    learning_rate=options.learning_rate,
    weight_decay=options.weight_decay,
    clip_norm=options.clip_norm,
  )
