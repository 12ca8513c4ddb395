"""Settings of the training of a text policy, except domain and method."""

import dataclasses

from experiments.text import policy_options
from jaxcredit import options as options_lib
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
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
    2, 'Past steps in the think_action prompt; 0 for none.', 0
  )

  __post_init__ = options_lib.check

  def text_format(
    self, tokenizer: tokenizer_lib.Tokenizer | None = None
  ) -> formats.Format:
    """The format that the options describe.

    Args:
      tokenizer: of the policy, whose chat template may open the thought; None
        while it is not known.
    """
    opened = tokenizer is not None and tokenizer.opens_thoughts
    if self.format == 'plain':
      return formats.Plain(self.repeat_task, opened)
    if self.format == 'message':
      return formats.Message(opened)
    return formats.ThinkAction(self.history_length, opened)


@dataclasses.dataclass(frozen=True)
class WarmStartOptions:
  """The warm start: supervised fine-tuning by imitation of an expert."""

  steps: int = options_lib.option(
    300,
    'Optimizer steps of the warm start (supervised fine-tuning); 0 for none.',
    0,
  )
  batch: int = options_lib.option(
    32, 'Rows (episodes) of a warm-start step.', 1
  )
  learning_rate: float = options_lib.option(
    2e-3, 'Peak learning rate of the warm start.', above=0.0
  )
  observation_weight: float = options_lib.option(
    0.3,
    'Weight of observation tokens in the loss of the warm start; 0 learns '
    'actions alone.',
    0.0,
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class LearnerOptions:
  """The optimizer, and how gradients are computed."""

  learning_rate: float = options_lib.option(
    3e-4, 'Learning rate of AdamW.', above=0.0
  )
  weight_decay: float = options_lib.option(
    0.01, 'Weight decay of AdamW; 0 for none.', 0.0
  )
  clip_norm: float = options_lib.option(
    1.0, "Bound on the gradient's norm.", above=0.0
  )
  micro_batch_tokens: int = options_lib.option(
    4096, 'Tokens of a micro-batch of gradient accumulation.', 1
  )
  skip_limit: int = options_lib.option(
    3, 'Non-finite updates in a row after which the run stops.', 1
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class OverlapOptions:
  """Overlap of rollouts with learning."""

  overlap: bool = options_lib.option(
    False,
    'Play the next iteration while one is learned, with the parameters from '
    'before the update: one step off-policy.',
  )
  overlap_correction: str = options_lib.option(
    'clipped',
    'With --overlap: the clipped ratio to the behaviour policy (clipped), or '
    'to the policy before the update, weighted with the truncated importance '
    'ratio of the two (decoupled) or unweighted (none). The last two cost '
    'another pass over the rows.',
    choices=off_policy.CORRECTIONS,
  )
  importance_cap: float = options_lib.option(
    2.0, 'Bound on the importance weights of decoupled.', 1e-3
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class RunOptions:
  """What may change when a run is resumed."""

  iterations: int = options_lib.option(
    100, 'Iterations of training; 0 ends after the warm start.', 0
  )
  evaluate_every: int = options_lib.option(
    0, 'Iterations between evaluations; 0 for none before the end.', 0
  )
  checkpoint_every: int = options_lib.option(
    5, 'Iterations between checkpoints.', 1
  )
  keep_checkpoints: int = options_lib.option(
    2,
    'Number of checkpoints to keep; with 1 there is no older one if the '
    'newest is damaged.',
    1,
  )
  profile: int = options_lib.option(
    0,
    'Iterations to profile after warm-up, into profile/ of the run; 0 turns '
    'profiling off.',
    0,
  )
  save_episodes_every: int = options_lib.option(
    10, 'Save the episodes of every n-th iteration; 0 saves none.', 0
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
  """The settings of a run, except its domain and method.

  Attributes:
    seed: seed of all randomness.
    pretrained: model to start from; None trains one from scratch.
    start_from: another run whose warm start is used; None if not.
    vocabulary: size of the tokenizer that is trained.
    evaluation_temperature: temperature of the sampler in evaluation.
    format: text format.
    sizes: sizes of a policy that is trained from scratch.
    policy: precision, mesh and adapters.
    warm_start: supervised fine-tuning before the training.
    loop: options of an iteration.
    loss: loss of the policy.
    critic: for methods with a critic.
    limits: limits of rollouts.
    learner: optimizer of the policy.
    overlap: overlap of rollouts with learning.
    run: options that may change when the run is resumed.
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
