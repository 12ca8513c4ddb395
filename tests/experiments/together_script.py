"""A script of several processes that does next to nothing."""

import os
import pathlib
import sys
import time

from absl import app, flags

from experiments.run import console, interruption, process_flags
from jaxcredit.distributed import processes

_HERE = flags.DEFINE_string('here', None, 'Folder for signs of life.')
_DOES = flags.DEFINE_multi_string(
  'does', ['ends'], 'What each process does, by number.'
)


def script() -> int:
  does = _DOES.value[processes.index()]
  console.console.print('on the console')
  with interruption.Interruption() as stop:
    # Whoever is here has seen the others.
    processes.wait()
    sign = pathlib.Path(_HERE.value) / f'{processes.index()}.pid'
    sign.write_text(str(os.getpid()))
    if does == 'fails':
      print('error: as it was told to', file=sys.stderr)
      return 1
    if does == 'raises':
      raise RuntimeError('as it was told to')
    if does == 'sleeps':
      time.sleep(300)
    if does == 'waits':
      processes.wait()
    count = 0
    while does == 'works' and not stop.requested:
      count += 1
      if count == 3:
        sign.with_suffix('.works').touch()
      time.sleep(0.05)
    if does == 'works':
      sign.with_suffix('.count').write_text(str(count))
      return stop.exit_status
  return 0


if __name__ == '__main__':
  app.run(lambda argv: process_flags.together(script))
