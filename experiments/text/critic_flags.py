"""Flags of the critic, for scripts whose methods have one."""

from absl import flags

_CRITIC_LEARNING_RATE = flags.DEFINE_float(
  'critic_learning_rate', 1e-3, "Of the critic's AdamW.", 0.0
)
_VALUE_CLIP = flags.DEFINE_float(
  'value_clip', 0.2, 'How far a value may move in an update; 0: any.', 0.0
)


def options():
  """Flags as `critic.CriticOptions`; imports what needs the extras."""
  from jaxcredit.training import critic

  return critic.CriticOptions(
    learning_rate=_CRITIC_LEARNING_RATE.value, clip=_VALUE_CLIP.value or None
  )
