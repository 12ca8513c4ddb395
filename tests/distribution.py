"""The package as it is distributed: its wheel, and what it declares to need."""

import configparser
import importlib.metadata
import importlib.util
import pathlib
import shutil
import subprocess
import sys

from packaging import requirements as requirements_lib
from packaging import utils

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

# Tests and experiments are copied too: that they stay out is part of the test.
_COPIED = (
  'LICENSE',
  'README.md',
  'algorithms',
  'experiments',
  'jaxcredit',
  'networks',
  'pyproject.toml',
  'setup.cfg',
  'tests',
)


def build_wheel(folder: pathlib.Path) -> pathlib.Path:
  """Builds a wheel as `pip install .` does, from a copy of the checkout.

  A build inside the checkout would leave `build/` and `*.egg-info` there, and
  a stale `build/` hides that a file is missing from the package data.

  Args:
    folder: an empty one, for the copy and the wheel.

  Returns:
    Where the wheel lies.
  """
  source = folder / 'source'
  source.mkdir()
  for name in _COPIED:
    path = REPOSITORY / name
    if path.is_symlink():
      (source / name).symlink_to(path.readlink())
    elif path.is_dir():
      ignored = shutil.ignore_patterns('__pycache__', '*.egg-info')
      shutil.copytree(path, source / name, ignore=ignored)
    else:
      shutil.copy(path, source / name)
  # Without --wheel it makes the source archive, and the wheel out of that: a
  # file that either of them loses is not in the wheel.
  result = subprocess.run(
    [sys.executable, '-P', '-m', 'build', '--no-isolation']
    + ['--outdir', str(folder / 'dist'), str(source)],
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert result.returncode == 0, result.stdout + result.stderr
  (wheel,) = (folder / 'dist').glob('*.whl')
  return wheel


def name_of(requirement: requirements_lib.Requirement) -> str:
  """The distribution's name as indexes spell it: Foo_Bar is foo-bar."""
  return utils.canonicalize_name(requirement.name)


def _parsed(text: str) -> list[requirements_lib.Requirement]:
  lines = (line.strip() for line in text.splitlines())
  return [
    requirements_lib.Requirement(line)
    for line in lines
    if line and not line.startswith('#')
  ]


def _setup_cfg() -> configparser.ConfigParser:
  config = configparser.ConfigParser()
  assert config.read(REPOSITORY / 'setup.cfg', encoding='utf-8')
  return config


def light_requirements() -> list[requirements_lib.Requirement]:
  """What setup.cfg asks for without extras."""
  return _parsed(_setup_cfg()['options']['install_requires'])


def extras() -> dict[str, list[requirements_lib.Requirement]]:
  """What setup.cfg asks for, by extra."""
  section = _setup_cfg()['options.extras_require']
  return {name: _parsed(text) for name, text in section.items()}


def extra_names() -> set[str]:
  """Distributions that are in some extra and not in the light install.

  That of the extra 'procedural' needs a C compiler, and those of 'control' may
  be missing too: both are left out where they are not installed. Those of
  'docs' and 'tunix' are for other environments.
  """
  wanted = {
    name_of(r)
    for extra, listed in extras().items()
    if extra not in ('docs', 'tunix')
    for r in listed
  }
  wanted -= {name_of(r) for r in light_requirements()}
  if not has_procedural():
    wanted -= {name_of(r) for r in extras()['procedural']}
  if not has_control():
    wanted -= {name_of(r) for r in extras()['control']}
  return wanted


def has_procedural() -> bool:
  return importlib.util.find_spec('reasoning_gym') is not None


def has_control() -> bool:
  return all(
    importlib.util.find_spec(name) is not None
    for name in ('brax', 'gymnasium', 'jaxmarl', 'mujoco')
  )


def modules_of(distributions: set[str]) -> set[str]:
  """Top-level modules of distributions that are installed here.

  Modules that start with an underscore are left out: they are the business of
  their distribution, and setuptools loads one whenever Python starts.
  """
  found = {
    module: {utils.canonicalize_name(name) for name in owners}
    for module, owners in importlib.metadata.packages_distributions().items()
  }
  missing = distributions - set().union(*found.values())
  assert not missing, f'not installed here: {sorted(missing)}'
  return {
    module
    for module, owners in found.items()
    if owners & distributions and not module.startswith('_')
  }
