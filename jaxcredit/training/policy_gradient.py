"""The clipped policy-gradient loss over rows, for `learner.Learner`.

Advantages of steps stay one scalar a step until the loss: `step_of_token`
spreads them over tokens inside the compiled step. Those of tokens are laid out
as the episode's one row is.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit import options as options_lib
from jaxcredit import types
from jaxcredit.algorithms import losses
from jaxcredit.networks import config as config_lib
from jaxcredit.training import packed_rows

CREDITS_OF = ('steps', 'tokens')


@dataclasses.dataclass(frozen=True)
class LossOptions:
  """Options of the loss; see `jaxcredit.losses`.

  Attributes:
    temperature: of the sampler.
    normaliser: what 'seq-mean-token-sum-norm' divides by; rows are padded to
      several lengths, so that none of these can be taken for it.
    credit_of: whether advantages are of 'steps' [E, S] or of 'tokens' [E, L].
  """

  clip: float = options_lib.option(
    0.2,
    'Lower clip range of the probability ratio.',
    high=1.0,
    above=0.0,
  )
  clip_high: float | None = options_lib.option(
    None, 'Upper clip range; as the lower by default (DAPO: 0.28).', above=0.0
  )
  dual_clip: float = options_lib.option(
    3.0, 'Dual clip: bound on the loss of negative advantages; 0: off.', 0.0
  )
  ratio: str = options_lib.option(
    'token',
    'Unit of the probability ratio: token (released code), step (Eq. 9 of '
    'GiGPO) or sequence (GSPO).',
    choices=('token', 'step', 'sequence'),
  )
  aggregation: str = options_lib.option(
    'token-mean',
    'How token losses are averaged.',
    choices=losses.AGGREGATIONS,
  )
  kl_coefficient: float = options_lib.option(
    0.0, 'Weight of the KL divergence from the initial policy; 0: off.', 0.0
  )
  kl_estimator: str = options_lib.option(
    'k3',
    'Estimator of that divergence; k1 needs --kl_gradient=unbiased.',
    choices=losses.KL_ESTIMATORS,
  )
  kl_gradient: str = options_lib.option(
    'own',
    "Gradient of that divergence: the estimator's own (of k3 that of the "
    'opposite divergence), or that of KL(policy || initial policy), the '
    "estimator's value kept (unbiased).",
    choices=losses.KL_GRADIENTS,
  )
  entropy_coefficient: float = options_lib.option(
    0.0, 'Weight of the entropy bonus; 0: off.', 0.0
  )
  temperature: float = options_lib.internal(1.0, above=0.0)
  normaliser: float = options_lib.internal(1024.0, above=0.0)
  credit_of: str = 'steps'

  def __post_init__(self):
    options_lib.check(self)
    if self.dual_clip and self.dual_clip <= 1:
      raise ValueError(
        'dual_clip must be 0 (no bound) or above 1, the ratio that it bounds, '
        f'not {self.dual_clip}'
      )
    if (
      self.kl_coefficient
      and self.kl_estimator == 'k1'
      and self.kl_gradient == 'own'
    ):
      raise ValueError(
        'kl_estimator=k1 has a gradient of mean zero as a loss, so that '
        'kl_coefficient would not hold the policy near the initial one: take '
        'kl_estimator=k2 or k3, or kl_gradient=unbiased'
      )
    if self.credit_of not in CREDITS_OF:
      raise ValueError(
        f'credit_of must be one of {CREDITS_OF}, not {self.credit_of!r}'
      )

  @property
  def needs_all_rows(self) -> bool:
    """Whether a row without advantage has a gradient all the same."""
    return bool(self.kl_coefficient or self.entropy_coefficient)


def token_advantages(advantages: jax.Array, rows: types.Rows) -> jax.Array:
  """Spreads step advantages over the tokens that each step drew.

  Args:
    advantages: float [E, S], E = P * G episodes.
    rows: N rows of L tokens.

  Returns:
    float [N, L]; 0 for tokens that no step drew.
  """
  mask = rows.step_of_token >= 0
  episode = jnp.maximum(rows.trajectory, 0)[:, None]
  step = jnp.maximum(rows.step_of_token, 0)
  return jnp.where(mask, advantages[episode, step], 0.0)


def of_rows(values: jax.Array, rows: types.Rows) -> jax.Array:
  """Arranges per-token values of episodes like the rows of a batch.

  Args:
    values: float [E, L] of E episodes with one row each; L is at least the
      rows' own length.
    rows: N rows.

  Returns:
    float [N, l]; 0 for tokens that the policy did not draw.
  """
  length = rows.tokens.shape[1]
  if values.ndim != 2 or values.shape[1] < length:
    raise ValueError(
      f'numbers of tokens must be [E, L] with L at least {length}, the length '
      f'of the rows, not {values.shape}'
    )
  chosen = values[jnp.maximum(rows.trajectory, 0), :length]
  return jnp.where(rows.step_of_token >= 0, chosen, 0.0)


def make_denominator(aggregation: str):
  """Returns rows -> what the loss of this aggregation is divided by."""

  def denominator(rows: types.Rows) -> float:
    drawn = np.asarray(rows.step_of_token) >= 0
    if aggregation == 'token-mean':
      return float(drawn.sum())
    if aggregation == 'step-mean':
      steps = np.asarray(rows.step_of_token)
      return float(sum(len(set(s[s >= 0].tolist())) for s in steps))
    return float(drawn.any(axis=1).sum())

  return denominator


def make_loss(config: config_lib.DecoderConfig, options: LossOptions):
  """Returns the loss `(params, reference, micro_batch, advantages, weight)`.

  Its micro-batch is of `types.Rows` or of `packed_rows.PackedRows`.
  """

  spread = of_rows if options.credit_of == 'tokens' else token_advantages

  def loss(params, reference, micro_batch, advantages, weight):
    log_probs, entropy = packed_rows.log_probs(
      params, config, micro_batch, temperature=options.temperature
    )
    rows = packed_rows.one_sequence_a_row(micro_batch)
    mask = rows.step_of_token >= 0
    result = losses.policy_loss(
      log_probs,
      rows.log_probs,
      spread(advantages, rows),
      mask,
      clip=options.clip,
      clip_high=options.clip_high,
      dual_clip=options.dual_clip or None,
      ratio=options.ratio,
      aggregation=options.aggregation,
      step_of_token=rows.step_of_token,
      normaliser=options.normaliser,
      weights=rows.weights,
    )
    total = result.loss
    mean_entropy = losses.aggregate(
      entropy,
      mask,
      options.aggregation,
      step_of_token=rows.step_of_token,
      normaliser=options.normaliser,
    )
    metrics = {'policy_loss': result.loss, 'entropy': mean_entropy}
    # Means of tokens, whatever the loss is a mean of.
    count = mask.sum()
    of_tokens = {
      'clip_share': (count * result.clip_share, count),
      'approximate_kl': (count * result.approximate_kl, count),
    }
    if options.kl_coefficient:
      reference_log_probs, _ = packed_rows.log_probs(
        jax.lax.stop_gradient(reference),
        config,
        micro_batch,
        temperature=options.temperature,
      )
      kl = losses.aggregate(
        losses.kl(
          log_probs,
          reference_log_probs,
          estimator=options.kl_estimator,
          gradient=options.kl_gradient,
        ),
        mask,
        options.aggregation,
        step_of_token=rows.step_of_token,
        normaliser=options.normaliser,
      )
      metrics['kl'] = kl
      total = total + options.kl_coefficient * kl
    if options.entropy_coefficient:
      total = total - options.entropy_coefficient * mean_entropy
    metrics = {name: weight * x for name, x in metrics.items()}
    return weight * total, {**metrics, **of_tokens}

  return loss
