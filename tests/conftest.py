"""Eight simulated devices, programs compiled once, and what a test may cost."""

import os

from tests import compile_cache

# Before jax is imported: the backend reads it once.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
if 'xla_force_host_platform_device_count' not in os.environ.get(
  'XLA_FLAGS', ''
):
  os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '')
    + ' --xla_force_host_platform_device_count=8'
  ).strip()
os.environ.update(compile_cache.variables())

import gc
import json
import pathlib

import hypothesis
import jax
import pytest

from tests import cost

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
_MANY = 30_000
# Bytes that a worker may hold at the end of a module without doing anything.
_MUCH = 1_500_000_000
# Tests of these tiers may cost what they cost.
_LATER_TIERS = ('system', 'slow', 'network')
_LIMIT = pytest.StashKey[float]()
_PEAKS = pytest.StashKey[dict]()
_METER = cost.Meter()
# Accounts of fixtures of several tests that this test was first to ask for.
_SHARED = []
# Names a file that gets a line a test: seconds, of shared fixtures, memory.
_COSTS = 'JAXCREDIT_TEST_COSTS'


def pytest_configure(config):
  config.stash[_LIMIT] = cost.limit()
  folder = os.environ.get(compile_cache.FOLDER)
  if folder and not hasattr(config, 'workerinput'):
    compile_cache.sweep(pathlib.Path(folder))


def pytest_report_header(config):
  folder = os.environ.get(compile_cache.FOLDER)
  return [
    f'compiled programs: {folder or "kept nowhere"}',
    f'processor seconds that a test may take: {config.stash[_LIMIT]:.1f}',
  ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
  _SHARED.clear()
  _METER.begin(item.nodeid)
  try:
    return (yield)
  finally:
    _METER.end()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
  # It is set up for the test that runs now, and for others after it.
  if fixturedef.scope == 'function':
    return (yield)
  account = f'{request.node.nodeid}, fixture {fixturedef.argname}'
  _SHARED.append(account)
  _METER.begin(account)
  try:
    return (yield)
  finally:
    _METER.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
  last = nextitem is None or nextitem.path != item.path
  # What a module leaves behind is not its last test's.
  _METER.begin('ends of modules' if last else item.nodeid)
  try:
    result = yield
  finally:
    _METER.end()
  accounts = [item.nodeid, *_SHARED]
  _write_costs(item, accounts)
  allowed = item.config.stash[_LIMIT]
  if allowed and not any(map(item.get_closest_marker, _LATER_TIERS)):
    for account in accounts:
      if _METER.seconds[account] > allowed:
        words = cost.complaint(_METER.seconds[account], allowed)
        pytest.fail(f'{account} {words}', pytrace=False)
  return result


def _write_costs(item, accounts):
  if not os.environ.get(_COSTS):
    return
  with open(os.environ[_COSTS], 'a', encoding='utf-8') as file:
    for account in accounts:
      if account in _SHARED and not _METER.seconds[account]:
        continue
      record = {
        'account': account,
        'seconds': round(_METER.seconds[account], 2),
        'memory': cost.memory(),
        'worker': os.environ.get('PYTEST_XDIST_WORKER', ''),
        'tiers': [m for m in _LATER_TIERS if item.get_closest_marker(m)],
      }
      file.write(json.dumps(record) + '\n')


def pytest_sessionfinish(session):
  output = getattr(session.config, 'workeroutput', None)
  if output is not None:
    output['peak_memory'] = cost.peak_memory()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
  peak = getattr(node, 'workeroutput', {}).get('peak_memory', 0)
  node.config.stash.setdefault(_PEAKS, {})[node.gateway.id] = peak


def pytest_terminal_summary(terminalreporter, config):
  peaks = config.stash.get(_PEAKS, {'this process': cost.peak_memory()})
  words = ', '.join(f'{n} {b / 1e9:.1f} GB' for n, b in sorted(peaks.items()))
  terminalreporter.write_line(f'largest memory: {words}')


@pytest.fixture(autouse=True)
def real_code(request):
  """Gives tests marked `optimised` programs as a user gets them."""
  if not request.node.get_closest_marker('optimised'):
    yield
    return
  with compile_cache.real_code():
    yield


@pytest.fixture(autouse=True, scope='module')
def little_memory():
  """Gives memory back between modules, and forgets programs if it is much."""
  yield
  if cost.memory() > _MUCH:
    cost.give_back()
  if cost.memory() > _MUCH or cost.mappings() > _MANY:
    jax.clear_caches()
    gc.collect()
    cost.give_back()
