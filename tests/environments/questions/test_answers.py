"""What is found in a text as its answer."""

import fractions

import pytest

from jaxcredit.environments import questions
from jaxcredit.environments.questions import answers


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    ('18', '18'),
    (' 1,234,567.50 ', '1234567.5'),
    ('-3/4', '-3/4'),
    ('\u22125', '-5'),
    ('$18.', '18'),
    ('-$0.25', '-1/4'),
    ('50%', '50'),
    (r'50\%', '50'),
    ('.5', '1/2'),
    ('1e3', '1000'),
    ('2.5E-1', '1/4'),
    ('007', '7'),
  ],
)
def test_numbers(text, value):
  assert answers.number(text) == fractions.Fraction(value)


@pytest.mark.parametrize(
  'text',
  ['', 'x', '1 2', '1,2', '12,34', '1/0', '9**9', '9^9', '1e999', '0x10',
   '1e-999999999', '9' * 201, '1/' + '9' * 201, 'nan', 'inf', '1_000',
   '\u0663', '\u00bd', '1.2.3', '--5', '1e5e5'],
)  # fmt: skip
def test_what_is_no_number(text):
  assert answers.number(text) is None


@pytest.mark.parametrize(
  ('text', 'content'),
  [
    (r'\boxed{5}', '5'),
    (r'\boxed{1} then \boxed{2}', '2'),
    (r'so $\boxed{\frac{1}{2}}$.', r'\frac{1}{2}'),
    (r'\boxed{\{1, 2\}}', r'\{1, 2\}'),
    (r'\boxed {x} ', 'x'),
    (r'\fbox{y}', 'y'),
    (r'$\boxed 7$', '7'),
    (r'\boxed{good} and \boxed{not closed', 'good'),
    (r'\boxed{}', ''),
    (r'\boxedness{3}', None),
    ('boxed{3}', None),
    (r'\boxed{', None),
    ('', None),
  ],
)
def test_boxes(text, content):
  assert answers.boxed(text) == content


@pytest.mark.parametrize(
  ('text', 'score'),
  [
    ('#### 18', 1),
    ('2 + 3 = 5\n#### 18', 1),
    ('#### 17\n#### 18', 1),
    ('The answer is 18. She had 3 ducks.', 1),
    ('Answer: **18**', 1),
    ('The final answer is $18.00 per day.', 1),
    (r'Thus $\boxed{18}$, not 19.', 1),
    (r'The answer is \boxed{18}', 1),
    ('it makes 9 * 2 = 18', 1),
    ('18 dollars', 1),
    ('#### 19', 0),
    ('18 it is not\n#### 19', 0),
    ('180', 0),
    ('1.8', 0),
    ('-18', 0),
    ('x18', 0),
    ('9 * 2', 0),
    ('eighteen', 0),
    ('', 0),
  ],
)
def test_number_answered(text, score):
  assert questions.NumberChecker('18')(text) == score


def test_strict_answers_need_a_mark_or_a_box():
  checker = questions.NumberChecker('18', strict=True)
  assert checker('It is 18') == 0
  for text in ('#### 18', r'\boxed{18}', 'the answer is 18'):
    assert checker(text) == 1


@pytest.mark.parametrize(
  ('text', 'letter'),
  [
    ('B', 'B'),
    ('b', 'B'),
    ('(b)', 'B'),
    ('B.', 'B'),
    ('The answer is B because A is wrong.', 'B'),
    ('The answer is (c).', 'C'),
    ('Answer: **D**', 'D'),
    ('the answer is b', 'B'),
    (r'\boxed{C}', 'C'),
    ('B) Rest, since A is for D', 'B'),
    ('A man of 40 ... I choose D', 'D'),
    ('not a) but b)', 'B'),
    ('the answer is: beta blockers', 'C'),
    ('Beta  Blockers.', 'C'),
    ('a day later', ''),
    ('the answer is a beta blocker', ''),
    ('E', ''),
    ('', ''),
  ],
)
def test_choice_answered(text, letter):
  options = ('Aspirin', 'Rest', 'Beta blockers', 'None of these')
  checker = questions.ChoiceChecker('B', options)
  assert checker.read(text) == letter
  assert checker(text) == (letter == 'B')


@pytest.mark.parametrize(
  ('text', 'score'),
  [
    ('New  York', 1),
    ('new york.', 1),
    ('I think so. The answer is: New York\nYes.', 1),
    (r'\boxed{new york}', 1),
    ('York', 0),
    ('', 0),
  ],
)
def test_exact_answer(text, score):
  assert questions.ExactChecker('New York')(text) == score


@pytest.mark.parametrize(
  ('checker', 'arguments', 'message'),
  [
    (questions.NumberChecker, ('many',), "must be a number, not 'many'"),
    (questions.ChoiceChecker, ('C', ('x', 'y')), 'must be one of AB'),
    (questions.ChoiceChecker, ('A', ('x',)), '2 to 26'),
    (questions.ExactChecker, (' ',), 'must not be empty'),
    (questions.FormulaChecker, (' ',), '1 to 1000 characters'),
    (questions.FormulaChecker, ('x' * 1001,), '1 to 1000 characters'),
  ],
)
def test_references_that_cannot_be(checker, arguments, message):
  with pytest.raises(ValueError, match=message):
    checker(*arguments)
