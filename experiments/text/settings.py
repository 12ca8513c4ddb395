"""The settings of a training of a text policy, but its domain and method."""

import dataclasses

from experiments.text import policy_options
from jaxcredit import options as options_lib
from jaxcredit.rollouts import collector, formats
from jaxcredit.training import critic, loop, off_policy, policy_gradient


@dataclasses.dataclass(frozen=True)
class FormatOptions:
  """The form of the text that a policy reads and writes."""

  format: str = options_lib.option(
    'plain',
    'Text form: one growing text an episode, with a prompt sign before each '
    'action (plain) or without (message); or the published prompt with think '
    'and action tags, rebuilt at each step.',
    choices=('plain', 'message', 'think_action'),
  )
  repeat_task: bool = options_lib.option(
    True, 'Write the task before each action (plain format).'
  )
  history_length: int = options_lib.option(
    2, 'Past steps in the think_action prompt.', 0
  )

  __post_init__ = options_lib.check

  def text_format(self) -> formats.Format:
    """The format that the options describe."""
    if self.format == 'plain':
      return formats.Plain(self.repeat_task)
    if self.format == 'message':
      return formats.Message()
    return formats.ThinkAction(self.history_length)


@dataclasses.dataclass(frozen=True)
class WarmStartOptions:
  """The supervised warm start, by imitation of an expert."""

  steps: int = options_lib.option(
    300, 'Optimizer steps of the warm start (imitation).', 0
  )
  batch: int = options_lib.option(
    32, 'Rows (episodes) of a warm-start step.', 1
  )
  learning_rate: float = options_lib.option(
    2e-3, 'Peak learning rate of the warm start.', 0.0
  )
  observation_weight: float = options_lib.option(
    0.3,
    'Weight of the tokens that the environment wrote in the warm start.',
    0.0,
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class LearnerOptions:
  """The optimizer, and how gradients are computed."""

  learning_rate: float = options_lib.option(
    3e-4, 'Learning rate of AdamW.', 0.0
  )
  weight_decay: float = options_lib.option(0.01, 'Weight decay of AdamW.', 0.0)
  clip_norm: float = options_lib.option(
    1.0, "Bound on the gradient's norm.", 0.0
  )
  micro_batch_tokens: int = options_lib.option(
    4096, 'Tokens whose gradient is computed at a time.', 1
  )
  skip_limit: int = options_lib.option(
    3, 'Non-finite updates in a row after which the run stops.', 1
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class OverlapOptions:
  """Rollouts beside learning."""

  overlap: bool = options_lib.option(
    False,
    'Play the next iteration while one is learned, with the parameters from '
    'before that update: one step off-policy.',
  )
  overlap_correction: str = options_lib.option(
    'clipped',
    'With --overlap: the clipped ratio against the policy that played '
    '(clipped); against the one before the update, weighted with the truncated '
    'importance ratio of the two (decoupled), or not weighted (none). The last '
    'two cost another pass over the rows.',
    choices=off_policy.CORRECTIONS,
  )
  importance_cap: float = options_lib.option(
    2.0, "Bound on the weights of 'decoupled'.", 1e-3
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class RunOptions:
  """What may change when a run is resumed."""

  iterations: int = options_lib.option(100, 'Iterations of training.', 0)
  evaluate_every: int = options_lib.option(
    0, 'Iterations between evaluations; 0 for none before the end.', 0
  )
  checkpoint_every: int = options_lib.option(
    5, 'Iterations between checkpoints.', 1
  )
  keep_checkpoints: int = options_lib.option(
    2,
    'How many of the newest checkpoints stay; with 1 there is none to go back '
    'to where it is damaged.',
    1,
  )
  profile: int = options_lib.option(
    0,
    'Iterations to trace with the profiler, once programs are compiled, into '
    'profile/ of the run; 0 for none.',
    0,
  )
  save_episodes_every: int = options_lib.option(
    10, 'Iterations between those whose episodes are kept; 0 for none.', 0
  )
  environment_workers: int = options_lib.option(
    1, 'Processes that run the environments.', 1, 1024
  )
  step_time_limit: float = options_lib.option(
    10.0, 'Seconds that an environment may take to answer.', 0.01
  )
  tensorboard: bool = options_lib.option(True, 'Write TensorBoard events.')

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class Settings:
  """All that a run is made of, but its domain and method.

  Attributes:
    seed: of everything random.
    pretrained: model to start from; None trains one from nothing.
    start_from: another run whose warm start to take; None for none.
    vocabulary: tokens of the tokenizer that is trained.
    evaluation_temperature: of the sampler.
    format: form of the text.
    sizes: of a policy that is trained from nothing.
    policy: how it computes, and what of it is learned.
    warm_start: imitation before the training.
    loop: of an iteration.
    loss: of the policy.
    critic: for methods with a critic.
    limits: of rollouts.
    learner: of the policy.
    overlap: of rollouts with learning.
    run: what may change when the run is resumed.
  """

  seed: int
  pretrained: str | None
  start_from: str | None
  vocabulary: int
  evaluation_temperature: float
  format: FormatOptions
  sizes: policy_options.SizeOptions
  policy: policy_options.PolicyOptions
  warm_start: WarmStartOptions
  loop: loop.LoopOptions
  loss: policy_gradient.LossOptions
  critic: critic.CriticOptions
  limits: collector.RolloutLimits
  learner: LearnerOptions
  overlap: OverlapOptions
  run: RunOptions

  def __post_init__(self):
    if self.start_from and self.pretrained:
      raise ValueError(
        '--start_from takes the policy of another run: give it without '
        '--pretrained'
      )

  @property
  def lengths(self) -> list[int]:
    """Lengths that rows are padded to: each compiles the learner once."""
    sizes = [self.limits.row_tokens]
    while sizes[0] > 192:
      sizes.insert(0, (sizes[0] * 2 + 2) // 3)
    return sizes

  @property
  def scoring(self) -> dict:
    """How functions of rows are computed; see `row_scores.over_rows`."""
    return {
      'micro_batch_tokens': self.learner.micro_batch_tokens,
      'lengths': self.lengths,
      'mesh': self.policy.mesh,
    }
