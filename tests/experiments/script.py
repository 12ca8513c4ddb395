"""Runs the experiment script in a process of its own, as a user does."""

import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent


def environment(devices: int = 1) -> dict[str, str]:
  """The variables of a user's shell: one device, not the tests' eight.

  And those of the tests that save time: quick compilation, and one folder of
  compiled programs (tests/compile_cache.py).
  """
  return {
    **os.environ,
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    'JAX_PLATFORMS': 'cpu',
    'PYTHONUNBUFFERED': '1',
  }


def start(
  *arguments: str, log: pathlib.Path, module: str = 'experiments.gigpo'
) -> subprocess.Popen:
  """Starts the script in a process group of its own; `log` gets its words."""
  with open(log, 'w', encoding='utf-8') as file:
    return subprocess.Popen(
      [sys.executable, '-m', module, *arguments],
      cwd=REPOSITORY,
      env=environment(),
      stdout=file,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )


def run(
  *arguments: str, module: str = 'experiments.gigpo', devices: int = 1
) -> subprocess.CompletedProcess:
  """Runs a script to its end."""
  return subprocess.run(
    [sys.executable, '-m', module, *arguments],
    cwd=REPOSITORY,
    env=environment(devices),
    capture_output=True,
    text=True,
    timeout=300,
  )
