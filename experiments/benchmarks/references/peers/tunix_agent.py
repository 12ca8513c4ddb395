"""Times google-tunix's sampler on an agent's episodes, called once a turn.

Runs in an environment of its own (Python 3.12, `pip install google-tunix`),
since its dependencies are others than ours, and imports nothing of ours:

  python sampler_speed.py --load=agent --peer_python=tunix=tunix-env/bin/python

calls it. The sampler reads the whole history of each episode again at every
turn, as its interface asks. All episodes are answered side by side. Nothing is
padded: at each turn the prompt length is exactly that of the histories, and its
compilation is left out, since all episodes are played once before those timed.
"""

import argparse
import json
import time

import jax
import numpy as np
from flax import nnx
from tunix.generate import sampler as sampler_lib
from tunix.models.qwen3 import model as qwen3


class Numbers:
  """A tokenizer of texts that are token numbers, apart by spaces."""

  def encode(self, text, **unused):
    del unused
    return [int(word) for word in text.split()]

  def decode(self, ids, **unused):
    del unused
    return ' '.join(str(int(i)) for i in ids)

  def bos_id(self):
    return 0

  def eos_id(self):
    return 1

  def pad_id(self):
    return 0


def build(args) -> sampler_lib.Sampler:
  config = qwen3.ModelConfig(
    num_layers=args.layers, vocab_size=args.vocabulary, embed_dim=args.width,
    hidden_dim=args.hidden, num_heads=args.heads, head_dim=args.head_dim,
    num_kv_heads=args.kv_heads, rope_theta=1_000_000, norm_eps=1e-6,
    use_tied_embedding=True,
  )  # fmt: skip
  row = args.task + args.turns * (args.observation + args.action)
  return sampler_lib.Sampler(
    transformer=qwen3.Qwen3(config, rngs=nnx.Rngs(0)),
    tokenizer=Numbers(),
    cache_config=sampler_lib.CacheConfig(
      cache_size=row,
      num_layers=args.layers,
      num_kv_heads=args.kv_heads,
      head_dim=args.head_dim,
    ),
  )


def play(sampler, args) -> float:
  """Plays all episodes; returns the seconds."""
  rng = np.random.default_rng(0)
  count = args.groups * args.rollouts
  tasks = rng.integers(2, args.vocabulary, (args.groups, args.task))
  observations = rng.integers(
    2, args.vocabulary, (args.turns, count, args.observation)
  )
  rows = [tasks[i // args.rollouts].tolist() for i in range(count)]
  start = time.perf_counter()
  for turn in range(args.turns):
    rows = [row + observations[turn, i].tolist() for i, row in enumerate(rows)]
    out = sampler(
      # The sampler puts its own first token in front.
      [' '.join(map(str, row[1:])) for row in rows],
      max_generation_steps=args.action,
      max_prompt_length=len(rows[0]),
      temperature=1.0,
      top_p=1.0,
      # No token ends an action early.
      eos_tokens=[args.vocabulary + 7],
      return_logprobs=True,
      seed=turn,
    )
    for row, tokens in zip(rows, out.tokens, strict=True):
      tokens = np.asarray(tokens).tolist()
      if len(tokens) != args.action:
        raise RuntimeError(f'{len(tokens)} tokens instead of {args.action}')
      row.extend(tokens)
  return time.perf_counter() - start


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  for name in (
    'layers', 'width', 'hidden', 'heads', 'kv_heads', 'head_dim', 'vocabulary',
    'groups', 'rollouts', 'turns', 'task', 'observation', 'action', 'repeats',
  ):  # fmt: skip
    parser.add_argument(f'--{name}', type=int, required=True)
  parser.add_argument('--out', required=True)
  args = parser.parse_args()
  sampler = build(args)
  play(sampler, args)
  seconds = min(play(sampler, args) for _ in range(args.repeats))
  counted = args.groups * args.rollouts * args.turns * args.action
  with open(args.out, 'w', encoding='utf-8') as file:
    json.dump(
      {
        'jax': jax.__version__,
        'seconds': seconds,
        'tokens_per_s': counted / seconds,
      },
      file,
    )


if __name__ == '__main__':
  main()
