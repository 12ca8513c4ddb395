"""Formulas are compared as mathematics, whatever was written."""

import functools
import json
import logging
import pathlib
import time

import hypothesis
import pytest
from hypothesis import strategies

from jaxcredit.environments import questions
from jaxcredit.rollouts import pool as pool_lib
from tests.environments.questions.test_answers_fuzz import PIECES

pytest.importorskip('math_verify', reason="needs the extra 'questions'")


@pytest.fixture(autouse=True)
def no_failures_before():
  questions.failures.clear()


def score(reference, answer, limit=5.0):
  question = questions.Question(
    '?', reference, questions.FormulaChecker(reference), time_limit=limit
  )
  question.prepare()
  return question.score(answer)


@pytest.mark.parametrize(
  ('reference', 'answer'),
  [
    ('5', '5'),
    (r'\frac{1}{2}', '0.5'),
    (r'\frac{1}{2}', r'\dfrac12'),
    ('x^2+1', '1 + x^{2}'),
    (r'\frac{\sqrt{3}}{2}', r'\sqrt{\frac{3}{4}}'),
    ('(x+1)^2', 'x^2+2x+1'),
    ('(1,2)', '(1, 2)'),
    (r'\{1,2\}', r'\{2,1\}'),
    ('[0,1)', r'[0,\,1)'),
    (r'11\text{ cm}', '11'),
    ('x=5', '5'),
    (r'10\%', '0.1'),
    (r'\text{(B)}', 'B'),
    (r'2\pi', r'\pi \cdot 2'),
    (r'\begin{pmatrix}1\\2\end{pmatrix}', r'\begin{pmatrix}1 \\2\end{pmatrix}'),
    ('1{,}000', '1000'),
  ],
)  # fmt: skip
def test_equal_formulas(reference, answer):
  assert score(reference, rf'Thus $\boxed{{{answer}}}$.') == 1
  assert score(reference, rf'The answer is ${answer}$') == 1
  assert not questions.failures


@pytest.mark.parametrize(
  ('reference', 'answer'),
  [
    ('5', '6'),
    ('5', '-5'),
    ('5', '5x'),
    (r'\frac{1}{2}', r'\frac{1}{3}'),
    ('x^2+1', 'x^2-1'),
    ('(1,2)', '(2,1)'),
    ('[0,1)', '[0,1]'),
    (r'\text{(B)}', 'C'),
    (r'2\pi', r'3\pi'),
    ('5', ''),
    ('5', r'\frac{'),
    ('5', '\x00'),
    ('5', '{' * 300),
    ('5', '5' * 900),
    ('5', '5' + ' ' * 990 + '+0' * 50),
  ],
)
def test_other_formulas(reference, answer):
  assert score(reference, rf'\boxed{{{answer}}}') == 0


def test_an_answer_must_be_marked():
  assert score('5', 'it is 5') == 0
  assert score('5', '#### 5') == 1


@pytest.mark.parametrize(
  'answer',
  [
    '9^{9^{9^{9}}}',
    '10^{10^{10}}',
    '100000000!',
    r'\sum_{i=1}^{10^{12}} \frac{1}{i^i}',
    '(' * 400 + ')' * 400,
    r'\operatorname{zeros}(10000,10000)',
  ],
)
def test_what_takes_forever_is_never_right(answer):
  assert not score('5', rf'\boxed{{{answer}}}', limit=0.5)
  assert score('5', r'\boxed{3+2}') == 1
  assert {kind for _, kind in questions.failures} <= {'time', 'memory', 'error'}


@pytest.mark.parametrize(
  'code',
  [
    '__import__("os").system("touch {}")',
    'open("{}", "w")',
    '().__class__.__base__.__subclasses__()',
    'eval(open("{}", "w"))',
  ],
)
def test_code_is_not_run(code, tmp_path):
  made = tmp_path / 'made'
  code = code.replace('{}', str(made))
  for form in ('%s', r'\text{%s}', '1%s', '(%s)', '5^%s', r'\det(%s)'):
    answer = form % code
    assert not score('5', rf'\boxed{{{answer}}}', limit=2.0)
  assert not made.exists()


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
  text=strategies.one_of(
    strategies.text(
      strategies.characters(codec=None, exclude_categories=()), max_size=40
    ),
    strategies.lists(
      strategies.sampled_from(
        (*PIECES, 'x', '+', '=', '_', '&', r'\\', r'\sqrt', r'\frac', r'\text{')
      ),
      max_size=12,
    ).map(''.join),
  )
)
def test_any_text_gets_a_score(text):
  logging.disable(logging.WARNING)
  try:
    question = questions.Question(
      '?', '', questions.FormulaChecker('5'), time_limit=1.0
    )
    assert question.score(rf'\boxed{{{text}}}') in (0, 1, None)
  finally:
    logging.disable(logging.NOTSET)


def test_problems_of_a_file(tmp_path):
  path = tmp_path / 'math.jsonl'
  problems = [
    {'problem': 'Half?', 'solution': r'\boxed{1}, no: \boxed{\frac12}'},
    {'problem': 'Five?', 'answer': '$5$', 'solution': 'none'},
    {'problem': '2+2?', 'answer': 4},
    {'problem': '2+2?', 'answer': None, 'solution': r'\boxed{4}'},
    {'problem': '2+2?', 'answer': r'\boxed{4}'},
  ]
  path.write_text('\n'.join(map(json.dumps, problems)))
  half, five, *others = questions.competition_math.load(path)
  assert half.reference == r'\boxed{\frac12}' and half.score(r'\boxed{.5}') == 1
  assert half.prompt.startswith('Half?\nThink')
  assert five.checker.reference == '5' and five.score(five.reference) == 1
  assert [other.checker.reference for other in others] == ['4'] * 3
  assert {other.reference for other in others} == {r'\boxed{4}'}


def test_in_the_workers_of_a_pool():
  """Each has a limited process, which ends with it, even when it is killed."""
  question = questions.Question('?', '5', questions.FormulaChecker('5'))
  pool = pool_lib.EnvironmentPool(
    functools.partial(questions.QuestionEnvironment, tries=2), 2, workers=2
  )
  with pool:
    pool.reset({0: question, 1: question})
    answers = pool.step({0: r'\boxed{2+3}', 1: r'\boxed{2+4}'})
    assert answers[0].reward == 1 and answers[0].terminated
    assert answers[1].reward == 0 and not answers[1].terminated
    workers = {worker.process.pid for worker in pool._workers}
    limited = {p for p, parent in limited_programs() if parent in workers}
    assert len(limited) == 2 or not pathlib.Path('/proc/self/stat').exists()
  deadline = time.monotonic() + 30
  while limited & {p for p, _ in limited_programs()}:
    assert time.monotonic() < deadline, 'limited processes outlive the pool'
    time.sleep(0.05)


def limited_programs() -> set[tuple[int, int]]:
  """(Process, parent) of limited programs, where /proc lists processes."""
  found = set()
  for folder in pathlib.Path('/proc').glob('[0-9]*'):
    try:
      if b'limited_program.py' in (folder / 'cmdline').read_bytes():
        fields = (folder / 'stat').read_text().rpartition(')')[2].split()
        found.add((int(folder.name), int(fields[1])))
    except OSError:
      continue  # it ended
  return found
