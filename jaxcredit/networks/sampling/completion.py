"""What an engine gives back: completions, and counts of its work."""

import dataclasses
from collections.abc import Hashable


@dataclasses.dataclass(frozen=True)
class Completion:
  """What the policy generated behind a row's tokens.

  Attributes:
    name: of the row; with `generation.generate`, the prompt's index.
    tokens: generated tokens, those that end the completion included.
    log_probs: of the tokens under the sampling distribution.
    policy_log_probs: of the tokens under the policy itself, at temperature 1.
    entropies: of the policy itself where it sampled each token, in nats.
    end: 'stop token', 'stop string', or 'length'.
    support: for each token those among which it was sampled; None without
      `SamplingParams.max_support`.
    text: of the completion, without the stop token, and without the stop string
      and what follows it in its token; None where no tokenizer was given.
    free_log_probs: as `log_probs`, had no token been excluded; None where none
      could be.
  """

  name: Hashable
  tokens: list[int]
  log_probs: list[float]
  policy_log_probs: list[float]
  entropies: list[float]
  end: str
  support: list[list[int]] | None = None
  text: str | None = None
  free_log_probs: list[float] | None = None


@dataclasses.dataclass
class EngineStats:
  """Counts of what an engine has done.

  Attributes:
    prefilled: tokens read before completions, each as often as it was read.
    prefix_cache_hits: tokens at the head of new rows that were not read, since
      another row had begun with the same tokens.
    generated: sampled tokens.
    calls: compiled calls that sampled them.
  """

  prefilled: int = 0
  prefix_cache_hits: int = 0
  generated: int = 0
  calls: int = 0
