"""Corrections for rows that another policy drew than that before the update.

With pi_behaviour, which drew the tokens, pi_prox, the policy before the update,
and pi, the one that is updated:

  'clipped'    the ratio of the clipped loss is pi / pi_behaviour: staleness
               uses up a part of the clip range
  'decoupled'  the ratio is pi / pi_prox, and each token's loss is weighted with
               min(pi_prox / pi_behaviour, cap) (Hilton et al. 2022, arXiv
               2110.00641; AReaL, arXiv 2505.24298)
  'none'       the ratio is pi / pi_prox, without the weight: rows are taken for
               those of the policy before the update
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcredit import types
from jaxcredit.algorithms import losses
from jaxcredit.networks import config as config_lib
from jaxcredit.training import packed_rows, row_scores

CORRECTIONS = ('none', 'clipped', 'decoupled')


def ratio_figures(
  proximal: np.ndarray, behaviour: np.ndarray, drawn: np.ndarray, cap: float
) -> dict[str, float]:
  """How far the policy has moved since tokens were drawn.

  Args:
    proximal: float [N, L], log-probabilities before the update.
    behaviour: float [N, L], when they were drawn.
    drawn: bool [N, L].
    cap: beyond which a ratio counts as truncated.

  Returns:
    Of the ratios pi_prox / pi_behaviour of the drawn tokens: their mean, which
    is 1 in expectation, standard deviation and maximum; the share above the
    cap; and the effective share of the sample, (sum w)^2 / (n sum w^2). Empty
    where nothing was drawn.
  """
  if not drawn.any():
    return {}
  difference = proximal[drawn].astype(np.float64) - behaviour[drawn]
  ratio = np.exp(np.clip(difference, -20, 20))
  return {
    'stale_ratio': float(ratio.mean()),
    'stale_ratio_deviation': float(ratio.std()),
    'stale_ratio_maximum': float(ratio.max()),
    'stale_ratio_truncated': float((ratio > cap).mean()),
    'effective_sample_share': float(
      ratio.sum() ** 2 / (ratio.size * (ratio**2).sum())
    ),
  }


class Correction:
  """Prepares rows for the loss, as `loop.Loop` asks for it.

  Args:
    config: of the decoder.
    kind: one of CORRECTIONS.
    cap: of the weights of 'decoupled'.
    ratio: the loss's unit of the probability ratio, which is that of the
      weights.
    temperature: of the sampler.
    micro_batch_tokens: tokens that are scored at a time.
    lengths: row lengths that may occur.
    mesh: devices; None for one.

  Raises:
    ValueError: an unknown kind, or a cap that is not positive.
  """

  def __init__(
    self,
    config: config_lib.DecoderConfig,
    kind: str,
    *,
    cap: float = 2.0,
    ratio: str = 'token',
    temperature: float = 1.0,
    micro_batch_tokens: int,
    lengths: Sequence[int],
    mesh: jax.sharding.Mesh | None = None,
  ):
    if kind not in CORRECTIONS:
      raise ValueError(
        f'the correction must be one of {", ".join(CORRECTIONS)}, not {kind!r}'
      )
    if not cap > 0:
      raise ValueError(f'cap must be above 0, not {cap}')
    self._kind = kind
    self._cap = cap
    self._ratio = ratio
    self._scoring = {
      'micro_batch_tokens': micro_batch_tokens,
      'lengths': sorted(lengths),
      'mesh': mesh,
    }
    self._log_probs = jax.jit(
      lambda params, rows: packed_rows.log_probs(
        params, config, rows, temperature=temperature
      )[0]
    )

  def __call__(
    self, params: Any, rows: types.Rows
  ) -> tuple[types.Rows, dict[str, float]]:
    """Rows as the loss takes them.

    Args:
      params: that would play now, before the update.
      rows: numpy rows [N, L] with the log-probabilities of the sampler.

    Returns:
      The rows, and figures of the ratios; no figures of 'clipped', which needs
      no pass over the rows.
    """
    if self._kind == 'clipped':
      return rows, {}
    drawn = np.asarray(rows.step_of_token) >= 0
    proximal = row_scores.over_rows(
      lambda part: self._log_probs(params, part),
      rows,
      rows.tokens.shape[1],
      **self._scoring,
    )
    proximal = np.where(drawn, proximal, 0).astype(rows.log_probs.dtype)
    weights = None
    if self._kind == 'decoupled':
      weights = np.asarray(
        losses.importance_weights(
          proximal,
          rows.log_probs,
          drawn,
          cap=self._cap,
          ratio=self._ratio,
          step_of_token=rows.step_of_token,
        )
      )
    taken = drawn & (np.asarray(rows.trajectory) >= 0)[:, None]
    figures = ratio_figures(proximal, rows.log_probs, taken, self._cap)
    rows = dataclasses.replace(rows, log_probs=proximal, weights=weights)
    return rows, figures
