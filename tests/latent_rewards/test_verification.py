"""What fails on transitions is told; what runs away costs a child process."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxcredit.latent_rewards import (
  examination,
  language,
  limited_verification,
  refusal,
  transitions,
  verification,
)
from tests.latent_rewards import programs

RECORDED = transitions.Transitions(tuple(programs.arrays(40)))
GOOD = programs.function(
  'return [observation[:, 0:1] * 2, jnp.sum(action, axis=1)]'
)


@pytest.fixture(scope='module')
def process():
  process = verification.make_process()
  process.start()
  yield process
  process.close()


def examine(body, **options):
  program = language.check(programs.function(body))
  return examination.examine(program, RECORDED, **options)


@pytest.mark.system
def test_a_good_function(process):
  program, report = verification.verify(
    GOOD, programs.PARAMETERS, RECORDED, process=process
  )
  assert program.source == GOOD
  expected = programs.by_python(GOOD, *RECORDED.arrays)
  assert report.rows == 40 and report.warnings == ()
  for factor, column in zip(report.factors, expected.T, strict=True):
    assert factor.mean == pytest.approx(column.mean(), abs=1e-5)
    assert factor.std == pytest.approx(column.std(), abs=1e-5)
    assert factor.minimum == pytest.approx(column.min(), abs=1e-5)
    assert factor.maximum == pytest.approx(column.max(), abs=1e-5)
  assert json.loads(json.dumps(report.to_json()))['rows'] == 40


@pytest.mark.parametrize(
  ('body', 'words'),
  [
    ('return [observation[:, 0], jnp.sqrt(action[:, 0])]',
     r'factor 2 is not finite on \d+ of 40'),
    ('return [action[:, 0] * 0 + 3, observation[:, 0] * 0]',
     'factor 1 is 3 on all 40 .*factor 2 is 0 on all 40'),
    ('return [observation[:, 0] - jnp.max(observation[:, 0])]',
     'factor 1 of a row depends on the other rows'),
    ('return [observation[:, 0] * (2 if action.shape[0] == 1 else 1)]',
     'factor 1 of a row depends on the other rows'),
    ('return [action[:, 0], jnp.sort(action, axis=0)[:, 1]]',
     'factor 2 of a row depends on the other rows'),
  ],
)  # fmt: skip
def test_failures(body, words):
  with pytest.raises(examination.Rejected, match=words) as caught:
    examine(body)
  assert all(words.startswith('factor') for words in caught.value.reasons)


def test_gradients_only_where_they_are_asked_for():
  # The norm of a row of zeros has no derivative.
  body = 'return [jnp.linalg.norm(observation[:, :2] * 0 + 1, axis=1)'
  body += ' + action[:, 0], jnp.sqrt(jnp.maximum(action[:, 1], 0.0))]'
  examine(body)
  with pytest.raises(examination.Rejected, match='factor 2 has derivatives'):
    examine(body, require_gradients=True)
  examine('return [action[:, 1]]', require_gradients=True)


def test_a_function_that_has_a_state_is_found(monkeypatch):
  """None can be written; one is made here."""
  program = language.check(GOOD)
  calls = []

  def encode(program, *arrays):
    calls.append(1)
    return arrays[0] * len(calls)

  monkeypatch.setattr(examination.interpreter, 'encode', encode)
  with pytest.raises(examination.Rejected, match='when computed again'):
    examination.examine(program, RECORDED)


def test_scales_are_compared():
  report = examine('return [action[:, 0], 1e6 * action[:, 1]]')
  assert re.search('scales of the factors differ much', report.warnings[0])


@pytest.mark.system
@pytest.mark.parametrize('name', programs.FORMS)
def test_every_form_passes_the_child(name, process):
  """Its audit hook stops none of what JAX does for them."""
  answer = process.ask(
    'verify',
    verification.TIME_LIMIT,
    source=programs.function(programs.FORMS[name]),
    parameters=programs.PARAMETERS,
    arrays=[array.tolist() for array in RECORDED.arrays],
    require_gradients=False,
  )
  assert answer.get('report', {}).get('rows') == 40, answer


@pytest.mark.system
def test_many_rows_are_thinned_out(process):
  recorded = transitions.Transitions(tuple(programs.arrays(5_000)))
  _, report = verification.verify(
    GOOD, programs.PARAMETERS, recorded, process=process
  )
  assert report.rows == examination.MAX_ROWS


@pytest.mark.system
def test_what_takes_too_long_is_ended(process):
  body = """
x = observation
for i in range(40):
  for j in range(10):
    x = jnp.sort(jnp.sin(x))
"""
  with pytest.raises(verification.Unverified, match='took longer than 0.05 s'):
    verification.verify(
      programs.function(f'{body}return [x[:, 0]]'),
      programs.PARAMETERS,
      RECORDED,
      process=process,
      time_limit=0.05,
    )
  # And the next one is judged again.
  verification.verify(GOOD, programs.PARAMETERS, RECORDED, process=process)


@pytest.mark.system
def test_a_child_that_dies_is_a_refusal(process, monkeypatch):
  from jaxcredit.environments.questions import question

  def ask(*arguments, **options):
    raise question.CheckFailure('error', 'its process died')

  with monkeypatch.context() as patch:
    patch.setattr(process, 'ask', ask)
    with pytest.raises(verification.Unverified, match='its process died'):
      verification.verify(GOOD, programs.PARAMETERS, RECORDED, process=process)


@pytest.mark.system
def test_nothing_is_parsed_here_before_the_child_took_it(process, monkeypatch):
  def check(*arguments):
    raise AssertionError('parsed here')

  monkeypatch.setattr(language, 'check', check)
  with pytest.raises(verification.Unverified, match='import'):
    verification.verify(
      'import os', programs.PARAMETERS, RECORDED, process=process
    )
  with pytest.raises(verification.Unverified, match='write at most'):
    verification.verify(
      'x' * 99_999, programs.PARAMETERS, RECORDED, process=process
    )


@pytest.mark.system
def test_both_processes_must_agree(process, monkeypatch):
  def examine(*arguments, **options):
    raise refusal.Refused('something', 'not here', 2)

  monkeypatch.setattr(examination, 'examine', examine)
  with pytest.raises(verification.Unverified, match='line 2: something'):
    verification.verify(GOOD, programs.PARAMETERS, RECORDED, process=process)


@pytest.mark.system
@pytest.mark.skipif(
  not pathlib.Path('/proc/self/limits').exists(), reason='no /proc here'
)
def test_limits_of_the_child(process, monkeypatch):
  process.start()
  folder = pathlib.Path(f'/proc/{process._process.pid}')
  limits = (folder / 'limits').read_text()
  assert re.search(rf'Max address space +{verification.MEMORY} ', limits)
  assert re.search(r'Max file size +0 ', limits)
  assert re.search(r'Max core file size +0 ', limits)
  variables = (folder / 'environ').read_bytes().split(b'\0')
  names = {v.split(b'=')[0].decode() for v in variables if v}
  assert 'JAX_PLATFORMS' in names
  assert not {n for n in names if 'KEY' in n or 'TOKEN' in n}


def has_namespaces() -> bool:
  program = (
    'import ctypes\n'
    'raise SystemExit(ctypes.CDLL(None).unshare(0x50000000) != 0)'
  )
  return subprocess.run([sys.executable, '-c', program]).returncode == 0


@pytest.mark.system
@pytest.mark.skipif(
  not sys.platform.startswith('linux') or not has_namespaces(),
  reason='the system has no namespaces for users',
)
def test_the_child_has_no_network(process):
  process.start()
  theirs = os.readlink(f'/proc/{process._process.pid}/ns/net')
  assert theirs != os.readlink('/proc/self/ns/net')


@pytest.mark.system
def test_memory_is_bounded_where_the_checks_are_gone():
  """Were a memory bomb accepted, the limit of the system would end it."""
  bomb = programs.function(
    'x = observation\nfor i in range(5):\n'
    '  x = jnp.concatenate([x for j in range(64)], axis=1)\n'
    'return [jnp.sum(x, axis=1)]'
  )
  program = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({4 * 2**30}, {4 * 2**30}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import jax, jax.numpy as jnp
from jaxcredit.latent_rewards import interpreter, language, syntax_walk
syntax_walk.MAX_ELEMENTS = syntax_walk.MAX_WORK = 2**60
bomb = language.check({bomb!r})
print('ready', flush=True)
interpreter.run(bomb, jnp.ones((1, 6)), jnp.ones((1, 2))).block_until_ready()
print('computed')
"""
  root = str(pathlib.Path(verification.__file__).resolve().parents[2])
  result = subprocess.run(
    [sys.executable, '-c', program],
    env={**os.environ, 'PYTHONPATH': root, 'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert result.stdout == 'ready\n', result.stdout + result.stderr


def test_the_service_answers_requests():
  """As the child runs it, here in this process."""
  service = limited_verification.Verification()
  request = {
    'source': GOOD,
    'parameters': list(programs.PARAMETERS),
    'arrays': [array.tolist() for array in RECORDED.arrays],
    'require_gradients': False,
  }
  assert service.verify(request)['report']['rows'] == 40
  found = service.verify({**request, 'source': 'import os'})
  assert found['refused'].startswith('line 1: import')


def test_float64_transitions():
  with jax.enable_x64(True):
    wide = transitions.Transitions(
      tuple(np.asarray(a, np.float64) for a in RECORDED.arrays)
    )
    program = language.check(GOOD)
    assert examination.examine(program, wide).rows == 40
