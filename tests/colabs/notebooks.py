"""Reads the notebooks of colabs/, and runs them in kernels of their own."""

import json
import os
import pathlib
import re
import tempfile
from typing import Any

import nbformat
from traitlets import config as config_lib

from tests import distribution

FOLDER = distribution.REPOSITORY / 'colabs'
NAMES = (
  'gigpo',
  'tempo',
  'lare',
  'dynlin_ucb',
  'spa',
  'your_own_project',
  'qwen_on_a_tpu_slice',
)
# Before the line that holds what a test asked for.
_MARK = 'asked for: '


def read(name: str) -> nbformat.NotebookNode:
  return nbformat.read(FOLDER / f'{name}.ipynb', as_version=4)


def sources(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
  """Texts of the cells of a kind, 'code' or 'markdown'."""
  return [c.source for c in notebook.cells if c.cell_type == kind]


def environment(folder: pathlib.Path, devices: int) -> dict[str, str]:
  """Variables of a kernel: this checkout, some devices, no user's settings."""
  variables = {k: v for k, v in os.environ.items() if k != 'MPLBACKEND'}
  paths = [str(distribution.REPOSITORY), os.environ.get('PYTHONPATH')]
  return variables | {
    'PYTHONPATH': os.pathsep.join(filter(None, paths)),
    'IPYTHONDIR': str(folder / 'ipython'),
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
  }


def run(
  name: str,
  folder: pathlib.Path,
  asked: dict[str, str],
  devices: int = 1,
) -> dict[str, Any]:
  """Runs a notebook as it is, and returns what its variables say.

  Args:
    name: of the notebook.
    folder: in which it runs.
    asked: name -> expression of its variables, a number, text or list.
    devices: simulated ones.

  Returns:
    name -> value; 'printed': all that the notebook printed; 'pictures': how
    many it drew.
  """
  import nbclient

  notebook = read(name)
  values = ', '.join(f'{key!r}: {value}' for key, value in asked.items())
  question = f'import json; print({_MARK!r} + json.dumps({{{values}}}))'
  notebook.cells.append(nbformat.v4.new_code_cell(question))
  # Files instead of sockets that others could reach; their path must be whole,
  # since the kernel has another working folder, and short.
  with tempfile.TemporaryDirectory() as sockets:
    local = {'transport': 'ipc', 'ip': f'{sockets}/kernel'}
    client = nbclient.NotebookClient(
      notebook,
      config=config_lib.Config({'KernelManager': local}),
      # Of a cell, and of a kernel's start where the machine is busy, in
      # seconds.
      timeout=500,
      startup_timeout=300,
      kernel_name='python3',
      resources={'metadata': {'path': str(folder)}},
    )
    client.execute(env=environment(folder, devices))
  outputs = [o for c in notebook.cells for o in c.get('outputs', ())]
  printed = ''.join(o.text for o in outputs if o.output_type == 'stream')
  answer = re.search(f'^{_MARK}(.*)$', printed, re.M)[1]
  pictures = sum('image/png' in o.get('data', {}) for o in outputs)
  return {**json.loads(answer), 'printed': printed, 'pictures': pictures}
