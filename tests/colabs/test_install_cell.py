"""The first code cell installs jaxcredit where it is missing, by the real pip.

In a new virtual environment that sees all other packages of this one, so that
no package index is needed.
"""

import pathlib
import subprocess
import sys
import sysconfig

import pytest

pytest.importorskip(
  'nbformat', reason="nbformat is not installed: pip install '.[test]'"
)

from tests import distribution
from tests.colabs import notebooks

pytestmark = pytest.mark.system

LINE = "SOURCE = ''\n"


@pytest.fixture(scope='module')
def bare(tmp_path_factory) -> pathlib.Path:
  """Python of an environment with pip and our requirements, without us."""
  folder = tmp_path_factory.mktemp('bare')
  subprocess.run([sys.executable, '-m', 'venv', str(folder)], check=True)
  python = folder / 'bin' / 'python'
  (packages,) = (folder / 'lib').glob('python*/site-packages')
  # What stands in a folder named here is found, but its own .pth files, which
  # lead to a checkout, are not read.
  (packages / 'others.pth').write_text(sysconfig.get_path('purelib') + '\n')
  return python


def execute(python, folder, source='') -> subprocess.CompletedProcess:
  """Executes the cell, then says where jaxcredit lies."""
  cell = notebooks.sources(notebooks.read('gigpo'), 'code')[0]
  assert cell.count(LINE) == 1
  script = cell.replace(LINE, f'SOURCE = {source!r}\n')
  script += '\nimport jaxcredit; print(jaxcredit.__file__)\n'
  path = folder / 'cell.py'
  path.write_text(script, encoding='utf-8')
  return subprocess.run(
    [str(python), '-P', str(path)],
    cwd=folder,
    env={'PIP_NO_INDEX': '1', 'JAX_PLATFORMS': 'cpu', 'PATH': '/usr/bin:/bin'},
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_says_what_to_do_where_no_source_is_given(bare, tmp_path):
  result = execute(bare, tmp_path)
  assert result.returncode == 1
  assert 'fill in SOURCE' in result.stderr


def test_installs_a_wheel_and_then_nothing(bare, tmp_path):
  wheel = distribution.build_wheel(tmp_path)
  result = execute(bare, tmp_path, wheel.as_uri())
  assert result.returncode == 0, result.stderr
  environment = bare.parent.parent
  found = pathlib.Path(result.stdout.splitlines()[-1])
  assert found.is_relative_to(environment)
  # Where it is there, the cell does not look at SOURCE.
  again = execute(bare, tmp_path, 'file:///there/is/no.whl')
  assert again.returncode == 0, again.stderr
  assert again.stdout.splitlines()[-1] == str(found)
