"""What a limited process may not do, and that it comes back.

The rule that says which text may be executed is tested in a process of its
own: an audit hook, once added, stays.
"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import pytest

from jaxcredit.environments import questions
from jaxcredit.environments.questions import limited_process, question

pytestmark = pytest.mark.system

PROGRAM = limited_process._PROGRAM
PREPARE = f"""
import sys, runpy, os
program = runpy.run_path({str(PROGRAM)!r}, run_name='limited_program')
guard, Refused = program['GUARD'], program['Refused']
from math import sin, sqrt
Symbol = Integer = abs
sys.addaudithook(guard)
"""


def outcome(source: str) -> str:
  """What comes of Python source with the guard on."""
  program = PREPARE + (
    'guard.on = True\n'
    f'try:\n  {source}\n  guard.on = False\n  print("done")\n'
    'except Refused as error:\n  guard.on = False\n  print(error)\n'
  )
  with tempfile.TemporaryDirectory() as folder:
    result = subprocess.run(
      [sys.executable, '-c', program],
      cwd=folder,
      capture_output=True,
      text=True,
      timeout=60,
    )
  return result.stdout.strip() or result.stderr


@pytest.mark.parametrize(
  'source',
  [
    'eval("1 + 2 * 3")',
    'eval("[[0, 1], (2, 3)]")',
    'eval("sin(2) ** sqrt(4)")',
    'eval("Integer(3) - Symbol(4)")',
    'import textwrap, colorsys',
    'open(os.devnull).read()',
    'import collections; collections.namedtuple("a", "b c")',
  ],
)
def test_arithmetic_and_modules_are_allowed(source):
  assert outcome(source) == 'done'


@pytest.mark.parametrize(
  ('source', 'reason'),
  [
    ("""eval('__import__("os").getcwd()')""", "names '__import__'"),
    ("eval('().__class__')", "names '__class__'"),
    ("eval('(lambda: os)()')", 'defines functions'),
    ("eval('[c for c in ().__class__.__mro__]')", 'names'),
    ("eval('open(0)')", "names 'open'"),
    ("eval('print')", "names 'print'"),
    ("exec('import os')", "names 'os'"),
    ("exec('def sin(): pass')", 'defines functions'),
    ('eval(\'f"{sin.__self__}"\')', "names '__self__'"),
    ("open('made_by_a_test', 'w')", 'writing a file'),
    ("os.open('made_by_a_test', os.O_CREAT)", 'writing a file'),
    ("os.system('true')", 'os.system'),
    ("os.remove('made_by_a_test')", 'os.remove'),
    ('os.fork()', 'os.fork'),
    ("__import__('subprocess').run(['true'])", 'subprocess.Popen'),
    ("__import__('socket').socket()", 'socket'),
  ],
)
def test_all_else_is_refused(source, reason):
  assert reason in outcome(source)


def make(service='mathematics'):
  return limited_process.LimitedProcess(service, 'install it')


@pytest.fixture(scope='module')
def process():
  pytest.importorskip('math_verify')
  process = make()
  yield process
  process.close()


def compare(process, reference, answer, limit=5.0):
  return process.ask('score', limit, reference=reference, answer=answer)[
    'score'
  ]


def test_a_process_that_is_stuck_is_ended_and_started_again(process):
  assert compare(process, '2', '1+1') == 1
  first = process._process.pid
  with pytest.raises(question.CheckFailure, match='longer than 0.5') as caught:
    compare(process, '5', '9^{9^{9^{9}}}', limit=0.5)
  assert caught.value.kind == 'time'
  assert compare(process, '2', '1+1') == 1
  assert process._process.pid != first


def test_a_process_ends_by_itself_when_its_time_is_up():
  """Even where nobody is left to end it."""
  pytest.importorskip('math_verify')
  process = make()
  process.start()
  request = {'reference': '5', 'answer': '9^{9^{9^{9}}}'}
  process._send(json.dumps({'operation': 'score', 'limit': 0.3, **request}))
  assert process._process.wait(timeout=60) == -signal.SIGALRM
  process.close()


def test_a_process_that_died_is_started_again(process):
  process.start()
  process._process.kill()
  process._process.wait()
  assert compare(process, '2', '1+1') == 1
  process._process.kill()
  # It may not be known yet that it is dead.
  with pytest.raises(question.CheckFailure, match='died'):
    process._receive(10)
  assert compare(process, '2', '1+1') == 1


def test_an_interrupted_request_leaves_no_answer_behind(process, monkeypatch):
  def interrupted(*arguments):
    raise KeyboardInterrupt

  compare(process, '2', '1+1')
  with monkeypatch.context() as patch:
    patch.setattr(process, '_receive', interrupted)
    with pytest.raises(KeyboardInterrupt):
      compare(process, '2', '1+1')
  assert compare(process, '2', '3') == 0


def test_an_interrupted_start_leaves_no_answer_behind(process, monkeypatch):
  def interrupted(*arguments):
    raise KeyboardInterrupt

  process.close()
  with monkeypatch.context() as patch:
    patch.setattr(process, '_receive', interrupted)
    with pytest.raises(KeyboardInterrupt):
      process.start()
  assert compare(process, '2', '1+1') == 1


def test_a_start_that_takes_too_long_is_told():
  slow = limited_process.LimitedProcess(
    'mathematics', 'install it', start_limit=1e-3
  )
  with pytest.raises(question.CheckerUnavailable, match='longer than 0.001 s'):
    slow.start()


def test_an_error_inside_is_told(process):
  with pytest.raises(question.CheckFailure, match='KeyError') as caught:
    process.ask('score', 5.0, reference='1')
  assert caught.value.kind == 'error'
  with pytest.raises(question.CheckFailure, match='no_such_operation'):
    process.ask('no_such_operation', 5.0)


def test_memory_is_bounded():
  program = PREPARE + (
    'program["limit_resource"]("RLIMIT_AS", 2**30)\n'
    'program["limit_resource"]("NO_SUCH_LIMIT", 0)\n'
    'try:\n  bytearray(2**31)\nexcept MemoryError:\n  print("bounded")\n'
  )
  result = subprocess.run(
    [sys.executable, '-c', program],
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert result.stdout == 'bounded\n', result.stderr


@pytest.mark.skipif(
  not pathlib.Path('/proc/self/limits').exists(), reason='no /proc here'
)
def test_limits_of_a_process_that_runs(process):
  process.start()
  limits = pathlib.Path(f'/proc/{process._process.pid}/limits').read_text()
  assert re.search(r'Max address space +2147483648 ', limits)
  assert re.search(r'Max file size +0 ', limits)
  assert re.search(r'Max core file size +0 ', limits)


def test_a_missing_library_is_named(monkeypatch, tmp_path):
  for name in ('math_verify', 'reasoning_gym'):
    (tmp_path / f'{name}.py').write_text('raise ImportError("none here")')
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  for service in ('mathematics', 'procedural'):
    with pytest.raises(
      question.CheckerUnavailable, match=r'none here.*: install it'
    ):
      make(service).start()


def test_a_missing_library_is_no_wrong_answer(monkeypatch, tmp_path):
  (tmp_path / 'math_verify.py').write_text('raise ImportError("none here")')
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  monkeypatch.setattr(limited_process, '_shared', {})
  asked = questions.Question('?', '2', questions.FormulaChecker('2'))
  for call in (asked.prepare, lambda: asked.score(r'\boxed{1+1}')):
    with pytest.raises(
      question.CheckerUnavailable, match="with its extra 'questions'"
    ):
      call()


def test_it_is_given_no_variables_but_those_to_find_packages(monkeypatch):
  started = {}

  def popen(command, **options):
    started.update(options['env'])
    raise OSError

  monkeypatch.setenv('SECRET_TOKEN', 'x')
  monkeypatch.setattr(subprocess, 'Popen', popen)
  with pytest.raises(OSError):
    make().start()
  assert 'PATH' in started and 'SECRET_TOKEN' not in started
