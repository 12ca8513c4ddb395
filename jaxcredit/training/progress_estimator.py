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

from jaxcredit import spa, types
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora
from jaxcredit.networks.heads import progress_head
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import packed_rows, policy_gradient, row_scores

TRAINED = ('full', 'head', 'lora')


@dataclasses.dataclass(frozen=True)
class EstimatorOptions:
  """Options of an estimator and of its fit.

  Attributes:
    train: what is learned, one of TRAINED.
    head: one of `progress_head.HEADS`.
    hidden: units of the MLP; 0 for the width of the trunk.
    lora_rank: of the adapters, where they are learned.
    lora_alpha: likewise.
    lora_targets: likewise.
    steps: optimizer steps at most.
    batch: episodes of a step.
    learning_rate: peak rate of AdamW.
    warmup: steps of linear warm-up.
    weight_decay: of AdamW.
    clip_norm: bound on the gradient's norm.
    held_out: share of the tasks that are held out.
    evaluate_every: steps between looks at the held-out tasks.
    patience: looks in a row without a better loss after which the fit ends; 0
      for none.
    prefix_weight: see `spa.progress_loss`; likewise the rest.
    smoothness_weight: likewise.
    monotone_weight: likewise.
  """

  train: str = 'full'
  head: str = 'mlp'
  hidden: int = 0
  lora_rank: int = 8
  lora_alpha: float = 16.0
  lora_targets: tuple[str, ...] = ('.*',)
  steps: int = 500
  batch: int = 16
  learning_rate: float = 3e-6
  warmup: int = 0
  weight_decay: float = 0.01
  clip_norm: float = 1.0
  held_out: float = 0.1
  evaluate_every: int = 50
  patience: int = 0
  prefix_weight: float = 0.0
  smoothness_weight: float = 0.0
  monotone_weight: float = 0.0

  def __post_init__(self):
    for name, allowed in (('train', TRAINED), ('head', progress_head.HEADS)):
      if getattr(self, name) not in allowed:
        raise ValueError(
          f'{name} must be one of {", ".join(allowed)}, not '
          f'{getattr(self, name)!r}'
        )
    if min(self.steps, self.batch, self.evaluate_every) < 1:
      raise ValueError(f'steps, batch and evaluate_every must be positive: '
                       f'{self}')  # fmt: skip
    if not 0 < self.held_out < 1:
      raise ValueError(f'held_out must be in (0, 1), not {self.held_out}')
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
