"""The recipes for launching can be read, and name flags that there are."""

import contextlib
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml
from absl import flags
from absl.testing import flagsaver

from experiments.tools import launch
from tests.experiments import imported_script, script

FOLDER = script.REPOSITORY / 'docs' / 'launching'
SHELL = sorted(FOLDER.glob('*.sh'))
VALUES = {
  'ALFWORLD_DATA': '/data', 'SCRATCH': '/scratch', 'CLUSTER': 'c', 'IMAGE': 'i',
}  # fmt: skip


def commands(text: str) -> list[str]:
  """The words behind -m of each command with one."""
  text = re.sub(r'^#.*$', '', text, flags=re.MULTILINE).replace('\\\n', ' ')
  found = []
  for line in re.split(r'\n\s*\n', text):
    words = shlex.split(line, comments=True)
    # A command can stand in a flag of another.
    inside = [w.partition('=')[2] for w in words if w.startswith('--command=')]
    words = shlex.split(inside[0]) if inside else words
    if '-m' in words:
      found.append(words[words.index('-m') + 1 :])
  return found


def of_jobset() -> list[str]:
  jobset = yaml.safe_load((FOLDER / 'jobset.yaml').read_text('utf-8'))
  (job,) = jobset['spec']['replicatedJobs']
  pod = job['template']['spec']['template']['spec']
  (container,) = pod['containers']
  words = container['command'] + container['args']
  assert all(isinstance(word, str) for word in words)
  return words[words.index('-m') + 1 :]


@pytest.fixture(scope='module', autouse=True)
def gigpo():
  with imported_script.imported('experiments.gigpo') as module:
    yield module


def check(words: list[str]) -> None:
  """What follows -m is a module of ours, with flags that it knows."""
  module, *arguments = words
  if module == 'experiments.tools.launch':
    options = launch.parse(arguments)
    assert options.processes > 1
    module, arguments = options.module, options.arguments
  assert module == 'experiments.gigpo'
  filled = [
    re.sub(r'\$\{?(\w+)\}?', lambda m: VALUES.get(m[1], '0'), word)
    for word in arguments
  ]
  with flagsaver.flagsaver(), contextlib.chdir(script.REPOSITORY):
    assert flags.FLAGS(['script', *filled]) == ['script']


@pytest.mark.parametrize('path', SHELL, ids=lambda p: p.name)
def test_a_shell_reads_it(path):
  result = subprocess.run(
    ['bash', '-n', path], capture_output=True, text=True, check=False
  )
  assert result.returncode == 0, result.stderr


@pytest.mark.parametrize('path', SHELL, ids=lambda p: p.name)
def test_its_flags_are_those_of_the_script(path):
  found = commands(path.read_text('utf-8'))
  assert len(found) == 1
  check(found[0])


def test_the_jobset_names_flags_of_the_script():
  words = of_jobset()
  assert '--processes=auto' in words
  check(words)


def test_the_jobset_is_one_slice_whose_hosts_all_start():
  jobset = yaml.safe_load((FOLDER / 'jobset.yaml').read_text('utf-8'))
  assert jobset['kind'] == 'JobSet'
  (job,) = jobset['spec']['replicatedJobs']
  spec = job['template']['spec']
  pod = spec['template']['spec']
  hosts = spec['parallelism']
  assert hosts == spec['completions']
  (container,) = pod['containers']
  chips = container['resources']['limits']['google.com/tpu']
  assert chips == container['resources']['requests']['google.com/tpu']
  topology = pod['nodeSelector']['cloud.google.com/gke-tpu-topology']
  rows, columns = (int(n) for n in topology.split('x'))
  assert hosts * chips == rows * columns
  mounts = {m['name'] for m in container['volumeMounts']}
  assert mounts == {v['name'] for v in pod['volumes']}


def test_a_flag_that_is_gone_would_be_seen():
  with pytest.raises(flags.UnrecognizedFlagError):
    check(['experiments.gigpo', '--no_such_flag=1'])


def test_flagfiles_of_recipes_exist():
  texts = [p.read_text('utf-8') for p in [*SHELL, FOLDER / 'jobset.yaml']]
  named = re.findall(r'--flagfile=(\S+)', '\n'.join(texts))
  assert len(named) == len(texts)
  for name in named:
    assert (pathlib.Path(script.REPOSITORY) / name).exists()
