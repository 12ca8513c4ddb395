"""No text crashes a checker, or keeps it longer than its limit.

The checkers here have no process of their own, so that a text which takes long
shows as a failure of the kind 'time'.
"""

import fractions

import hypothesis
import pytest
from hypothesis import strategies

from jaxcredit.environments import completion, questions
from jaxcredit.environments.questions import answers

CHECKERS = {
  'number': questions.NumberChecker('18'),
  'strict number': questions.NumberChecker('-3/4', strict=True),
  'choice': questions.ChoiceChecker('B', ('x', 'Beta', '', 'x')),
  'exact': questions.ExactChecker('New York'),
}
# What the searches look for, and what breaks number readers.
PIECES = (
  '####', 'answer is', 'answer:', '\\boxed', '\\fbox', '\\boxed{', '{', '}',
  '\\{', '\\}', '\\', '$', '<answer>', '</answer>', '(', ')', 'A', 'b', '1',
  '9', '0', '.', ',', ',000', '-', '\u2212', '/', '/0', 'e', 'E', 'e9', '^9',
  '**9', '%', ' ', '\n', '\t', '\x00', '\x1b[31m', '\u202e', '\ud800',
  '\udfff', '\U0001d7d8', '\u0663', '\u00bd', '\u0130', '\ufb01', '\u0345',
  '9' * 300, '1e' + '9' * 30, '9^9^9^9', '__import__("os")', '\\frac{1}{2}',
)  # fmt: skip
texts = strategies.one_of(
  strategies.text(
    strategies.characters(codec=None, exclude_categories=()), max_size=200
  ),
  strategies.lists(strategies.sampled_from(PIECES), max_size=60).map(''.join),
  strategies.builds(
    lambda piece, count, end: piece * count + end,
    strategies.lists(
      strategies.sampled_from(PIECES), min_size=1, max_size=4
    ).map(''.join),
    strategies.integers(1, 12_000),
    strategies.sampled_from(PIECES),
  ),
)


@pytest.mark.parametrize('name', CHECKERS)
@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(text=texts)
def test_any_text_gets_a_score(name, text):
  questions.failures.clear()
  question = questions.Question('?', '', CHECKERS[name], time_limit=5.0)
  assert question.score(text) in (0, 1)
  assert isinstance(question.read(text), str)
  assert not questions.failures


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(text=texts)
def test_any_text_gets_a_verdict(text):
  question = questions.Question('?', '18', CHECKERS['number'])
  environment = questions.QuestionEnvironment(tries=2)
  environment.reset(question)
  step = environment.step(text)
  step.observation.encode('utf-8')
  step.anchor.encode('utf-8')
  assert step.reward in (0, 1) and len(step.observation) < 400


@pytest.mark.parametrize(
  'read', [questions.FormulaChecker('5').read,
           questions.ProceduralChecker('ab', '{}', 0, '').read]
)  # fmt: skip
@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(text=texts)
def test_answers_are_found_before_a_process_sees_them(read, text):
  questions.failures.clear()
  question = questions.Question('?', '', lambda t: float(not read(t)))
  assert question.score(text) in (0, 1)
  assert not questions.failures


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
  value=strategies.fractions(max_denominator=1000),
  before=strategies.sampled_from(['', 'So 3 + 4 = 7. ', '\\boxed{', '\x00']),
)
def test_what_is_written_is_read(value, before):
  text = f'{before}#### {value}'
  assert questions.NumberChecker(str(value))(text) == 1
  assert questions.NumberChecker(str(value + 1))(text) == 0


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
  content=strategies.recursive(
    strategies.sampled_from(['x', '1', '\\{', '\\}', '\\\\', ' ', '\u00e9']),
    lambda inner: strategies.lists(inner, max_size=4).map(
      lambda parts: '{' + ''.join(parts) + '}'
    ),
  ),
  after=strategies.sampled_from(['', '}', ' text {', '$.']),
)
def test_braces_nest(content, after):
  text = f'\\boxed{{1}} \\boxed{{{content}}}{after}'
  empty = completion.is_placeholder(content)
  assert answers.boxed(text) == ('1' if empty else content.strip())


WRITTEN = (
  '#### {}', '\\boxed{{{}}}', 'The answer is {}.', '**Answer:** {}', '${}$',
  'It is {} dollars', '#### ${}', '\\boxed{{\\text{{{}}}}}', 'so $x = {}$',
  '\\boxed{{x = {}}}', '<think>9</think>{}', '9</think>#### {}',
)  # fmt: skip


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
  value=strategies.integers(-(10**9), 10**9),
  other=strategies.integers(-(10**9), 10**9),
  form=strategies.sampled_from(WRITTEN),
  separator=strategies.sampled_from([',', '', '{,}', '\\,', '\\;', '~']),
  ending=strategies.sampled_from(
    [
      '',
      '\n',
      ' \\boxed{}',
      ' \\boxed{\\text{answer}}',
      ' <think>7',
      '\n#### So',
    ]
  ),
)
def test_a_number_is_read_as_it_was_meant(
  value, other, form, separator, ending
):
  written = f'{value:,}'.replace(',', separator)
  text = form.format(written) + ending
  assert questions.NumberChecker(str(value))(text) == 1, text
  if other != value:
    assert questions.NumberChecker(str(other))(text) == 0, text


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
  above=strategies.integers(-999, 999),
  below=strategies.integers(1, 999),
  form=strategies.sampled_from(
    ['\\boxed{{{}}}', '#### {}', 'The answer is ${}$.', 'it is {}']
  ),
  fraction=strategies.sampled_from(
    [
      '{}/{}',
      '\\frac{{{}}}{{{}}}',
      '\\dfrac{{{}}}{{{}}}',
      '\\tfrac{{{}}} {{{}}}',
    ]
  ),
)
def test_a_fraction_is_neither_of_its_parts(above, below, form, fraction):
  text = form.format(fraction.format(above, below))
  value = fractions.Fraction(above, below)
  assert questions.NumberChecker(str(value))(text) == 1, text
  for part in (above, below):
    right = part == value
    assert questions.NumberChecker(str(part))(text) == right, text


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(thought=texts)
def test_only_what_is_said_counts(thought):
  for name, right in (
    ('number', '18'), ('choice', 'B'), ('exact', 'New York'),
  ):  # fmt: skip
    checker = CHECKERS[name]
    assert checker(f'{thought}</think>\\boxed{{{right}}}') == 1
    assert checker(f'\\boxed{{{right}}}{thought}</think>') == 0


@pytest.mark.parametrize('name', CHECKERS)
@pytest.mark.parametrize(
  'piece', ['\\boxed{', '\\boxed{1', '1,', '1e', '####', '1 ', '\\frac{1}', '{',
            'answer is 1', '9\\,', '<think>', '\\boxed{2}', 'B or ', '$', '**']
)  # fmt: skip
def test_time_grows_with_the_text_alone(name, piece):
  """Of quadratic time, a text of this length would need minutes."""
  questions.failures.clear()
  question = questions.Question(
    '?', '', CHECKERS[name], time_limit=20.0, max_length=10**6
  )
  assert question.score(piece * (200_000 // len(piece))) is not None
  assert not questions.failures
