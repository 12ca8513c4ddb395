"""An importer needs jax, flax, optax, chex and numpy, and no extra.

Twice: the wheel in a new environment of its own, with the versions and hashes
of requirements/, and here, with Flax and every extra blocked.

What the light install guarantees: jaxcredit imports no extra, and runs. It
does not guarantee that no extra is there: Flax brings orbax-checkpoint, rich
and markdown-it-py, jax scipy, optax and chex absl-py. All others stay away.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from packaging import utils

from tests import distribution, readme

# Flax and its companions bring these themselves.
BROUGHT_BY_LIGHT_REQUIREMENTS = {
  'absl-py', 'markdown-it-py', 'orbax-checkpoint', 'rich', 'scipy',
}  # fmt: skip

# Each starts an interpreter.
pytestmark = pytest.mark.system

REQUIREMENTS = (
  distribution.REPOSITORY
  / 'requirements'
  / f'python{sys.version_info.major}.{sys.version_info.minor}.txt'
)


def run_importer_program(python, folder, *, blocked=(), path=None) -> dict:
  """Runs the program and returns its report."""
  tests = distribution.REPOSITORY / 'tests'
  example = folder / 'example.py'
  example.write_text('\n'.join(readme.python_blocks()), encoding='utf-8')
  settings = folder / 'settings.json'
  settings.write_text(
    json.dumps(
      {
        'example': str(example),
        'contract_table': str(tests / 'algorithms' / 'contract_table.py'),
        'blocked': sorted(blocked),
        'looked_for': sorted(extra_modules()),
      }
    )
  )
  variables = {
    name: value
    for name, value in os.environ.items()
    if name != 'XLA_FLAGS' and not name.startswith(('PYTHON', 'VIRTUAL_ENV'))
  }
  # What one of these tests compiles, the next need not.
  variables |= {
    'JAX_PLATFORMS': 'cpu',
    'JAX_COMPILATION_CACHE_DIR': str(folder.parent / 'compiled'),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
  }
  if path is not None:
    variables['PYTHONPATH'] = str(path)
  result = subprocess.run(
    # -P and the folder: no module is found just because it lies close by.
    [str(python), '-P', str(tests / 'importer_program.py'), str(settings)],
    cwd=folder,
    env=variables,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 0, result.stdout + result.stderr
  return json.loads(result.stdout.splitlines()[-1])


def extra_modules() -> set[str]:
  return distribution.modules_of(distribution.extra_names())


def assert_functions_ran(report: dict) -> None:
  # Returns 10, 10, 0, 0: deviations of 5 from the mean over sqrt(100 / 3).
  high, low = 0.8660253, -0.8660253
  assert report['episode_credit'] == pytest.approx(
    [high, high, high, high, high, 0, *[low] * 6], abs=1e-5
  )
  rows = {'gigpo_trajectories_std', 'grpo', 'gae', 'policy_loss_step_step-mean'}
  assert rows <= report['table'].keys()
  assert report['household_commands'] > 10


def test_flax_and_every_extra_blocked(tmp_path):
  blocked = extra_modules() | {'flax', 'optax', 'chex'}
  assert {'absl', 'jinja2', 'matplotlib', 'orbax', 'rich', 'safetensors',
          'tensorboardX', 'tensorflow_datasets', 'tokenizers',
          'transformers'} < blocked  # fmt: skip
  report = run_importer_program(
    sys.executable, tmp_path, blocked=blocked, path=distribution.REPOSITORY
  )
  assert pathlib.Path(report['file']).is_relative_to(distribution.REPOSITORY)
  assert report['importable'] == []
  assert_functions_ran(report)


def test_import_loads_no_extra(tmp_path):
  """Where all of them can be imported."""
  report = run_importer_program(
    sys.executable, tmp_path, path=distribution.REPOSITORY
  )
  assert set(report['importable']) == extra_modules()
  optional = extra_modules() | {'flax', 'optax', 'chex'}
  assert optional & set(report['after_import']) == set()
  assert optional & set(report['after_calls']) == set()


@dataclasses.dataclass(frozen=True)
class Environment:
  """A virtual environment, and the distributions in it by version."""

  folder: pathlib.Path
  python: pathlib.Path
  installed: dict[str, str]


def pip(uv, command, *arguments) -> subprocess.CompletedProcess:
  return subprocess.run(
    [str(uv), 'pip', command, *map(str, arguments)],
    capture_output=True,
    text=True,
    timeout=300,
  )


def install(uv, python, *arguments) -> None:
  """Installs, or skips the test if the package index cannot be reached."""
  # What uv has in its cache needs no index.
  for offline in (['--offline'], []):
    result = pip(uv, 'install', '--python', python, *offline, *arguments)
    if result.returncode == 0:
      return
  probe = pip(
    uv, 'install', '--quiet', '--python', python, '--dry-run', '--refresh',
    '--no-deps', '--constraints', REQUIREMENTS, 'numpy',
  )  # fmt: skip
  if probe.returncode != 0:
    pytest.skip(
      'the package index cannot be reached and the cache of uv does not hold '
      f'the light install: {probe.stderr.strip()}'
    )
  pytest.fail(f'the light install fails:\n{result.stderr}')


@pytest.fixture(scope='module')
def light_environment(tmp_path_factory):
  uv = pathlib.Path(sys.executable).parent / 'uv'
  if not uv.exists():
    uv = shutil.which('uv')
  if uv is None:
    pytest.skip('uv is not installed: `make test` installs it')
  folder = tmp_path_factory.mktemp('light')
  environment = folder / 'environment'
  python = environment / 'bin' / 'python'
  subprocess.run(
    [str(uv), 'venv', '--quiet', '--python', sys.executable, environment],
    check=True,
    timeout=60,
  )
  wheel = distribution.build_wheel(folder)
  # The wheel's metadata choose the packages, the constraints pin them, and one
  # without a hash is refused, the wheel included.
  digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
  wanted = folder / 'wanted.txt'
  wanted.write_text(f'jaxcredit @ {wheel.as_uri()} --hash=sha256:{digest}\n')
  install(
    uv, python, '--require-hashes', '--constraints', REQUIREMENTS, '-r', wanted
  )
  listed = pip(uv, 'list', '--python', python, '--format=json')
  assert listed.returncode == 0, listed.stderr
  installed = {
    utils.canonicalize_name(entry['name']): entry['version']
    for entry in json.loads(listed.stdout)
  }
  return Environment(environment, python, installed)


def test_wheel_without_extras_runs_the_algorithms(light_environment, tmp_path):
  report = run_importer_program(light_environment.python, tmp_path)
  assert pathlib.Path(report['file']).is_relative_to(light_environment.folder)
  assert_functions_ran(report)
  assert extra_modules() & set(report['after_calls']) == set()
  brought = distribution.modules_of(BROUGHT_BY_LIGHT_REQUIREMENTS)
  assert set(report['importable']) <= brought
  for absent in ('jinja2', 'matplotlib', 'safetensors', 'tensorboardX',
                 'tensorflow_datasets', 'tokenizers',
                 'transformers'):  # fmt: skip
    assert absent not in report['importable']


def test_light_install_holds_pinned_versions_and_no_other_extra(
  light_environment,
):
  installed = dict(light_environment.installed)
  assert installed.pop('jaxcredit')
  assert installed.keys() >= {'jax', 'flax', 'optax', 'chex', 'numpy'}
  extra = distribution.extra_names() & installed.keys()
  assert extra <= BROUGHT_BY_LIGHT_REQUIREMENTS
  lines = REQUIREMENTS.read_text(encoding='utf-8').splitlines()
  pinned = {line.split(' ')[0] for line in lines if '==' in line}
  assert {f'{name}=={version}' for name, version in installed.items()} <= pinned
