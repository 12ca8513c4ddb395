"""Two network namespaces, joined by a cable, as two hosts.

It takes the rights of root, and the `ip` of iproute2; without them tests that
ask for it are skipped.
"""

import os
import pathlib
import shutil
import socket
import subprocess

import pytest

_FILES = pathlib.Path('/etc/netns')


def _ip(*words: str) -> None:
  result = subprocess.run(
    ['ip', *words], capture_output=True, text=True, check=False
  )
  if result.returncode:
    raise OSError(f'ip {" ".join(words)}: {result.stderr.strip()}')


class TwoHosts:
  """Hosts 0 and 1, which reach each other and nothing else."""

  def __init__(self):
    self._names = [f'jaxcredit{os.getpid()}n{i}' for i in range(2)]

  def address(self, index: int) -> str:
    return f'10.213.77.{index + 1}'

  def on(self, index: int) -> tuple[str, ...]:
    """Words before a command that is to run on a host."""
    return ('ip', 'netns', 'exec', self._names[index])

  def __enter__(self) -> 'TwoHosts':
    if shutil.which('ip') is None:
      pytest.skip('the command ip (package iproute2) is not installed')
    try:
      self._lay_cable()
    except OSError as error:
      self.__exit__()
      pytest.skip(f'network namespaces cannot be made here: {error}')
    return self

  def _lay_cable(self) -> None:
    for index, name in enumerate(self._names):
      _ip('netns', 'add', name)
      # The host's own name leads to its own address, as on a real one: this
      # is where its collectives listen.
      files = _FILES / name
      files.mkdir(parents=True)
      (files / 'hosts').write_text(
        f'127.0.0.1 localhost\n{self.address(index)} {socket.gethostname()}\n'
      )
    ends = [f'jx{os.getpid() % 10**6}e{i}' for i in range(2)]
    _ip(
      'link', 'add', ends[0], 'netns', self._names[0], 'type', 'veth',
      'peer', 'name', ends[1], 'netns', self._names[1],
    )  # fmt: skip
    for index, name in enumerate(self._names):
      _ip('-n', name, 'addr', 'add', f'{self.address(index)}/24',
          'dev', ends[index])  # fmt: skip
      _ip('-n', name, 'link', 'set', ends[index], 'up')
      _ip('-n', name, 'link', 'set', 'lo', 'up')

  def __exit__(self, *unused) -> None:
    for name in self._names:
      # The cable goes with its ends.
      subprocess.run(
        ['ip', 'netns', 'del', name], capture_output=True, check=False
      )
      shutil.rmtree(_FILES / name, ignore_errors=True)
