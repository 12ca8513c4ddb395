"""Answers to many prompts, a few at a time."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcredit.networks import config as config_lib
from jaxcredit.networks.sampling import engine as engine_lib
from jaxcredit.networks.sampling import sampler, stop_strings
from jaxcredit.networks.sampling import sampling_params as sampling
from jaxcredit.networks.sampling import slots as slots_lib


@dataclasses.dataclass(frozen=True)
class Completion:
  """The answer to a prompt.

  Attributes:
    tokens: that were drawn, those that end the answer included.
    log_probs: of the tokens under the sampling distribution.
    policy_log_probs: of the tokens under the policy itself, at temperature 1.
    end: 'stop token', 'stop string', or 'length'.
    text: of the answer, without stop token and without the stop string and
      what follows it in its token; None where no tokenizer was given.
  """

  tokens: list[int]
  log_probs: list[float]
  policy_log_probs: list[float]
  end: str
  text: str | None


def make_engine(
  params: dict[str, Any],
  config: config_lib.DecoderConfig,
  prompt_tokens: int,
  *,
  new_tokens: int,
  strings: Sequence[str] = (),
  tokenizer: Any = None,
  slots: int = 32,
  **options,
) -> engine_lib.Engine:
  """An engine for prompts of some length.

  Args:
    params: of the decoder, as `decoder.init` makes them.
    config: of the decoder.
    prompt_tokens: of the longest prompt.
    new_tokens: tokens of an answer at most.
    strings: texts that end an answer, wherever they lie among tokens.
    tokenizer: knows the texts of tokens; stop strings need it.
    slots: prompts that are answered at the same time.
    **options: further ones of `engine.Engine`.

  Raises:
    ValueError: stop strings without a tokenizer, or an option that makes no
      sense.
  """
  if strings and tokenizer is None:
    raise ValueError(
      f'stop strings ({list(strings)}) need the tokenizer: give tokenizer='
    )
  stops = None
  if strings:
    pieces = stop_strings.token_bytes(tokenizer, config.vocab_size)
    stops = stop_strings.compile_table(strings, pieces, config.vocab_size)
  longest = prompt_tokens + new_tokens
  # Prompts of other lengths shall not need another size of the cache.
  sizes = slots_lib.capacities_for(2 * longest + 64)
  return engine_lib.Engine(
    sampler.decoding_params(params),
    config,
    slots=slots,
    row_tokens=slots_lib.bucket(longest, sizes),
    new_tokens=new_tokens,
    stops=stops,
    **options,
  )


def generate(
  params: dict[str, Any],
  config: config_lib.DecoderConfig,
  prompts: Sequence[Sequence[int]],
  keys: jax.Array,
  *,
  new_tokens: int,
  how: sampling.Sampling | None = None,
  stop_tokens: Sequence[int] = (),
  strings: Sequence[str] = (),
  tokenizer: Any = None,
  slots: int = 32,
  on_answer: Callable[[int], None] | None = None,
  **options,
) -> list[Completion]:
  """Answers prompts by continuous batching.

  Prompts that begin alike are read once: give the rollouts of a group side by
  side. An answer depends on its prompt and its key alone, not on the others nor
  on the number of slots, up to ties within the rounding of the logits.

  Args:
    params: of the decoder, as `decoder.init` makes them.
    config: of the decoder.
    prompts: tokens of each of N prompts, at least one.
    keys: random keys [N].
    new_tokens: tokens of an answer at most.
    how: the sampling distribution; temperature 1 by default.
    stop_tokens: tokens that end an answer.
    strings: texts that end an answer, wherever they lie among tokens.
    tokenizer: decodes the answers; stop strings need it.
    slots: prompts that are answered at the same time.
    on_answer: called with the number of answers that just ended.
    **options: further ones of `engine.Engine`.

  Returns:
    N completions in the order of the prompts.

  Raises:
    ValueError: stop strings without a tokenizer, an empty prompt, a token
      outside the vocabulary, or a value of `how` that makes no sense.
  """
  if not len(prompts):
    return []
  engine = make_engine(
    params,
    config,
    max(len(prompt) for prompt in prompts),
    new_tokens=new_tokens,
    strings=strings,
    tokenizer=tokenizer,
    slots=slots,
    how=how,
    stop_tokens=stop_tokens,
    **options,
  )
  engine.submit(range(len(prompts)), prompts, keys)
  found: dict[int, Completion] = {}
  while engine.answering:
    answers = engine.step()
    for answer in answers:
      engine.release(answer.name)
      found[answer.name] = Completion(
        answer.tokens,
        answer.log_probs,
        answer.policy_log_probs,
        answer.end,
        tokenizer and text_of(answer, tokenizer, strings),
      )
    if on_answer is not None and answers:
      on_answer(len(answers))
  return [found[i] for i in range(len(prompts))]


def text_of(
  answer: engine_lib.Answer | Completion,
  tokenizer: Any,
  strings: Sequence[str] = (),
  *,
  keep: bool = False,
) -> str:
  """The text of an answer.

  Args:
    answer: with its tokens and how it ended.
    tokenizer: decodes them.
    strings: that could have ended it.
    keep: whether the stop string stays; what follows it never does.

  Returns:
    The text without the stop token.
  """
  tokens = answer.tokens
  if answer.end == 'stop token':
    tokens = tokens[:-1]
  text = tokenizer.decode(tokens)
  if answer.end == 'stop string':
    if not any(string in text for string in strings):
      # Decoders of the SentencePiece kind drop the space in front of a text.
      text = f' {text}'
    return stop_strings.cut(text, strings, keep=keep)
  return text
