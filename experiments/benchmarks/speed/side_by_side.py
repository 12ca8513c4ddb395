"""Scripts run side by side, each on its share of the cores."""

import concurrent.futures
import os
import pathlib
import queue
import subprocess
import sys


def take_cores(numbers: queue.SimpleQueue, jobs: int) -> None:
  """Gives the calling thread, and what it starts, its share of the cores."""
  job = numbers.get()
  cores = sorted(os.sched_getaffinity(0))
  os.sched_setaffinity(0, cores[job % len(cores) :: jobs])


def workers(jobs: int) -> concurrent.futures.ThreadPoolExecutor:
  """A pool of threads, each with its share of the cores."""
  numbers: queue.SimpleQueue = queue.SimpleQueue()
  for job in range(jobs):
    numbers.put(job)
  return concurrent.futures.ThreadPoolExecutor(
    jobs, initializer=take_cores, initargs=(numbers, jobs)
  )


def execute(output: pathlib.Path, name: str, command: list[str]) -> None:
  """Runs a module of experiments and waits for it.

  Args:
    output: folder, in which its words go to a log.
    name: of the run.
    command: module and flags.

  Raises:
    ChildProcessError: it failed; names the log.
  """
  (output / name).parent.mkdir(parents=True, exist_ok=True)
  log_path = output / f'{name.replace("/", "_")}.log'
  print(f'{name}: started, see {log_path}', flush=True)
  with open(log_path, 'a', encoding='utf-8') as log:
    status = subprocess.run(
      [sys.executable, '-m', *command],
      stdout=log,
      stderr=subprocess.STDOUT,
      check=False,
    ).returncode
  if status:
    raise ChildProcessError(
      f'{name} ended with status {status}: see {log_path}'
    )
  print(f'{name}: done', flush=True)
