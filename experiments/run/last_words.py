"""What a process says when it is ended from outside.

Where jax finds that another process is dead it ends this one, from a thread of
its own, with a stack of C++ calls; where the system kills it, nothing is said
at all. So a small companion waits for the end, and says what to do. It ends
with the process that it belongs to.
"""

import subprocess
import sys

# Reads what to say until the process has ended; an empty line cancels it.
_COMPANION = """
import sys
words = ''
for line in sys.stdin:
  words = line.strip()
if words:
  print(words, file=sys.stderr, flush=True)
"""
_ADVICE = (
  'the same commands, given again in all processes, go on from the last '
  'checkpoint'
)


class LastWords:
  """The companion of a process.

  Args:
    who: the process, such as 'process 1 of 2'.
    heartbeat: seconds after which a silent process counts as dead.
  """

  def __init__(self, who: str, heartbeat: int):
    self._who = who
    self._companion = subprocess.Popen(
      [sys.executable, '-S', '-E', '-c', _COMPANION],
      stdin=subprocess.PIPE,
      text=True,
      # Ctrl-C is for the process that it belongs to.
      start_new_session=True,
    )
    self._write(
      f'error: {who} was ended: it was killed, or another process ended or was '
      f'silent for {heartbeat} s; {_ADVICE}'
    )

  def _write(self, line: str) -> None:
    try:
      self._companion.stdin.write(line + '\n')
      self._companion.stdin.flush()
    except (BrokenPipeError, ValueError):
      pass  # The companion is gone: what happens next matters more.

  def say(self, reason: str) -> None:
    """Says why the process ends, and leaves nothing to be said."""
    self._write('')
    print(
      f'error: {self._who} ends: {reason}; {_ADVICE}',
      file=sys.stderr,
      flush=True,
    )

  def cancel(self) -> None:
    """Nothing is to be said."""
    self._write('')
    self._companion.stdin.close()
    self._companion.wait()
