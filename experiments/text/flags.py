"""Flags of the scripts that train a text policy.

They are made from the dataclasses of options, which hold defaults, bounds and
help texts. A script adopts them with the flags of its domain and method.
"""

import os

from absl import flags

from experiments.run import option_flags, script
from experiments.text import policy_options, settings
from jaxcredit.networks.sampling import tree_sampling
from jaxcredit.rollouts import collector
from jaxcredit.training import critic, loop, policy_gradient

# What scripts adopt with the flags of this file.
flags.adopt_module_key_flags(script)

_SEED = flags.DEFINE_integer('seed', 0, 'Seed of all randomness.', 0)
_PRETRAINED = flags.DEFINE_string(
  'pretrained',
  None,
  'Model to start from: a folder in Hugging Face form (config.json, tokenizer, '
  'safetensors), a .gguf file, or a name on the hub. Qwen2.5, Qwen3 and Llama '
  'are known. Without it, a small policy is trained.',
)
_START_FROM = flags.DEFINE_string(
  'start_from',
  None,
  'Another run whose warm start is used, to compare methods.',
)
_VOCABULARY = flags.DEFINE_integer(
  'vocabulary', 1024, 'Size of the tokenizer that is trained.', 257
)
_MAX_STEPS = flags.DEFINE_integer(
  'max_steps', 50, 'Steps of an episode at most.', 1
)
_MAX_NEW_TOKENS = flags.DEFINE_integer(
  'max_new_tokens', 16, 'Tokens of a completion at most.', 1
)
_ROW_TOKENS = flags.DEFINE_integer(
  'row_tokens', 1024, 'Tokens of a row at most; longer episodes end.', 16
)
_CHUNKS = flags.DEFINE_multi_integer(
  'chunk',
  [16, 64, 256, 1024, 4096],
  'Lengths to which observations are padded in the prefill; each compiles '
  'once.',
  1,
)
_EVALUATION_TEMPERATURE = flags.DEFINE_float(
  'evaluation_temperature',
  0.4,
  'Temperature of the sampler in evaluation; 0 takes the likeliest token.',
  0.0,
)

FORMAT = option_flags.define(settings.FormatOptions)
SIZES = option_flags.define(policy_options.SizeOptions)
POLICY = option_flags.define(policy_options.PolicyOptions)
_WARM_START = option_flags.define(
  settings.WarmStartOptions, prefix='warm_start_'
)
_LOOP = option_flags.define(loop.LoopOptions)
_LOSS = option_flags.define(policy_gradient.LossOptions)
_CRITIC = option_flags.define(
  critic.CriticOptions,
  names={'learning_rate': 'critic_learning_rate', 'clip': 'value_clip'},
)
_LEARNER = option_flags.define(settings.LearnerOptions)
_OVERLAP = option_flags.define(settings.OverlapOptions)
_RUN = option_flags.define(settings.RunOptions)

# How the completions of a group are sampled.
_SAMPLER = flags.DEFINE_enum(
  'sampler',
  'independent',
  ['independent', 'tree'],
  'Independent completions, or a tree, in which completions branch off each '
  'other where the policy is least certain.',
)
_TREE_FIRST = flags.DEFINE_integer(
  'tree_first', 1, 'Completions of a tree that begin at the prompt.', 1
)
_TREE_BRANCHES = flags.DEFINE_integer(
  'tree_branches', 1, 'Completions that branch off at the same time.', 1
)
_TREE_EXCLUDE_PARENT = flags.DEFINE_bool(
  'tree_exclude_parent',
  False,
  "A branch cannot begin with its parent's next token.",
)
_TREE_SKIP_LAST = flags.DEFINE_integer(
  'tree_skip_last', 1, 'Last tokens of a completion without branches.', 0
)
_TREE_TOKENS = flags.DEFINE_enum(
  'tree_tokens',
  'drawn',
  ['drawn', 'all'],
  'Learn a shared token only in the completion that sampled it, or in all that '
  'share it.',
)

# Whatever the devices, the numbers are the same up to rounding.
MAY_CHANGE = {'mesh_data', 'mesh_fsdp'} | {
  holder.name for holder in _RUN.holders.values()
}


def expanded(path: str | None) -> str | None:
  """Expands ~, which shells do not expand in --flag=~/folder."""
  return path and os.path.expanduser(path)


def _tree() -> tree_sampling.Plan | None:
  if _SAMPLER.value != 'tree':
    return None
  if _MAX_STEPS.value != 1:
    raise ValueError(
      'a tree grows from one question: --sampler=tree needs --max_steps=1'
    )
  group_size = _LOOP.holders['group_size'].value
  if _TREE_FIRST.value > group_size:
    raise ValueError(
      f'--tree_first={_TREE_FIRST.value} must not be more than '
      f'--group_size={group_size}'
    )
  return tree_sampling.Plan(
    first=_TREE_FIRST.value,
    branches=_TREE_BRANCHES.value,
    exclude_parent=_TREE_EXCLUDE_PARENT.value,
    skip_last=_TREE_SKIP_LAST.value,
  )


def max_steps() -> int:
  """Steps of an episode."""
  return _MAX_STEPS.value


def seed() -> int:
  """Seed of the run."""
  return _SEED.value


def read() -> settings.Settings:
  """Flags as settings.

  Raises:
    ValueError: values that do not go together.
  """
  loop_options = _LOOP.read(
    seed=_SEED.value,
    max_steps=_MAX_STEPS.value,
    new_tokens=_MAX_NEW_TOKENS.value,
    tree=_tree(),
    learn_shared_prefix=_TREE_TOKENS.value == 'all',
  )
  return settings.Settings(
    seed=_SEED.value,
    pretrained=expanded(_PRETRAINED.value),
    start_from=expanded(_START_FROM.value),
    vocabulary=_VOCABULARY.value,
    evaluation_temperature=_EVALUATION_TEMPERATURE.value,
    format=FORMAT.read(),
    sizes=SIZES.read(),
    policy=POLICY.read(),
    warm_start=_WARM_START.read(),
    loop=loop_options,
    loss=_LOSS.read(
      temperature=loop_options.temperature,
      normaliser=float(_ROW_TOKENS.value),
    ),
    critic=_CRITIC.read(),
    limits=collector.RolloutLimits(
      steps=_MAX_STEPS.value,
      new_tokens=_MAX_NEW_TOKENS.value,
      row_tokens=_ROW_TOKENS.value,
      chunks=tuple(_CHUNKS.value),
    ),
    learner=_LEARNER.read(),
    overlap=_OVERLAP.read(),
    run=_RUN.read(),
  )
