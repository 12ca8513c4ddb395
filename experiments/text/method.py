"""How credit is given, and what a run writes down of it."""

from typing import Any, Protocol

from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.training import loop as loop_lib


class Method(Protocol):
  """A method as the training takes it.

  Attributes:
    credit_of: 'steps' or 'tokens'.
    credit: for `loop.Loop`, where credit is of steps; else None.
    token_credit: where it is of tokens; else None.
    needs_critic: whether it takes a critic's values.
    carried: what `token_credit` hands on from one iteration to the next, as it
      begins: a dict of arrays, empty for most; only beside a critic.
    record_files: names of the files that `records` writes.
  """

  credit_of: str
  credit: loop_lib.Credit | None
  token_credit: loop_lib.TokenCredit | None
  needs_critic: bool
  carried: dict[str, Any]
  record_files: tuple[str, ...]

  def metrics(self, batch: loop_lib.Batch) -> dict[str, Any]:
    """Figures of an iteration beside those of the loop."""
    ...

  def records(
    self,
    iteration: int,
    batch: loop_lib.Batch,
    tokenizer: tokenizer_lib.Tokenizer,
    group_size: int,
  ) -> dict[str, list[dict[str, Any]]]:
    """What is kept of an iteration: file name -> records."""
    ...
