"""Starts several processes of an experiment on this machine.

  python -m experiments.tools.launch --processes=2 -- \
    experiments.gigpo --flagfile=experiments/flagfiles/gigpo/quick.cfg

Each line that a process writes begins with its number. Ctrl-C and SIGTERM go on
to all. Where one process fails, the others have a while to notice, and are then
ended. Where every process has devices of its own (GPUs), say which with
--devices_each; on CPUs they share the cores.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time


def parse(arguments: list[str]) -> argparse.Namespace:
  """Reads the command line.

  Not by absl, whose flags belong to the script that is started.
  """
  parser = argparse.ArgumentParser(
    prog='python -m experiments.tools.launch',
    description='Starts several processes of an experiment on this machine.',
    allow_abbrev=False,
  )
  parser.add_argument(
    '--processes', type=int, default=2, help='processes to start'
  )
  parser.add_argument(
    '--devices_each',
    type=int,
    default=0,
    help='GPUs of each process, the first ones to the first; 0: all see all',
  )
  parser.add_argument(
    '--port', type=int, default=0, help='where process 0 listens; 0: a free one'
  )
  parser.add_argument(
    '--grace',
    type=float,
    default=60.0,
    help='seconds that the others have once a process has failed',
  )
  parser.add_argument('module', help='such as experiments.gigpo')
  parser.add_argument('arguments', nargs=argparse.REMAINDER, help='of it')
  options = parser.parse_args(arguments)
  if options.processes < 1:
    parser.error(f'--processes must be positive, not {options.processes}')
  return options


def free_port() -> int:
  """A port of this machine at which nobody listens."""
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    return found.getsockname()[1]


def environment(index: int, devices_each: int) -> dict[str, str]:
  """The variables of a process: those of this one, and its GPUs."""
  own = dict(os.environ)
  if devices_each:
    first = index * devices_each
    own['CUDA_VISIBLE_DEVICES'] = ','.join(
      str(device) for device in range(first, first + devices_each)
    )
  return own


def command(
  module: str, arguments: list[str], count: int, index: int, port: int
) -> list[str]:
  """The command of a process; with one process, that of the script alone."""
  own = []
  if count > 1:
    own = [
      f'--processes={count}',
      f'--process={index}',
      f'--coordinator=127.0.0.1:{port}',
    ]
  return [sys.executable, '-u', '-m', module, *arguments, *own]


def _copy_lines(process: subprocess.Popen, index: int) -> None:
  for line in process.stdout:
    sys.stdout.write(f'[{index}] {line}')
    sys.stdout.flush()


def run(
  module: str,
  arguments: list[str],
  *,
  count: int,
  port: int = 0,
  devices_each: int = 0,
  grace: float = 60.0,
) -> int:
  """Runs the processes to their end.

  Args:
    module: of the experiment, such as 'experiments.gigpo'.
    arguments: of it.
    count: processes.
    port: where the first listens; 0: a free one.
    devices_each: GPUs of each process; 0: all see all.
    grace: seconds that the others have once a process has failed.

  Returns:
    0 if all ended well, else the status of the first that did not.
  """
  port = port or free_port()
  started = [
    subprocess.Popen(
      command(module, arguments, count, index, port),
      env=environment(index, devices_each),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      errors='replace',
      # Signals come from here, and to each one once.
      start_new_session=True,
    )
    for index in range(count)
  ]
  ended: list[int] = []
  readers = [
    threading.Thread(target=_copy_lines, args=(process, index), daemon=True)
    for index, process in enumerate(started)
  ]
  waiting = [
    threading.Thread(
      target=_note_end, args=(process, index, ended), daemon=True
    )
    for index, process in enumerate(started)
  ]
  for thread in (*readers, *waiting):
    thread.start()

  def pass_on(number, frame):
    del frame
    for process in started:
      if process.poll() is None:
        process.send_signal(number)

  previous = {
    number: signal.signal(number, pass_on)
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    status = _watch(started, ended, grace)
  finally:
    for process in started:
      if process.poll() is None:
        process.kill()
    for number, handler in previous.items():
      signal.signal(number, handler)
  for reader in readers:
    reader.join(timeout=10)
  return status


def _note_end(process: subprocess.Popen, index: int, ended: list[int]) -> None:
  process.wait()
  ended.append(index)


def _watch(
  started: list[subprocess.Popen], ended: list[int], grace: float
) -> int:
  """Waits for all, or for `grace` seconds once one has failed.

  Args:
    started: all processes.
    ended: gets the number of each that ends, in their order.
    grace: seconds.
  """
  failed, end = None, float('inf')
  while len(ended) < len(started):
    if failed is None:
      failed = _first_failure(started, ended)
      if failed is not None:
        end = time.monotonic() + grace
    if time.monotonic() > end:
      print(
        f'error: the others did not end within {grace:g} s of the failure of '
        f'process {failed}: they are ended',
        file=sys.stderr,
      )
      break
    time.sleep(0.1)
  if failed is None:
    failed = _first_failure(started, ended)
  if failed is None:
    return max(process.wait() for process in started)
  status = started[failed].returncode
  print(f'error: process {failed} ended with {_words(status)}', file=sys.stderr)
  return status if status > 0 else 128 - status


def _first_failure(
  started: list[subprocess.Popen], ended: list[int]
) -> int | None:
  """The number of the first that failed; interrupted ones did not.

  The others fail because of it, and soon after.
  """
  for index in list(ended):
    if started[index].returncode not in (0, 130, 143):
      return index
  return None


def _words(status: int) -> str:
  if status < 0:
    return f'signal {signal.Signals(-status).name}'
  return f'status {status}'


def main() -> int:
  options = parse(sys.argv[1:])
  return run(
    options.module,
    options.arguments,
    count=options.processes,
    port=options.port,
    devices_each=options.devices_each,
    grace=options.grace,
  )


if __name__ == '__main__':
  sys.exit(main())
