"""Times VirtualHome, and counts what its expert solves.

  python -m experiments.benchmarks.speed.virtualhome_speed [--problems=FILE]

Pin it to one core (taskset -c 0). Times are of the processor.
"""

import collections
import random
import time

from absl import app, flags

from jaxcredit.environments import virtualhome
from jaxcredit.environments.virtualhome import engine

_PROBLEMS = flags.DEFINE_string(
  'problems', None, 'Recorded problems; else the sample of the package.'
)
_EPISODES = flags.DEFINE_integer('episodes', 400, 'Episodes of 25 steps.', 1)
_GENERATED = flags.DEFINE_integer('generated', 100, 'Problems to generate.', 1)


def steps_per_second(tasks, episodes: int) -> float:
  """Random admissible play, resets included, grounding not."""
  environment = virtualhome.VirtualHomeEnvironment(anchor='state')
  for task in tasks:
    environment.reset(task)
  rng = random.Random(0)
  start = time.process_time()
  steps = 0
  for episode in range(episodes):
    answer = environment.reset(tasks[episode % len(tasks)])
    for _ in range(25):
      answer = environment.step(rng.choice(answer.admissible))
      steps += 1
  return steps / (time.process_time() - start)


def main(argv):
  del argv
  if _PROBLEMS.value:
    tasks = virtualhome.load_problems(_PROBLEMS.value)
  else:
    tasks = list(virtualhome.sample_problems())
  start = time.process_time()
  for task in tasks:
    engine.Tables(task)
  each = (time.process_time() - start) / len(tasks)
  print(f'grounding: {1000 * each:.1f} ms a problem')
  rate = steps_per_second(tasks[:400], _EPISODES.value)
  print(f'text: {rate:,.0f} steps/s')

  start = time.process_time()
  solved, reasons = virtualhome.solvable(tasks)
  each = (time.process_time() - start) / len(tasks)
  lengths = collections.Counter(len(virtualhome.solve(task)) for task in solved)
  steps = sum(length * count for length, count in lengths.items())
  print(
    f'expert: {len(solved)} of {len(tasks)} solved, {1000 * each:.1f} ms each, '
    f'{steps / len(solved):.2f} steps on average, {max(lengths)} at most'
  )
  print('plans by length:', dict(sorted(lengths.items())))
  for reason, count in collections.Counter(reasons.values()).items():
    names = ', '.join(n for n, why in reasons.items() if why == reason)
    print(f'left out, {reason}: {count} ({names})')
  parts = {
    split: virtualhome.of_split(solved, split) for split in virtualhome.SPLITS
  }
  print('split:', {split: len(part) for split, part in parts.items()})

  bases = solved if _PROBLEMS.value is None else parts['train']
  start = time.process_time()
  made = virtualhome.generate_problems(0, _GENERATED.value, bases)
  each = (time.process_time() - start) / len(made)
  steps = sum(len(virtualhome.solve(problem)) for problem in made) / len(made)
  print(
    f'generator: {1000 * each:.1f} ms a problem, {steps:.2f} steps of the '
    'expert on average'
  )


if __name__ == '__main__':
  app.run(main)
