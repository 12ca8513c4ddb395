"""The wheel is whole, and declares and pins what it should."""

import email
import pathlib
import re
import zipfile

import pytest
from packaging import requirements as requirements_lib
from packaging import specifiers

import jaxcredit
from tests import distribution

PYTHONS = ('3.11', '3.12', '3.13')
FILES = [f'python{version}.txt' for version in PYTHONS]
FILES += [
  'control.txt', 'docs.txt', 'procedural.txt', 'torch.txt', 'tunix.txt',
  'uv.txt',
]  # fmt: skip
REQUIREMENTS = distribution.REPOSITORY / 'requirements'
# A name, one version, and hashes; no marker, address, path or option else.
PINNED = re.compile(
  r'(?P<name>[a-z0-9]+(-[a-z0-9]+)*)==(?P<version>[0-9][0-9a-z.]*)'
  r'( --hash=sha256:[0-9a-f]{64})+'
)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  path = distribution.build_wheel(tmp_path_factory.mktemp('wheel'))
  with zipfile.ZipFile(path) as archive:
    yield archive


def metadata(archive: zipfile.ZipFile):
  (name,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
  return email.message_from_bytes(archive.read(name))


def required(archive, python: str, extra: str = '') -> dict[str, str]:
  """What an install asks for under a version of Python, by name."""
  wanted = {}
  for line in metadata(archive).get_all('Requires-Dist'):
    requirement = requirements_lib.Requirement(line)
    variables = {'python_version': python, 'extra': extra}
    if requirement.marker is None or requirement.marker.evaluate(variables):
      name = distribution.name_of(requirement)
      assert name not in wanted or extra, f'{name} twice under {python}'
      wanted[name] = requirement.specifier
  return wanted


def test_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
  package = distribution.REPOSITORY / 'jaxcredit'
  expected = {
    path.relative_to(distribution.REPOSITORY).as_posix(): path.read_bytes()
    for path in package.rglob('*')
    if path.is_file() and '__pycache__' not in path.parts
  }
  assert any(name.endswith('.json') for name in expected)
  assert any(name.endswith('.jinja') for name in expected)
  held = {
    name: wheel.read(name)
    for name in wheel.namelist()
    if '.dist-info/' not in name
  }
  assert sorted(held) == sorted(expected)
  assert held == expected


def test_every_folder_of_modules_is_a_package():
  # Without __init__.py, the wheel and the test above would both leave it out.
  for path in (distribution.REPOSITORY / 'jaxcredit').rglob('*.py'):
    assert (path.parent / '__init__.py').exists(), path.parent


def test_wheel_carries_licence_and_version(wheel):
  about = metadata(wheel)
  assert about['Name'] == 'jaxcredit'
  assert about['Version'] == jaxcredit.__version__
  assert about['License'] == 'Apache-2.0'
  assert about['License-File'] == 'LICENSE'
  assert any(n.endswith('/licenses/LICENSE') for n in wheel.namelist())
  assert about['Description-Content-Type'] == 'text/markdown'
  readme = (distribution.REPOSITORY / 'README.md').read_text(encoding='utf-8')
  assert about.get_payload().strip() == readme.strip()


@pytest.mark.parametrize('python', PYTHONS)
def test_light_install(wheel, python):
  """By Python version: NNX of flax 0.12.8 does not import on jax 0.11."""
  older = python == '3.11'
  expected = {
    'jax': '>=0.10.2,<0.11' if older else '>=0.11.1,<0.13',
    'flax': '>=0.12.8,<0.12.9' if older else '>=0.12.10,<0.13',
    'optax': '>=0.2.5',
    'chex': '>=0.1.92',
    'numpy': '>=2.0',
  }
  assert required(wheel, python) == {
    name: specifiers.SpecifierSet(text) for name, text in expected.items()
  }


def test_python_versions(wheel):
  about = metadata(wheel)
  assert about['Requires-Python'] == '>=3.11'
  named = [line.rpartition(' ')[2] for line in about.get_all('Classifier')]
  assert tuple(n for n in named if re.fullmatch(r'3\.\d+', n)) == PYTHONS


def test_extras(wheel):
  extras = {
    'train', 'household', 'questions', 'procedural', 'shop', 'control', 'docs',
    'tunix', 'cuda', 'tpu', 'test',
  }  # fmt: skip
  assert set(metadata(wheel).get_all('Provides-Extra')) == extras
  light = required(wheel, '3.12')
  asked = {
    extra: {
      name: specifier
      for name, specifier in required(wheel, '3.12', extra).items()
      if name not in light
    }
    for extra in extras
  }
  train = asked['train']
  assert train.keys() >= {
    'absl-py',
    'importlib-resources',
    'orbax-checkpoint',
    'tensorflow-datasets',
    'transformers',
  }
  assert train['transformers'] == specifiers.SpecifierSet('>=5,<6')
  # An accelerator's drivers come with jax, and only with its extra.
  assert not asked['cuda'] and not asked['tpu']
  about = metadata(wheel).get_all('Requires-Dist')
  assert {line for line in about if 'jax[' in line} == {
    'jax[cuda13]; extra == "cuda"',
    'jax[tpu]; extra == "tpu"',
  }
  # The tests need everything that runs on a CPU.
  assert asked['test'].items() >= train.items()
  assert asked['test'].items() >= asked['household'].items()
  assert asked['test'].items() >= asked['questions'].items()
  assert asked['test'].items() >= asked['shop'].items()
  # It needs a C compiler: `make run` does without.
  assert 'reasoning-gym' in asked['procedural'].keys() - asked['test'].keys()


def pins(path: pathlib.Path) -> dict[str, str]:
  """Versions by name; fails on any line that is not pinned and hashed."""
  text = path.read_text(encoding='utf-8')
  versions = {}
  for line in re.sub(r' *\\\n *', ' ', text).splitlines():
    match = PINNED.fullmatch(line)
    assert match, f'{path.name}: not a name, a version and hashes: {line}'
    assert match['name'] not in versions, f'{path.name}: {line} again'
    versions[match['name']] = match['version']
  return versions


@pytest.mark.parametrize('name', FILES)
def test_requirements_are_pinned_and_hashed(name):
  assert pins(REQUIREMENTS / name)


def test_torch_is_needed_by_tests_alone():
  added = pins(REQUIREMENTS / 'torch.txt')
  assert 'torch' in added
  for name in FILES:
    if name != 'torch.txt':
      assert not added.keys() & pins(REQUIREMENTS / name).keys(), name
  # What these declare beside one another; pip installs them without a look at
  # that.
  assert pins(REQUIREMENTS / 'python3.11.txt').keys() >= {
    'filelock',
    'fsspec',
    'huggingface-hub',
    'jinja2',
    'numpy',
    'packaging',
    'psutil',
    'pyyaml',
    'safetensors',
    'setuptools',
    'typing-extensions',
  }


def test_requirements_of_tunix_are_an_environment_of_their_own(wheel):
  """With what jaxcredit itself needs, under Python 3.12 and later alone."""
  versions = pins(REQUIREMENTS / 'tunix.txt')
  asked = required(wheel, '3.12', 'tunix')
  assert 'google-tunix' in asked
  assert 'google-tunix' not in required(wheel, '3.11', 'tunix')
  for name, specifier in asked.items():
    assert specifier.contains(versions[name]), name


def test_no_other_requirements():
  assert sorted(p.name for p in REQUIREMENTS.glob('*.txt')) == sorted(FILES)


@pytest.mark.parametrize('python', PYTHONS)
def test_requirements_satisfy_what_is_declared(wheel, python):
  versions = pins(REQUIREMENTS / f'python{python}.txt')
  for extra in ('', 'train', 'household', 'questions', 'shop', 'test'):
    for name, specifier in required(wheel, python, extra).items():
      assert name in versions, f'{name} of [{extra}] is not pinned'
      assert specifier.contains(versions[name]), name
  assert not [n for n in versions if n.startswith(('nvidia', 'libtpu'))]


@pytest.mark.parametrize('extra', ['procedural', 'control', 'docs'])
def test_requirements_beside_the_others(wheel, extra):
  others = pins(REQUIREMENTS / 'python3.11.txt')
  versions = pins(REQUIREMENTS / f'{extra}.txt')
  assert not others.keys() & versions.keys()
  for name, specifier in required(wheel, '3.11', extra).items():
    assert specifier.contains((others | versions)[name]), name
