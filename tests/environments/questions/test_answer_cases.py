"""What models wrote, or may write, and what it is worth."""

import json
import pathlib

import pytest

from jaxcredit.environments import questions

CASES = json.loads(
  pathlib.Path(__file__).with_name('answer_cases.json').read_text()
)


def checker_of(case):
  kinds = {
    'number': questions.NumberChecker,
    'formula': questions.FormulaChecker,
    'choice': questions.ChoiceChecker,
    'exact': questions.ExactChecker,
  }
  if case['checker'] == 'choice':
    return kinds['choice'](case['reference'], tuple(case['options']))
  return kinds[case['checker']](case['reference'])


@pytest.mark.parametrize(
  'case', CASES, ids=[f'{c["checker"]}-{i}' for i, c in enumerate(CASES)]
)
def test_what_an_answer_is_worth(case):
  if case['checker'] == 'formula':
    pytest.importorskip('math_verify', reason="needs the extra 'questions'")
  question = questions.Question('?', case['reference'], checker_of(case))
  assert question.score(case['text']) == case['right'], question.read(
    case['text']
  )


def plain_numbers():
  return [
    case
    for case in CASES
    if case['checker'] == 'number'
    and case['right'] == 1
    and 'think' not in case['text'].lower()
  ]


@pytest.mark.parametrize(
  'case', plain_numbers(), ids=range(len(plain_numbers()))
)
def test_thoughts_before_an_answer_change_nothing(case):
  checker = checker_of(case)
  for thought in (
    '<think>\\boxed{77}? No.</think>\n',
    'The answer is 77.\n</think>\n',
    '<think>#### 77\n</think>',
  ):
    assert checker(thought + case['text']) == 1
  assert checker(f'<think>{case["text"]}') == 0
  assert checker(f'<think>{case["text"]}</think>') == 0
  assert checker(f'<think>no</think><think>{case["text"]}') == 0


@pytest.mark.parametrize(
  ('checker', 'text', 'score'),
  [
    (questions.NumberChecker('1/3', tolerance=1e-3), '0.3333', 1),
    (questions.NumberChecker('1/3', tolerance=1e-3), '0.33', 0),
    (questions.NumberChecker('-1/3', tolerance=1e-3), '-0.3333', 1),
    (questions.NumberChecker('1e-20', tolerance=1e-3), '0', 0),
    (questions.FormulaChecker(r'\frac13', 1e-3), r'\boxed{0.3333}', 1),
    (questions.FormulaChecker(r'\frac13', 1e-3), r'\boxed{0.33}', 0),
    (questions.FormulaChecker(r'\pi', 1e-3), r'\boxed{3.1416}', 1),
    (questions.FormulaChecker(r'\pi', 1e-3), r'\boxed{3.2}', 0),
    (questions.FormulaChecker('10^{-20}', 1e-3), r'\boxed{10^{-21}}', 0),
  ],
)
def test_a_tolerance_is_a_part_of_the_reference(checker, text, score):
  if isinstance(checker, questions.FormulaChecker):
    pytest.importorskip('math_verify', reason="needs the extra 'questions'")
  assert checker(text) == score


@pytest.mark.parametrize('tolerance', [-0.1, 1.0, float('nan')])
@pytest.mark.parametrize(
  'kind', [questions.NumberChecker, questions.FormulaChecker]
)
def test_tolerances_that_cannot_be(kind, tolerance):
  with pytest.raises(ValueError, match='tolerance must lie between 0 and 1'):
    kind('5', tolerance=tolerance)
