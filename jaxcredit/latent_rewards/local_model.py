"""A policy of this library as the language model that writes functions."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxcredit.latent_rewards import language_model
from jaxcredit.networks import config, weights
from jaxcredit.networks.sampling import generation
from jaxcredit.networks.sampling import sampling_params as sampling
from jaxcredit.networks.tokenizers import pretrained_tokenizer

Message = language_model.Message


class LocalModel:
  """Answers with a decoder and its chat template.

  Args:
    name: of the model, for the record.
    params: of the decoder, as `decoder.init` makes them.
    config: of the decoder.
    tokenizer: with a chat template.
    new_tokens: tokens of an answer at most.
  """

  def __init__(
    self,
    name: str,
    params: dict[str, Any],
    config: config.DecoderConfig,
    tokenizer: pretrained_tokenizer.PretrainedTokenizer,
    *,
    new_tokens: int = 2_048,
  ):
    if not tokenizer.has_template:
      raise ValueError(
        f'{name}: the tokenizer has no chat template; take a model that was '
        'trained to follow instructions'
      )
    self.name = name
    self._params = params
    self._config = config
    self._tokenizer = tokenizer
    self._new_tokens = new_tokens

  def complete(
    self, messages: Sequence[Message], n: int, temperature: float, seed: int
  ) -> list[str]:
    """See `language_model.LanguageModel`."""
    prompt = self._tokenizer.encode_chat(messages)
    completions = generation.generate(
      self._params,
      self._config,
      [prompt] * n,
      jax.random.split(jax.random.key(seed), n),
      new_tokens=self._new_tokens,
      sampling_params=sampling.SamplingParams(temperature),
      stop_tokens=self._tokenizer.stop_ids,
      tokenizer=self._tokenizer,
      slots=n,
    )
    return [completion.text for completion in completions]


def load(path_or_name: str, *, new_tokens: int = 2_048) -> LocalModel:
  """Reads a model.

  Args:
    path_or_name: a folder in Hugging Face form, a .gguf file, or a hub's name.
    new_tokens: tokens of an answer at most.

  Raises:
    FileNotFoundError: it is not there.
    ValueError: it cannot be read, or has no chat template.
  """
  tokenizer = pretrained_tokenizer.load(path_or_name)
  params, read = weights.from_pretrained(path_or_name)
  return LocalModel(
    str(path_or_name), params, read, tokenizer, new_tokens=new_tokens
  )
