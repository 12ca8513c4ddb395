"""Flags of exploration and of the progress estimator."""

from absl import flags

from experiments.text import flags as training_flags

# Exploration.
_EXPLORATION_TASKS = flags.DEFINE_integer(
  'exploration_tasks', 0, 'Tasks that are explored; 0: all to train on.', 0
)
_EXPLORATION_ROLLOUTS = flags.DEFINE_integer(
  'exploration_rollouts', 10, 'Rollouts of each explored task.', 1
)
_EXPLORATION_TEMPERATURE = flags.DEFINE_float(
  'exploration_temperature', 1.0, 'Of the sampler in exploration.', 1e-3
)

_ROLLOUTS_FROM = flags.DEFINE_string(
  'rollouts_from',
  None,
  'Another run whose exploration the estimator learns from, in place of one of '
  'its own.',
)

# The estimator.
_ESTIMATOR_FROM = flags.DEFINE_string(
  'estimator_from',
  None,
  'Another run whose progress estimator to take, in place of exploration and '
  'fit.',
)
_TRAIN = flags.DEFINE_enum(
  'estimator_train',
  'full',
  ['full', 'head', 'lora'],
  'What is learned: trunk and head (published), the head alone, or the head '
  'and adapters of the trunk.',
)
_HEAD = flags.DEFINE_enum(
  'estimator_head',
  'mlp',
  ['mlp', 'linear', 'logits'],
  'On the last hidden state an MLP (paper) or a linear map, or a linear map of '
  'the logits (released code).',
)
_HIDDEN = flags.DEFINE_integer(
  'estimator_hidden', 0, 'Units of the MLP; 0: the width of the policy.', 0
)
_LORA_RANK = flags.DEFINE_integer(
  'estimator_lora_rank', 8, "Rank of the estimator's adapters.", 1
)
_LORA_ALPHA = flags.DEFINE_float(
  'estimator_lora_alpha', 16.0, 'Their product is scaled by alpha / rank.', 1e-9
)
_LORA_TARGETS = flags.DEFINE_list(
  'estimator_lora_targets',
  ['.*'],
  'Patterns of the projections with adapters (q, k, v, o, gate, up, down).',
)
_STEPS = flags.DEFINE_integer(
  'estimator_steps', 500, 'Optimizer steps of the estimator at most.', 1
)
_BATCH = flags.DEFINE_integer(
  'estimator_batch', 16, 'Rollouts of an optimizer step.', 1
)
_LEARNING_RATE = flags.DEFINE_float(
  'estimator_learning_rate', 3e-4, "Peak rate of the estimator's AdamW.", 0.0
)
_WARMUP = flags.DEFINE_integer(
  'estimator_warmup', 0, 'Steps of linear warm-up.', 0
)
_WEIGHT_DECAY = flags.DEFINE_float(
  'estimator_weight_decay', 0.01, "Of the estimator's AdamW.", 0.0
)
_CLIP_NORM = flags.DEFINE_float(
  'estimator_clip_norm', 1.0, "Bound on the estimator's gradient.", 0.0
)
_HELD_OUT = flags.DEFINE_float(
  'estimator_held_out',
  0.1,
  'Share of the explored tasks on which the estimator is measured.',
  1e-6,
  1 - 1e-6,
)
_EVALUATE_EVERY = flags.DEFINE_integer(
  'estimator_evaluate_every', 50, 'Steps between two such measurements.', 1
)
_PATIENCE = flags.DEFINE_integer(
  'estimator_patience',
  3,
  'Measurements in a row without a better loss after which the fit ends; 0: '
  'it does not.',
  0,
)
_PREFIX_WEIGHT = flags.DEFINE_float(
  'estimator_prefix_weight',
  0.0,
  'Of the error of the sums up to each step, which gives a step what it '
  'changed in the expected outcome (not in the paper).',
  0.0,
)
_SMOOTHNESS_WEIGHT = flags.DEFINE_float(
  'estimator_smoothness_weight',
  0.0,
  'Of the differences of neighbouring steps (not in the paper).',
  0.0,
)
_MONOTONE_WEIGHT = flags.DEFINE_float(
  'estimator_monotone_weight',
  0.0,
  'Of negative contributions (not in the paper).',
  0.0,
)


def options():
  """Flags as `progress_training.ProgressOptions`; imports the extras."""
  from experiments.text import progress_stage as progress_training
  from jaxcredit.training import progress_estimator

  return progress_training.ProgressOptions(
    exploration_tasks=_EXPLORATION_TASKS.value,
    exploration_rollouts=_EXPLORATION_ROLLOUTS.value,
    exploration_temperature=_EXPLORATION_TEMPERATURE.value,
    rollouts_from=training_flags.expanded(_ROLLOUTS_FROM.value),
    estimator_from=training_flags.expanded(_ESTIMATOR_FROM.value),
    estimator=progress_estimator.EstimatorOptions(
      train=_TRAIN.value,
      head=_HEAD.value,
      hidden=_HIDDEN.value,
      lora_rank=_LORA_RANK.value,
      lora_alpha=_LORA_ALPHA.value,
      lora_targets=tuple(_LORA_TARGETS.value),
      steps=_STEPS.value,
      batch=_BATCH.value,
      learning_rate=_LEARNING_RATE.value,
      warmup=_WARMUP.value,
      weight_decay=_WEIGHT_DECAY.value,
      clip_norm=_CLIP_NORM.value,
      held_out=_HELD_OUT.value,
      evaluate_every=_EVALUATE_EVERY.value,
      patience=_PATIENCE.value,
      prefix_weight=_PREFIX_WEIGHT.value,
      smoothness_weight=_SMOOTHNESS_WEIGHT.value,
      monotone_weight=_MONOTONE_WEIGHT.value,
    ),
  )
