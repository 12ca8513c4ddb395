"""Our advantages in the GRPO learner of Tunix (google-tunix 0.1.7).

  pip install 'jaxcredit[tunix]'      # Python 3.12 or newer

Tunix looks up an estimator of advantages by name, and calls it with the rewards
of rows in order. `register` puts ours there:

  tunix_learner.register()
  config = grpo_learner.GRPOConfig(advantage_estimator='jaxcredit-grpo', ...)

Credit of tokens needs the tokens, which an estimator is not given: for that
there is `TokenCreditLearner`, in place of `GRPOLearner`.
"""

import threading
from collections.abc import Callable

import jax
from tunix.rl import function_registry
from tunix.rl.grpo import grpo_learner

from jaxcredit import methods
from jaxcredit.integrations import rows_in_order

# (tokens [B, L], mask [B, L], rewards [B], num_generations) -> [B, L].
TokenCredit = Callable[[jax.Array, jax.Array, jax.Array, int], jax.Array]

# Every method of the table that judges whole episodes by their rewards.
ESTIMATORS = {
  f'jaxcredit-{name}': rows_in_order.of_method(method)
  for name, method in methods.TABLE.items()
  if method.unit == 'episode' and not method.needs
}


def register() -> list[str]:
  """Makes our estimators known to Tunix.

  Returns:
    Their names, for `GRPOConfig.advantage_estimator`.
  """
  for name, function in ESTIMATORS.items():
    function_registry.register_advantage_estimator(name)(function)
  return list(ESTIMATORS)


class TokenCreditLearner(grpo_learner.GRPOLearner):
  """A GRPO learner whose advantages are those of tokens.

  It takes what `GRPOLearner` takes, and `token_credit`. The estimator of its
  configuration still runs: what it gives is what metric functions see.
  """

  def __init__(
    self,
    *args,
    token_credit: TokenCredit = rows_in_order.tempo_advantages,
    **kwargs,
  ):
    super().__init__(*args, **kwargs)
    self._token_credit = token_credit
    # Batches may be made in a thread of their own while others are evaluated.
    self._latest = threading.local()

  def _compute_rewards(self, *args, **kwargs):
    self._latest.rewards = super()._compute_rewards(*args, **kwargs)
    return self._latest.rewards

  def _generate_and_compute_advantage(self, *args, **kwargs):
    example = super()._generate_and_compute_advantage(*args, **kwargs)
    advantages = self._token_credit(
      example.completion_ids,
      example.completion_mask,
      self._latest.rewards,
      self.algo_config.num_generations,
    )
    return example.replace(advantages=advantages)
