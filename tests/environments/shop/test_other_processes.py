"""What a worker process finds, and what it must leave alone."""

import hashlib
import os
import subprocess
import sys

import pytest

from jaxcredit.environments import shop
from tests import distribution

pytestmark = pytest.mark.system

PROGRAM = f"""
import sys, jaxcredit
print([m for m in sys.modules if 'shop' in m or 'bm25s' in m])
from {__name__} import digest
print(digest())
import jax.lax
print(sys.modules['jax.lax'] is jax.lax)
try:
  jax.lax.add(1, 1)
except RuntimeError:
  print('JAX fails')
"""


def digest():
  """Of a catalogue, goals and searches."""
  catalogue = shop.generated(240, 5)
  goals = shop.generate_goals(9, 20, catalogue, 'train')
  found = [catalogue.search(goal.instruction) for goal in goals]
  parts = repr((catalogue.products, goals, found))
  return hashlib.sha256(parts.encode()).hexdigest()


@pytest.fixture(scope='module')
def lines():
  """What another process says, where JAX cannot compute."""
  result = subprocess.run(
    [sys.executable, '-c', PROGRAM],
    env={
      **os.environ,
      'PYTHONHASHSEED': '4321',
      'JAX_PLATFORMS': 'no_such_platform',
    },
    cwd=distribution.REPOSITORY,
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  return result.stdout.splitlines()


def test_the_package_does_not_import_the_shop(lines):
  assert lines[0] == '[]'


def test_other_processes_make_the_same_shop(lines):
  assert lines[1] == digest()


def test_a_worker_that_searches_leaves_the_accelerator_alone(lines):
  # It searched, though JAX fails; and JAX is whole again.
  assert lines[2:] == ['True', 'JAX fails']
