"""Seeds of generated tasks: no stage meets those of another.

The task at place i of a stage has the stage's seed plus i, so that a stage with
more tasks than lie between two seeds would play those of the next.
"""

TRAINING = 1_000_000
DEMONSTRATION = 2_000_000
EVALUATION = 3_000_000
APART = 1_000_000


def check_count(count: int, flag: str) -> None:
  """Raises ValueError for more tasks than a stage has seeds.

  Args:
    count: tasks that are asked for.
    flag: that asks for them, without its dashes.
  """
  if count > APART:
    raise ValueError(
      f'--{flag}={count} is more than {APART:,}: generated tasks have a seed '
      'each, and beyond that number they would be those of another stage '
      '(training, demonstrations, evaluation)'
    )
