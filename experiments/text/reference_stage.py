"""The policy after the warm start, as the reference of a method."""

from collections.abc import Mapping

import jax

from jaxcredit.networks import decoder
from jaxcredit.training import loop as loop_lib
from jaxcredit.training import row_scores


class ReferenceStage:
  """Log-probabilities under the policy after the warm start."""

  name = 'reference'
  provides = frozenset({'reference'})

  def check(self, training) -> None:
    del training

  def run(
    self, training, params: decoder.Params
  ) -> Mapping[str, loop_lib.Prediction]:
    config, settings = training.config, training.settings
    temperature = settings.loop.temperature

    @jax.jit
    def log_probs(params, rows):
      return decoder.log_probs(
        params, config, rows.tokens, rows.length, temperature=temperature
      )[0]

    def reference(rows, trajectories):
      del trajectories
      return row_scores.over_rows(
        lambda part: log_probs(params, part),
        rows,
        rows.tokens.shape[1],
        **settings.scoring,
      )

    return {'reference': reference}
