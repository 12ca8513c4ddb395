"""Starts real processes that join each other over the loopback."""

import os
import pathlib
import socket
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def free_port() -> int:
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    return found.getsockname()[1]


def environment(devices: int = 1) -> dict[str, str]:
  """Variables for one of several processes that share few cores."""
  return {
    **os.environ,
    'XLA_FLAGS': (
      f'--xla_force_host_platform_device_count={devices} '
      '--xla_cpu_multi_thread_eigen=false'
    ),
    'JAX_PLATFORMS': 'cpu',
    'PYTHONUNBUFFERED': '1',
  }


def start(
  arguments: list[str],
  index: int,
  log: pathlib.Path,
  *,
  devices: int = 1,
  before: tuple[str, ...] = (),
  more: dict[str, str] | None = None,
) -> subprocess.Popen:
  """Starts one process in a group of its own; `log` gets its words.

  Args:
    arguments: of Python.
    index: number of the process.
    log: what its words are added to, with its number before the suffix.
    devices: it has.
    before: words before those of Python, such as those of `ip netns exec`.
    more: variables.
  """
  with open(f'{log}.{index}', 'w', encoding='utf-8') as file:
    return subprocess.Popen(
      [*before, sys.executable, *arguments],
      cwd=REPOSITORY,
      env={**environment(devices), **(more or {})},
      stdout=file,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )


def words(log: pathlib.Path, index: int) -> str:
  return pathlib.Path(f'{log}.{index}').read_text('utf-8')


def finish(started: list[subprocess.Popen], log: pathlib.Path, limit=900):
  """Waits for all; fails with their words if one fails."""
  try:
    for index, process in enumerate(started):
      assert process.wait(limit) == 0, words(log, index)
  finally:
    for process in started:
      if process.poll() is None:
        process.kill()
