"""SPA's progress estimator and what of it is learned (arXiv 2505.20732).

The estimator says of every step what it contributed; the contributions of an
episode shall sum to its outcome (`spa.progress_loss`).

What is learned: all of the trunk and the head ('full', the paper), the head
alone ('head'), or the head and adapters of the trunk ('lora'). In the last two
the trunk is an argument of the loss and no part of what is learned: it has
neither gradient nor optimizer state.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit import options as options_lib
from jaxcredit import spa, types
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora
from jaxcredit.networks.heads import progress_head
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import packed_rows, policy_gradient, row_scores

TRAINED = ('full', 'head', 'lora')


@dataclasses.dataclass(frozen=True)
class EstimatorOptions:
  """Options of an estimator and of its fit."""

  train: str = options_lib.option(
    'full',
    'What is learned: trunk and head (published), the head, or the head and '
    'adapters of the trunk.',
    choices=TRAINED,
  )
  head: str = options_lib.option(
    'mlp',
    'On the last hidden state an MLP (paper) or a linear map, or a linear map '
    'of the logits (released code).',
    choices=progress_head.HEADS,
  )
  hidden: int = options_lib.option(
    0, 'Units of the MLP; 0 for the width of the policy.', 0
  )
  lora_rank: int = options_lib.option(8, "Rank of the estimator's adapters.", 1)
  lora_alpha: float = options_lib.option(
    16.0, 'Their product is scaled by alpha / rank.', above=0.0
  )
  lora_targets: tuple[str, ...] = options_lib.option(
    ('.*',),
    'Patterns of the projections with adapters (q, k, v, o, gate, up, down).',
  )
  steps: int = options_lib.option(
    500, 'Optimizer steps of the estimator at most.', 1
  )
  batch: int = options_lib.option(16, 'Rollouts of an optimizer step.', 1)
  learning_rate: float = options_lib.option(
    3e-4, "Peak learning rate of the estimator's AdamW.", above=0.0
  )
  warmup: int = options_lib.option(0, 'Steps of linear warm-up; 0 for none.', 0)
  weight_decay: float = options_lib.option(
    0.01, "Weight decay of the estimator's AdamW; 0 for none.", 0.0
  )
  clip_norm: float = options_lib.option(
    1.0, "Bound on the norm of the estimator's gradient.", above=0.0
  )
  held_out: float = options_lib.option(
    0.1,
    'Share of the explored tasks on which the estimator is measured.',
    high=1 - 1e-6,
    above=0.0,
  )
  evaluate_every: int = options_lib.option(
    50, 'Steps between two such measurements.', 1
  )
  patience: int = options_lib.option(
    3,
    'Measurements in a row without a better loss after which the fit ends; 0 '
    'for no such end.',
    0,
  )
  prefix_weight: float = options_lib.option(
    0.0,
    'Weight of the error of the sums up to each step, which gives a step what '
    'it changed in the expected outcome (not in the paper).',
    0.0,
  )
  smoothness_weight: float = options_lib.option(
    0.0,
    'Weight of the differences of neighbouring steps (not in the paper).',
    0.0,
  )
  monotone_weight: float = options_lib.option(
    0.0, 'Weight of negative contributions (not in the paper).', 0.0
  )

  def __post_init__(self):
    options_lib.check(self)
    # What is wrong with the adapters shows now, not when they are made.
    _ = self.lora

  @property
  def lora(self) -> lora.LoraOptions | None:
    """Options of the adapters; None where there are none."""
    if self.train != 'lora':
      return None
    return lora.LoraOptions(self.lora_rank, self.lora_alpha, self.lora_targets)


class ProgressEstimator:
  """Contributions of steps, and how they are learned.

  Args:
    config: of the trunk.
    options: of the estimator.
    base: parameters of the policy that it begins with; they are kept.
    steps: S, of an episode.
    micro_batch_tokens: tokens that are computed at a time.
    lengths: row lengths that may occur.
    skip_limit: see `learner.Learner`; likewise the rest.
    sequences_per_row: likewise.
    mesh: devices; None for one.
  """

  def __init__(
    self,
    config: config_lib.DecoderConfig,
    options: EstimatorOptions,
    base: decoder.Params,
    *,
    steps: int,
    micro_batch_tokens: int,
    lengths: Sequence[int],
    skip_limit: int = 3,
    sequences_per_row: int = 1,
    mesh: jax.sharding.Mesh | None = None,
  ):
    self.config = config
    self.options = options
    self._base = base
    self._steps = steps
    self._over_rows = functools.partial(
      row_scores.over_rows,
      micro_batch_tokens=micro_batch_tokens,
      lengths=sorted(lengths),
      mesh=mesh,
    )
    self.learner = learner_lib.Learner(
      self._loss,
      policy_gradient.make_denominator('seq-mean-token-sum'),
      learner_lib.make_optimizer(
        learning_rate=options.learning_rate,
        warmup=options.warmup,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
      ),
      micro_batch_tokens=micro_batch_tokens,
      lengths=lengths,
      skip_limit=skip_limit,
      sequences_per_row=sequences_per_row,
      mesh=mesh,
    )
    self._contributions = jax.jit(
      lambda learned, base, rows: packed_rows.apply(
        progress_head.contributions,
        self._whole(learned, base),
        config,
        rows,
        steps=steps,
      )
    )

  @property
  def reference(self) -> decoder.Params | None:
    """The trunk, where it is not learned."""
    return None if self.options.train == 'full' else self._base

  def init(self, key: jax.Array) -> Any:
    """What is learned, before it is."""
    options = self.options
    head_key, adapter_key = jax.random.split(key)
    head = progress_head.init_head(
      head_key, self.config, head=options.head, hidden=options.hidden or None
    )
    learned = {'progress': head}
    if options.train == 'full':
      trunk = progress_head.trunk_of(self._base, head)
      # The learner takes the buffers over, and the policy needs its own.
      learned['trunk'] = jax.tree.map(jnp.copy, trunk)
    elif options.train == 'lora':
      learned['trunk'] = lora.init(adapter_key, self._base, options.lora)
    return self.learner.place(learned)

  def _whole(self, learned, base):
    """Parameters for `progress_head.contributions`."""
    if self.options.train == 'full':
      return learned
    trunk = jax.lax.stop_gradient(base)
    if self.options.train == 'lora':
      trunk = lora.apply(trunk, learned['trunk'], self.options.lora)
    return {'progress': learned['progress'], 'trunk': trunk}

  def _loss(self, learned, base, micro_batch, outcome, weight):
    options = self.options
    given = packed_rows.apply(
      progress_head.contributions,
      self._whole(learned, base),
      self.config,
      micro_batch,
      steps=self._steps,
    )
    mask = packed_rows.step_ends(micro_batch, self._steps) >= 0
    rows = packed_rows.one_sequence_a_row(micro_batch)
    result = spa.progress_loss_parts(
      given,
      outcome[jnp.maximum(rows.trajectory, 0)],
      mask,
      prefix_weight=options.prefix_weight,
      smoothness_weight=options.smoothness_weight,
      monotone_weight=options.monotone_weight,
    )
    return weight * result.loss, {
      'regression_loss': weight * result.regression,
      'within_tolerance': weight * result.accuracy,
    }

  def contributions(self, learned: Any, rows: types.Rows) -> np.ndarray:
    """What the steps of episodes contributed.

    Args:
      learned: as `init` or `fit` gives it.
      rows: numpy rows [N, L], one for each episode, empty where it was lost.

    Returns:
      float32 [N, S]; 0 where there is no step. For trajectories [P, G, S] of
      P * G rows it is reshaped.
    """
    return self._over_rows(
      functools.partial(self._contributions, learned, self.reference),
      rows,
      self._steps,
    )
