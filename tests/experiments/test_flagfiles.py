"""Each flagfile says what it costs and gives, and has a folder of its own."""

import pathlib
import subprocess
import sys

import pytest

from tests.experiments import script

FOLDER = script.REPOSITORY / 'experiments' / 'flagfiles'
PATHS = sorted(
  path for name in ('lare', 'dynlin_ucb') for path in (FOLDER / name).glob('*')
)


def flags_of(path: pathlib.Path) -> list[str]:
  lines = path.read_text(encoding='utf-8').splitlines()
  return [line for line in lines if not line.startswith('#')]


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_it_opens_with_command_time_and_score(path):
  name = f'{path.parent.name}/{path.name}'
  head, *_ = path.read_text(encoding='utf-8').split('\n--', 1)
  assert f'python -m experiments.{path.parent.name} ' in head
  assert f'--flagfile=experiments/flagfiles/{name}' in head
  assert '\n# Time: ' in head and '\n# Expected: ' in head
  assert all(line.startswith('--') for line in flags_of(path))


def test_each_has_a_folder_of_its_own():
  runs = [
    line
    for path in PATHS
    for line in flags_of(path)
    if line.startswith('--run=')
  ]
  assert len(runs) == len(PATHS)
  assert len(set(runs)) == len(runs)


@pytest.mark.system
@pytest.mark.parametrize('name', ['lare', 'dynlin_ucb'])
def test_the_script_takes_them(name):
  # Flags are parsed, and settings checked; nothing is trained.
  program = (
    'import sys\n'
    'from absl import flags\n'
    f'from experiments import {name}\n'
    'for path in sys.argv[1:]:\n'
    '  flags.FLAGS.unparse_flags()\n'
    "  assert flags.FLAGS(['x', f'--flagfile={path}']) == ['x']\n"
    f'  print({name}._SETTINGS.read())\n'
  )
  paths = [str(path) for path in (FOLDER / name).glob('*.cfg')]
  done = subprocess.run(
    [sys.executable, '-c', program, *paths],
    cwd=script.REPOSITORY,
    env=script.environment(),
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.count('Settings(') == len(paths)
