"""Answers to many prompts, a few at a time."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcredit.networks import config as config_lib
from jaxcredit.networks.sampling import completion as completion_lib
from jaxcredit.networks.sampling import engine as engine_lib
from jaxcredit.networks.sampling import sampler, stop_strings
from jaxcredit.networks.sampling import sampling_params as sampling
from jaxcredit.networks.sampling import slots as slots_lib

Completion = completion_lib.Completion


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
    tokenizer: knows the texts of tokens; stop strings need it. With it, tokens
      of the model that it does not have are never sampled.
    slots: prompts that are answered at the same time.
    **options: further ones of `engine.Engine`.

  Raises:
    ValueError: stop strings without a tokenizer, a tokenizer of another model,
      rows beyond the model's positions, or an option that makes no sense.
  """
  if strings and tokenizer is None:
    raise ValueError(
      f'stop strings ({list(strings)}) need the tokenizer: give tokenizer='
    )
  if hasattr(tokenizer, 'vocab_size'):
    config = config.for_tokenizer(tokenizer.vocab_size)
  stops = None
  if strings:
    pieces = stop_strings.token_bytes(tokenizer, config.vocab_size)
    stops = stop_strings.compile_table(strings, pieces, config.vocab_size)
  longest = prompt_tokens + new_tokens
  config.check_positions(
    longest, f'a row, {prompt_tokens} tokens with {new_tokens} new ones,'
  )
  # Prompts of other lengths shall not need another size of the cache.
  sizes = slots_lib.capacities_for(2 * longest + 64)
  row_tokens = min(slots_lib.bucket(longest, sizes), config.positions)
  return engine_lib.Engine(
    sampler.decoding_params(params),
    config,
    slots=slots,
    row_tokens=row_tokens,
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
  sampling_params: sampling.SamplingParams | None = None,
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
    sampling_params: the sampling distribution; temperature 1 by default.
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
      outside the vocabulary, or sampling parameters that make no sense.
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
    sampling_params=sampling_params,
    stop_tokens=stop_tokens,
    **options,
  )
  engine.submit(range(len(prompts)), prompts, keys)
  found: dict[int, Completion] = {}
  while engine.answering:
    completions = engine.step()
    for completion in completions:
      engine.release(completion.name)
      found[completion.name] = dataclasses.replace(
        completion,
        text=tokenizer and text_of(completion, tokenizer, strings),
      )
    if on_answer is not None and completions:
      on_answer(len(completions))
  return [found[i] for i in range(len(prompts))]


def text_of(
  answer: Completion,
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
