"""What must be refused is, with a reason, soon, and without any effect."""

import os
import pathlib
import re
import resource
import socket
import sys
import time

import pytest

from jaxcredit.latent_rewards import (
  answers,
  examination,
  language,
  refusal,
  transitions,
  verification,
)
from tests.latent_rewards import hostile, programs

pytestmark = pytest.mark.system

SECONDS = 20.0
MEGABYTES = 200


@pytest.fixture(scope='module')
def process():
  process = verification.make_process()
  process.start()
  yield process
  process.close()


def judge(text, process):
  recorded = transitions.Transitions(tuple(programs.arrays(16)))
  return verification.verify(
    answers.source_of(text),
    programs.PARAMETERS,
    recorded,
    process=process,
    time_limit=SECONDS,
  )


def state() -> dict:
  """What a text might have changed."""
  found = {
    'environment': dict(os.environ),
    'folder': os.getcwd(),
    'files': sorted(p.name for p in pathlib.Path.cwd().iterdir()),
    'builtins': sorted(vars(sys.modules['builtins'])),
    'recursion': sys.getrecursionlimit(),
    'jnp': sorted(vars(sys.modules['jax.numpy'])),
    'path': list(sys.path),
  }
  tasks = pathlib.Path('/proc/self/task')
  if tasks.exists():
    found['children'] = sorted(
      child
      for task in tasks.iterdir()
      for child in (task / 'children').read_text().split()
    )
    # Open files and sockets; one of them is the folder that is read here.
    found['open'] = len(os.listdir('/proc/self/fd'))
  return found


def test_there_are_many_samples():
  assert len(hostile.SAMPLES) >= 200


def test_all_are_refused_in_process(tmp_path, monkeypatch):
  """What the child and the trainer do with each, without a child."""
  monkeypatch.chdir(tmp_path)
  recorded = transitions.Transitions(tuple(programs.arrays(16)))
  before = state()
  wrong = {}
  for name, (text, words) in hostile.SAMPLES.items():
    start = time.process_time()
    try:
      source = answers.source_of(text)
      program = language.check(source, programs.PARAMETERS)
      examination.examine(program, recorded)
      told = 'accepted'
    except (refusal.Refused, examination.Rejected) as error:
      told = str(error)
    seconds = time.process_time() - start
    if not re.search(words, told) or len(told) > 1_000 or seconds > SECONDS:
      wrong[name] = f'{told} ({seconds:.1f} s)'
  assert wrong == {}
  assert state() == before


@pytest.mark.system
@pytest.mark.parametrize('name', hostile.SAMPLES)
def test_is_refused_without_effect(name, process, tmp_path, monkeypatch):
  text, words = hostile.SAMPLES[name]
  monkeypatch.chdir(tmp_path)
  before = state()
  start = time.monotonic()
  pid = process._process.pid
  with pytest.raises((refusal.Refused, verification.Unverified)) as caught:
    judge(text, process)
  assert re.search(words, str(caught.value)), caught.value
  assert len(str(caught.value)) < 1_000
  assert time.monotonic() - start < SECONDS
  # It was told by a check: the child process did not die of it.
  assert process._process.pid == pid
  assert state() == before


@pytest.mark.system
def test_memory_did_not_grow(process):
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  for text, _ in hostile.SAMPLES.values():
    with pytest.raises((refusal.Refused, verification.Unverified)):
      judge(text, process)
  again = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert again - peak < MEGABYTES * 2**10


def test_the_checks_of_effects_find_effects(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  before = state()
  (tmp_path / 'made').touch()
  assert state() != before
  (tmp_path / 'made').unlink()
  monkeypatch.setenv('MADE_BY_A_TEST', '1')
  assert state() != before
  monkeypatch.delenv('MADE_BY_A_TEST')
  assert state() == before
  if 'open' in before:
    with socket.socket():
      assert state() != before
