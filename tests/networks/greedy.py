"""The likeliest token at each step, read into the cache one by one."""

import jax
import numpy as np

from jaxcredit.networks.sampling import sampler


def decode(
  params, config, prompts, count: int, stop_tokens=()
) -> tuple[list[list[int]], np.ndarray]:
  """Answers prompts of unlike lengths side by side.

  Args:
    params: of the decoder.
    config: of the decoder.
    prompts: tokens of each.
    count: tokens of an answer at most.
    stop_tokens: an answer ends with the first of these.

  Returns:
    The answers, and the logits [B, V] behind prompt and all of the answer but
    its last token, where no row stopped.
  """
  longest = max(len(prompt) for prompt in prompts)
  tokens = np.zeros((len(prompts), longest), np.int32)
  for row, prompt in zip(tokens, prompts, strict=True):
    row[: len(prompt)] = prompt
  lengths = np.array([len(prompt) for prompt in prompts], np.int32)
  fast = sampler.decoding_params(params)
  cache = sampler.init_cache(config, len(prompts), longest + count)
  answers: list[list[int]] = [[] for _ in prompts]
  running = [True] * len(prompts)
  for _ in range(count):
    cache, scores = sampler.extend(fast, config, cache, tokens, lengths)
    likeliest = np.asarray(scores.argmax(axis=1), np.int32)
    for i, token in enumerate(likeliest.tolist()):
      if running[i]:
        answers[i].append(token)
        running[i] = token not in stop_tokens
    if not any(running):
      break
    tokens, lengths = likeliest[:, None], np.ones_like(lengths)
  return answers, jax.device_get(scores)
