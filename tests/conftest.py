"""Eight simulated devices, and quiet, repeatable property tests."""

import os

# Before jax is imported: the backend reads it once.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
if 'xla_force_host_platform_device_count' not in os.environ.get(
  'XLA_FLAGS', ''
):
  os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '')
    + ' --xla_force_host_platform_device_count=8'
  ).strip()

import gc
import pathlib

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile(
  'jaxcredit',
  # The first example compiles; a shared machine is slow at times.
  deadline=None,
  max_examples=25,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile('jaxcredit')

# Linux lets a process have 65,530 mappings; each compiled program has a few,
# and where no more can be had, compiling ends in a crash.
_MAPPINGS = pathlib.Path('/proc/self/maps')
_MANY = 30_000


@pytest.fixture(autouse=True, scope='module')
def few_compiled_programs():
  """Forgets compiled programs, between modules, where there are many."""
  yield
  if not _MAPPINGS.exists():
    return
  with _MAPPINGS.open('rb') as lines:
    many = sum(1 for _ in lines) > _MANY
  if many:
    jax.clear_caches()
    gc.collect()
