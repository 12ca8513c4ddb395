"""Counts what trees of answers cost against independent samples.

  python -m experiments.benchmarks.speed.tree_sampling

Each prompt gets one budget of drawn tokens. It is spent on independent answers,
and on trees whose answers branch off where the policy was least certain, drawn
again or without the parent's token, and with no node near the end. No answer is
cut short for the budget: one begins only where the budget holds all that it
might draw.

A branch point is a node of the prefix tree of a group (a prefix of its answers)
at which answers go on differently: there credit compares what followed.

The model is stories260K (flag --model; its folder in Hugging Face
form), the prompts are openings of stories. Without the model, a small one
with random weights takes its place, and the numbers say little.
"""

import pathlib
import statistics
import time

import jax
import numpy as np
from absl import app, flags

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, weights
from jaxcredit.networks.sampling import answer_trees, generation, tree_sampling
from jaxcredit.networks.tokenizers import pretrained_tokenizer

_MODEL = flags.DEFINE_string(
  'model', '../shared/data/stories260K/hf', 'Folder of stories260K.'
)
_NEW = flags.DEFINE_integer('new', 128, 'Tokens of an answer at most.', 4)
_BUDGET = flags.DEFINE_integer(
  'budget', 1024, 'Tokens drawn for a prompt at most.', 4
)
_REPEATS = flags.DEFINE_integer('repeats', 4, 'Groups of each prompt.', 1)
_BRANCHES = flags.DEFINE_integer('branches', 2, 'Branches of a round.', 1)
_SLOTS = flags.DEFINE_integer('slots', 32, 'Rows of the cache.', 1)

OPENINGS = (
  'Once upon a time', 'One day, a little boy', 'Lily was sad because',
  'The dog ran to', 'Tom and Mia found', 'In the park there was',
  'The old tree', 'Mom said',
)  # fmt: skip


def build():
  """Model, configuration, prompts and the tokens that end an answer."""
  folder = pathlib.Path(_MODEL.value)
  if (folder / 'config.json').exists():
    params, config = weights.from_pretrained(folder, compute_dtype='float32')
    tokenizer = pretrained_tokenizer.load(folder)
    # Token 1 stands between two stories.
    prompts = [[1, *tokenizer.encode(text)] for text in OPENINGS]
    print(f'stories260K, {decoder.count_parameters(params):,} parameters')
    return params, config, prompts, (1,)
  print(
    f'{folder} holds no model (give --model): random weights take its place'
  )
  config = config_lib.DecoderConfig(
    vocab_size=64, width=32, layers=2, heads=4, kv_heads=2, head_dim=8,
    hidden=64, compute_dtype='float32',
  )  # fmt: skip
  params = decoder.init(jax.random.key(0), config)
  prompts = np.random.default_rng(0).integers(2, 64, (8, 9)).tolist()
  return params, config, prompts, (1,)


def plans() -> dict[str, tree_sampling.Plan]:
  """Ways to spend the budget, by name."""
  budget, branches = _BUDGET.value, _BRANCHES.value
  return {
    # All of an answer is skipped, so that each is drawn from the prompt.
    'independent': tree_sampling.Plan(
      token_budget=budget, branches=branches, skip_first=_NEW.value
    ),
    'tree': tree_sampling.Plan(token_budget=budget, branches=branches),
    "tree, not the parent's token": tree_sampling.Plan(
      token_budget=budget, branches=branches, exclude_parent=True
    ),
    # What is left of the budget else goes to ever shorter branches.
    'the same, no node in the last quarter': tree_sampling.Plan(
      token_budget=budget,
      branches=branches,
      exclude_parent=True,
      skip_last=_NEW.value // 4,
    ),
  }


def spend(model, plan: tree_sampling.Plan):
  """Groups [P * repeats] of a plan, and what the engine did for them."""
  params, config, prompts, stop_tokens = model
  prompts = [prompt for prompt in prompts for _ in range(_REPEATS.value)]
  engine = generation.make_engine(
    params,
    config,
    max(len(prompt) for prompt in prompts),
    new_tokens=_NEW.value,
    stop_tokens=stop_tokens,
    slots=_SLOTS.value,
  )
  groups = tree_sampling.grow(
    engine,
    prompts,
    jax.random.split(jax.random.key(0), len(prompts)),
    plan=plan,
    new_tokens=_NEW.value,
  )
  return groups, engine.stats


def with_error(values) -> str:
  """Mean and standard error over groups."""
  error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0
  return f'{np.mean(values):,.1f} ({error:,.1f})'


def rows_of(groups, work) -> dict[str, str]:
  """What is to be told of a way to spend the budget."""
  points = [
    answer_trees.branch_points([a.tokens for a in group]) for group in groups
  ]
  drawn = [sum(sum(a.drawn) for a in group) for group in groups]
  whole = sum(len(a.tokens) for group in groups for a in group)
  depths = [depth for group in points for depth in group]
  distinct = [len({tuple(a.tokens) for a in group}) for group in groups]
  # A group without a branch point would have infinitely many tokens for each.
  ratio = sum(drawn) / max(len(depths), 1)
  return {
    'tokens drawn': with_error(drawn),
    'answers': with_error([len(group) for group in groups]),
    'distinct answers': with_error(distinct),
    'tokens of an answer': f'{whole / sum(map(len, groups)):,.1f}',
    'branch points': with_error([len(group) for group in points]),
    'tokens drawn for a branch point': f'{ratio:,.1f}',
    'tokens of an answer that it drew itself': (
      f'{sum(drawn) / sum(map(len, groups)):,.1f}'
    ),
    'depth of a branch point, median': f'{statistics.median(depths or [0])}',
    'deeper than 16 tokens': (
      f'{np.mean([depth > 16 for depth in depths or [0]]):.0%}'
    ),
    'tokens read for all groups': f'{work.prefilled:,}',
    'taken over from the cache': f'{work.prefix_cache_hits:,}',
  }


def main(argv):
  del argv
  model = build()
  print(
    f'{len(model[2])} prompts x {_REPEATS.value} groups, a budget of '
    f'{_BUDGET.value} tokens a group, answers of at most {_NEW.value}; means '
    '(standard errors) over groups\n'
  )
  columns = {}
  for name, plan in plans().items():
    start = time.perf_counter()
    columns[name] = rows_of(*spend(model, plan))
    seconds = time.perf_counter() - start
    print(f'{name}: {seconds:.0f} s, compilation included', flush=True)
  print(f'\n| | {" | ".join(columns)} |')
  print(f'| --- |{" ---: |" * len(columns)}')
  for row in next(iter(columns.values())):
    print(f'| {row} | {" | ".join(c[row] for c in columns.values())} |')


if __name__ == '__main__':
  app.run(main)
