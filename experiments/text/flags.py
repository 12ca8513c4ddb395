"""Flags that all scripts share which train a text policy.

A script adds those of its domain and its method.
"""

import math
import os
import pathlib

from absl import flags

from experiments.run import process_flags

# What scripts adopt with the flags of this file.
flags.adopt_module_key_flags(process_flags)

_RUN = flags.DEFINE_string('run', 'runs/gigpo', 'Folder of the run.')
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of everything random.')

# Policy.
_PRETRAINED = flags.DEFINE_string(
  'pretrained',
  None,
  'Model to start from: a folder in Hugging Face form (config.json, tokenizer, '
  'safetensors), a .gguf file, or a name on the hub. Qwen2.5, Qwen3 and Llama '
  'are known. Without it, a small policy is trained.',
)
_COMPUTE_DTYPE = flags.DEFINE_enum(
  'compute_dtype',
  'auto',
  ['auto', 'float32', 'bfloat16'],
  'Of activations; auto is bfloat16 for a pretrained model, else float32.',
)
_REMAT = flags.DEFINE_bool(
  'remat',
  None,
  'Compute each block again in the backward pass, which saves memory; by '
  'default for a pretrained model.',
)
_MESH_DATA = flags.DEFINE_integer(
  'mesh_data', 1, 'Devices that share out the rows of a batch.', 1
)
_MESH_FSDP = flags.DEFINE_integer(
  'mesh_fsdp', 1, 'Devices that share out rows and parameters.', 1
)
_MESH_TENSOR = flags.DEFINE_integer(
  'mesh_tensor', 1, 'Devices that share out the parts of each product.', 1
)
_LORA_RANK = flags.DEFINE_integer(
  'lora_rank',
  0,
  'Learn adapters of this rank in place of the parameters (LoRA); 0: not. The '
  'warm start learns the parameters in any case.',
  0,
)
_LORA_ALPHA = flags.DEFINE_float(
  'lora_alpha', 16.0, "The adapters' product is scaled by alpha / rank.", 1e-9
)
_LORA_TARGETS = flags.DEFINE_list(
  'lora_targets',
  ['.*'],
  'Patterns of the projections with adapters (q, k, v, o, gate, up, down).',
)
_WIDTH = flags.DEFINE_integer('width', 128, 'Width of the policy.', 1)
_LAYERS = flags.DEFINE_integer('layers', 3, 'Blocks of the policy.', 1)
_HEADS = flags.DEFINE_integer('heads', 4, 'Query heads.', 1)
_KV_HEADS = flags.DEFINE_integer('kv_heads', 2, 'Key/value heads.', 1)
_HEAD_DIM = flags.DEFINE_integer('head_dim', 32, 'Size of a head.', 2)
_HIDDEN = flags.DEFINE_integer('hidden', 384, 'Size of the linear units.', 1)
_VOCABULARY = flags.DEFINE_integer(
  'vocabulary', 1024, 'Tokens of the tokenizer that is trained.', 257
)
_FORMAT = flags.DEFINE_enum(
  'format',
  'plain',
  ['plain', 'message', 'think_action'],
  'Text form: one growing text an episode, with a prompt sign before each '
  'action (plain) or without (message); or the published prompt with think '
  'and action tags, rebuilt at each step.',
)
_REPEAT_TASK = flags.DEFINE_bool(
  'repeat_task', True, 'Write the task before each action (plain format).'
)
_HISTORY_LENGTH = flags.DEFINE_integer(
  'history_length', 2, 'Past steps in the think_action prompt.', 0
)

# Warm start.
_WARM_START_STEPS = flags.DEFINE_integer(
  'warm_start_steps', 300, 'Optimizer steps of the warm start.', 0
)
_WARM_START_BATCH = flags.DEFINE_integer(
  'warm_start_batch', 32, 'Rows (episodes) of a warm-start step.', 1
)
_WARM_START_LEARNING_RATE = flags.DEFINE_float(
  'warm_start_learning_rate', 2e-3, 'Peak learning rate of the warm start.', 0.0
)
_WARM_START_OBSERVATION_WEIGHT = flags.DEFINE_float(
  'warm_start_observation_weight',
  0.3,
  'Weight of the tokens that the game wrote in the warm start.',
  0.0,
)
_START_FROM = flags.DEFINE_string(
  'start_from',
  None,
  'Another run whose warm start to take, to compare methods.',
)

# Training.
_ITERATIONS = flags.DEFINE_integer('iterations', 100, 'Iterations.', 0)
_GROUPS = flags.DEFINE_integer('groups', 16, 'Tasks an iteration (P).', 1)
_GROUP_SIZE = flags.DEFINE_integer('group_size', 8, 'Rollouts a task (G).', 1)
_MAX_STEPS = flags.DEFINE_integer(
  'max_steps', 50, 'Steps of an episode (S).', 1
)
_MAX_NEW_TOKENS = flags.DEFINE_integer(
  'max_new_tokens', 16, 'Tokens of an answer at most.', 1
)
_ROW_TOKENS = flags.DEFINE_integer(
  'row_tokens', 1024, 'Tokens of a row at most; longer episodes end.', 16
)
_CHUNKS = flags.DEFINE_multi_integer(
  'chunk',
  [16, 64, 256, 1024, 4096],
  'Lengths that observations are padded to when they are read; each compiles '
  'once',
  1,
)
_TEMPERATURE = flags.DEFINE_float(
  'temperature', 1.0, 'Of the sampler in training.', 1e-3
)
_EVALUATION_TEMPERATURE = flags.DEFINE_float(
  'evaluation_temperature', 0.4, 'Of the sampler in evaluation.', 0.0
)
_FILTER_GROUPS = flags.DEFINE_bool(
  'filter_groups',
  False,
  'Play other tasks in place of those whose rollouts all ended alike (DAPO).',
)
_REWARD_SCALE = flags.DEFINE_float('reward_scale', 10.0, 'Reward of success.')
_INVALID_PENALTY = flags.DEFINE_float(
  'invalid_penalty', 0.1, 'What an invalid answer costs its step.', 0.0
)
_PENALISE = flags.DEFINE_enum(
  'penalise',
  'format',
  ['format', 'inadmissible'],
  'Which answers are invalid: of wrong form (published), or any that the '
  'game does not list.',
)

# Learner.
_LEARNING_RATE = flags.DEFINE_float('learning_rate', 3e-4, 'Of AdamW.', 0.0)
_WEIGHT_DECAY = flags.DEFINE_float('weight_decay', 0.01, 'Of AdamW.', 0.0)
_CLIP_NORM = flags.DEFINE_float('clip_norm', 1.0, 'Bound on the gradient.', 0.0)
_MINIBATCHES = flags.DEFINE_integer(
  'minibatches', 1, 'Optimizer steps a pass over the batch.', 1
)
_MINIBATCH_ROWS = flags.DEFINE_integer(
  'minibatch_rows', 0, 'Rows of an optimizer step, instead of --minibatches.', 0
)
_EPOCHS = flags.DEFINE_integer('epochs', 1, 'Passes over the batch.', 1)
_MICRO_BATCH_TOKENS = flags.DEFINE_integer(
  'micro_batch_tokens', 4096, 'Tokens whose gradient is computed at a time.', 1
)
_CLIP = flags.DEFINE_float('clip', 0.2, 'Lower clip range.', 0.0, 1.0)
_CLIP_HIGH = flags.DEFINE_float(
  'clip_high', None, 'Upper clip range; --clip by default (DAPO: 0.28).', 0.0
)
_DUAL_CLIP = flags.DEFINE_float(
  'dual_clip', 3.0, 'Bound for negative advantages; 0 for none.', 0.0
)
_RATIO = flags.DEFINE_enum(
  'ratio',
  'token',
  ['token', 'step', 'sequence'],
  "Unit of the probability ratio: token (released code), step (the paper's "
  'Eq. 9) or sequence (GSPO).',
)
_AGGREGATION = flags.DEFINE_enum(
  'aggregation',
  'token-mean',
  [
    'token-mean', 'seq-mean-token-sum', 'seq-mean-token-mean',
    'seq-mean-token-sum-norm', 'step-mean',
  ],
  'How token losses become one number.',
)  # fmt: skip
_KL_COEFFICIENT = flags.DEFINE_float(
  'kl_coefficient', 0.0, 'Weight of the divergence from the start.', 0.0
)
_KL_ESTIMATOR = flags.DEFINE_enum(
  'kl_estimator', 'k3', ['k1', 'k2', 'k3', 'abs'], 'Of the divergence.'
)
_ENTROPY_COEFFICIENT = flags.DEFINE_float(
  'entropy_coefficient', 0.0, 'Weight of the entropy bonus.', 0.0
)
_SKIP_LIMIT = flags.DEFINE_integer(
  'skip_limit', 3, 'Non-finite updates in a row after which the run stops.', 1
)

# Rollouts beside learning.
_OVERLAP = flags.DEFINE_bool(
  'overlap',
  False,
  'Play the next iteration while one is learned, with the parameters from '
  'before that update: one step off-policy.',
)
_OVERLAP_CORRECTION = flags.DEFINE_enum(
  'overlap_correction',
  'clipped',
  ['none', 'clipped', 'decoupled'],
  'With --overlap: the clipped ratio against the policy that played (clipped); '
  'against the one before the update, weighted with the truncated importance '
  'ratio of the two (decoupled), or not weighted (none). The last two cost '
  'another pass over the rows.',
)
_IMPORTANCE_CAP = flags.DEFINE_float(
  'importance_cap', 2.0, "Bound on the weights of 'decoupled'.", 1e-3
)

# The run itself: these may change when it is resumed.
_EVALUATE_EVERY = flags.DEFINE_integer(
  'evaluate_every', 0, 'Evaluate after so many iterations too; 0: not.', 0
)
_CHECKPOINT_EVERY = flags.DEFINE_integer(
  'checkpoint_every', 5, 'Iterations between checkpoints.', 1
)
_KEEP_CHECKPOINTS = flags.DEFINE_integer(
  'keep_checkpoints',
  2,
  'How many of the newest checkpoints stay; with 1 there is none to go back to '
  'where it is damaged.',
  1,
)
_PROFILE = flags.DEFINE_integer(
  'profile',
  0,
  'Iterations to trace with the profiler, once programs are compiled, into '
  'profile/ of the run; 0: none.',
  0,
)
_SAVE_EPISODES_EVERY = flags.DEFINE_integer(
  'save_episodes_every', 10, 'Keep the episodes of each so many iterations.', 0
)
_ENVIRONMENT_WORKERS = flags.DEFINE_integer(
  'environment_workers', 1, 'Processes that run the games.', 1
)
_STEP_TIME_LIMIT = flags.DEFINE_float(
  'step_time_limit', 10.0, 'Seconds a game may take to answer.', 0.01
)
_TENSORBOARD = flags.DEFINE_bool(
  'tensorboard', True, 'Write TensorBoard events.'
)
_COMPILATION_CACHE = flags.DEFINE_string(
  'compilation_cache',
  os.path.join('~', '.cache', 'jaxcredit', 'compiled'),
  'Folder where compiled programs are kept for later runs; empty for none.',
)

MAY_CHANGE = {
  'run', 'evaluate_every', 'checkpoint_every', 'keep_checkpoints',
  'save_episodes_every', 'environment_workers', 'step_time_limit',
  'tensorboard', 'compilation_cache', 'iterations', 'profile',
  *process_flags.NAMES,
  # Whatever the devices, the numbers are the same up to rounding.
  'mesh_data', 'mesh_fsdp',
}  # fmt: skip


@flags.validator(
  'dual_clip', message='must be 0 (no bound) or above 1, the ratio it bounds'
)
def _dual_clip_bounds(value: float) -> bool:
  return not value or value > 1


@flags.multi_flags_validator(
  ['group_size', 'iterations'],
  message='a rollout needs companions to be compared with: --group_size must '
  'be at least 2',
)
def _groups_have_companions(values: dict[str, int]) -> bool:
  return values['group_size'] > 1 or not values['iterations']


@flags.multi_flags_validator(
  ['heads', 'kv_heads'], message='--kv_heads must divide --heads'
)
def _heads_share(values: dict[str, int]) -> bool:
  return not values['heads'] % values['kv_heads']


@flags.validator('head_dim', message='must be even, for rotary positions')
def _head_is_even(value: int) -> bool:
  return not value % 2


@flags.multi_flags_validator(
  ['start_from', 'pretrained'],
  message='--start_from takes the policy of another run, so give it without '
  '--pretrained',
)
def _one_start(values: dict[str, str | None]) -> bool:
  return not (values['start_from'] and values['pretrained'])


@flags.multi_flags_validator(
  ['overlap', 'processes'],
  message='--overlap plays and learns in one process: give it without '
  '--processes',
)
def _overlap_is_of_one_process(values: dict[str, object]) -> bool:
  # What `auto` comes to is known later, and looked at then.
  return not values['overlap'] or values['processes'] in ('1', 'auto')


def _own() -> list[flags.Flag]:
  """The script's flags and those that it adopts."""
  # Every script has a --method.
  script = flags.FLAGS.find_module_defining_flag('method')
  return flags.FLAGS.get_key_flags_for_module(script)


def own() -> dict[str, object]:
  """Values of the script's flags and of those that it adopts, by name."""
  return {flag.name: flag.value for flag in _own()}


def defaults() -> dict[str, object]:
  """What the flags are that are not given, by name."""
  return {flag.name: flag.default for flag in _own()}


def expanded(path: str | None) -> str | None:
  """A shell leaves the ~ in --flag=~/folder to the program."""
  return path and os.path.expanduser(path)


def check_numbers(values: dict[str, object]) -> None:
  """Bounds let NaN through, which would spoil the run without a word."""
  for name, value in values.items():
    if isinstance(value, float) and not math.isfinite(value):
      raise ValueError(f'--{name}={value}: must be a finite number')


def folder() -> pathlib.Path:
  """The folder of the run."""
  return pathlib.Path(_RUN.value).expanduser()


def seed() -> int:
  return _SEED.value


def max_steps() -> int:
  return _MAX_STEPS.value


def settings(critic=None, **loop_options):
  """Flags as settings; imports what needs the extras.

  Args:
    critic: options of a critic, for methods that have one.
    **loop_options: further ones of `loop.LoopOptions`.
  """
  from experiments.text import policy_options
  from experiments.text import stages as text_training
  from jaxcredit.rollouts import collector, formats
  from jaxcredit.training import critic as critic_lib
  from jaxcredit.training import loop, policy_gradient

  text_format = {
    'plain': formats.Plain(_REPEAT_TASK.value),
    'message': formats.Message(),
    'think_action': formats.ThinkAction(_HISTORY_LENGTH.value),
  }[_FORMAT.value]
  return text_training.Settings(
    run=folder(),
    seed=_SEED.value,
    text_format=text_format,
    model={
      'width': _WIDTH.value,
      'layers': _LAYERS.value,
      'heads': _HEADS.value,
      'kv_heads': _KV_HEADS.value,
      'head_dim': _HEAD_DIM.value,
      'hidden': _HIDDEN.value,
    },
    policy=policy_options.PolicyOptions(
      compute_dtype=_COMPUTE_DTYPE.value,
      remat=_REMAT.value,
      mesh_data=_MESH_DATA.value,
      mesh_fsdp=_MESH_FSDP.value,
      mesh_tensor=_MESH_TENSOR.value,
      lora_rank=_LORA_RANK.value,
      lora_alpha=_LORA_ALPHA.value,
      lora_targets=tuple(_LORA_TARGETS.value),
    ),
    pretrained=expanded(_PRETRAINED.value),
    vocabulary=_VOCABULARY.value,
    warm_start_steps=_WARM_START_STEPS.value,
    warm_start_batch=_WARM_START_BATCH.value,
    warm_start_learning_rate=_WARM_START_LEARNING_RATE.value,
    warm_start_observation_weight=_WARM_START_OBSERVATION_WEIGHT.value,
    start_from=expanded(_START_FROM.value),
    iterations=_ITERATIONS.value,
    loop=loop.LoopOptions(
      seed=_SEED.value,
      groups=_GROUPS.value,
      group_size=_GROUP_SIZE.value,
      max_steps=_MAX_STEPS.value,
      temperature=_TEMPERATURE.value,
      minibatches=_MINIBATCHES.value,
      minibatch_rows=_MINIBATCH_ROWS.value,
      epochs=_EPOCHS.value,
      reward_scale=_REWARD_SCALE.value,
      invalid_penalty=_INVALID_PENALTY.value,
      penalise=_PENALISE.value,
      filter_groups=_FILTER_GROUPS.value,
      **loop_options,
    ),
    loss=policy_gradient.LossOptions(
      clip=_CLIP.value,
      clip_high=_CLIP_HIGH.value,
      dual_clip=_DUAL_CLIP.value or None,
      ratio=_RATIO.value,
      aggregation=_AGGREGATION.value,
      kl_coefficient=_KL_COEFFICIENT.value,
      kl_estimator=_KL_ESTIMATOR.value,
      entropy_coefficient=_ENTROPY_COEFFICIENT.value,
      temperature=_TEMPERATURE.value,
      normaliser=float(_ROW_TOKENS.value),
    ),
    critic=critic or critic_lib.CriticOptions(),
    limits=collector.RolloutLimits(
      steps=_MAX_STEPS.value,
      new_tokens=_MAX_NEW_TOKENS.value,
      row_tokens=_ROW_TOKENS.value,
      chunks=tuple(_CHUNKS.value),
    ),
    learning_rate=_LEARNING_RATE.value,
    weight_decay=_WEIGHT_DECAY.value,
    clip_norm=_CLIP_NORM.value,
    micro_batch_tokens=_MICRO_BATCH_TOKENS.value,
    skip_limit=_SKIP_LIMIT.value,
    evaluation_temperature=_EVALUATION_TEMPERATURE.value,
    evaluate_every=_EVALUATE_EVERY.value,
    checkpoint_every=_CHECKPOINT_EVERY.value,
    keep_checkpoints=_KEEP_CHECKPOINTS.value,
    profile=_PROFILE.value,
    save_episodes_every=_SAVE_EPISODES_EVERY.value,
    environment_workers=_ENVIRONMENT_WORKERS.value,
    step_time_limit=_STEP_TIME_LIMIT.value,
    tensorboard=_TENSORBOARD.value,
    overlap=_OVERLAP.value,
    overlap_correction=_OVERLAP_CORRECTION.value,
    importance_cap=_IMPORTANCE_CAP.value,
  )


def use_compilation_cache() -> None:
  if not _COMPILATION_CACHE.value:
    return
  import jax

  path = os.path.expanduser(_COMPILATION_CACHE.value)
  jax.config.update('jax_compilation_cache_dir', path)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
