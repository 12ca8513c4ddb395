"""Flags of VirtualHome; see `domain_flags`."""

from absl import flags

_PROBLEMS = flags.DEFINE_string(
  'problems',
  None,
  'Recorded VirtualHome problems: a folder, .jsonl or .jsonl.xz file. Without '
  'it, a small sample is varied.',
)
_GENERATED_PROBLEMS = flags.DEFINE_integer(
  'generated_problems',
  2000,
  'How many problems to train on, varied from the recorded ones; 0: train on '
  'the recorded ones themselves.',
  0,
)
_CHORES = flags.DEFINE_integer(
  'chores', 1, 'Problems that each generated one joins; more take longer.', 1
)
_SENTENCE = flags.DEFINE_enum(
  'sentence',
  'goal',
  ['goal', 'description'],
  'What stands before the goal in words: the name of the task, or the '
  'description that a person gave.',
)
_WARM_START_PROBLEMS = flags.DEFINE_integer(
  'warm_start_problems', 600, 'Generated problems that the expert shows.', 1
)


def options(evaluation_count: int, anchor: str, warm_start_slips: float):
  """Flags as `virtualhome_tasks.VirtualHomeOptions`; imports the extra."""
  from experiments.domains import virtualhome as virtualhome_tasks

  return virtualhome_tasks.VirtualHomeOptions(
    problems=_PROBLEMS.value,
    generated_problems=_GENERATED_PROBLEMS.value,
    evaluation_count=evaluation_count or (0 if _PROBLEMS.value else 120),
    chores=_CHORES.value,
    sentence=_SENTENCE.value,
    anchor=anchor,
    warm_start_problems=_WARM_START_PROBLEMS.value,
    warm_start_slips=warm_start_slips,
  )


def domain(options, max_steps: int, seed: int):
  """VirtualHome."""
  from experiments.domains import virtualhome as virtualhome_tasks

  return virtualhome_tasks.VirtualHomeDomain(options, max_steps, seed)
