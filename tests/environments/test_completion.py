"""What a completion says, behind its thoughts."""

import time

import hypothesis
import pytest
from hypothesis import strategies

from jaxcredit.environments import completion


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('no thoughts', 'no thoughts'),
    ('<think>a</think>b', 'b'),
    ('a</think>b', 'b'),
    ('<think>a', ''),
    ('<think>a<think>b</think>c</think>d', 'd'),
    ('<think>I write <think> first</think>b', 'b'),
    ('<think>a</think>b<think>c</think>d', 'd'),
    ('<think>a</think>b<think>c', 'b'),
    ('said <think>and thought', 'said '),
    ('<THINK>a</Think >b', 'b'),
    ('<thinking>a</thinking>b', 'b'),
    ('<think', '<think'),
    ('', ''),
  ],
)
def test_what_is_said(text, said):
  found = completion.said(text)
  assert found.text == said == text[found.begins : found.ends]
  assert found.thought == ('</' in text)


def test_where_the_template_opened_the_thought():
  assert completion.said('I go on and on', opened=True).text == ''
  assert completion.said('so</think>5', opened=True) == ('5', 10, 11, True)
  assert completion.said('a<think>b', opened=True).text == ''


@pytest.mark.parametrize(
  ('text', 'length', 'said'),
  [
    ('<think>' + 'x' * 50, 10, ''),
    ('<think>' + 'x' * 50 + '</think>yes', 20, 'yes'),
    ('<think>x</think>' + 'y' * 50, 10, 'y' * 10),
    ('<think>' + 'x' * 50, 52, ''),
    ('z' * 20, 20, 'z' * 20),
  ],
)
def test_a_cut_does_not_free_a_thought(text, length, said):
  assert completion.said(completion.ending(text, length)).text == said


@pytest.mark.parametrize(
  ('text', 'found'),
  [
    ('<answer>5</answer>', ['5']),
    ('<answer>4</answer> no <answer> 5 </answer>', ['4', '5']),
    ('<answer>5</answer><answer></answer>', ['5']),
    ('<answer>5</answer> between <answer> and </answer>.', ['5']),
    ('<answer>...</answer><answer>5</answer>', ['5']),
    ('<answer>and</answer>', ['and']),
    ('<answer>4<answer>5</answer>', ['5']),
    ('<answer>5', []),
    ('</answer>5<answer>', []),
    ('<ANSWER>5</Answer>', ['5']),
    ('<answer>\n5\n</answer>', ['5']),
  ],
)
def test_tagged(text, found):
  assert completion.tagged(text, 'answer') == found


@pytest.mark.parametrize(
  'text', ['', ' ', '...', '\u2026', r'\ldots', 'your answer', '\\text{answer}',
           'the final answer', '?', '{}', r'\text{your answer here}']
)  # fmt: skip
def test_placeholders(text):
  assert completion.is_placeholder(text)


@pytest.mark.parametrize(
  'text', ['5', 'x', 'a', 'A', 'no', 'none', r'\{\}', r'\emptyset', 'answer 5',
           r'\pi', '-', 'yes']
)  # fmt: skip
def test_answers_are_no_placeholders(text):
  assert not completion.is_placeholder(text)


pieces = strategies.sampled_from(
  ['<think>', '</think>', '<thinking>', '<', '/', 'x', 'secret', '\n', '\ud800']
)


@hypothesis.settings(deadline=None)
@hypothesis.given(
  before=strategies.lists(pieces).map(''.join),
  after=strategies.text(alphabet='ab ', max_size=9),
)
def test_nothing_before_the_last_closing_tag_is_said(before, after):
  assert completion.said(f'{before}</think>{after}').text == after
  assert completion.said(f'{before}<think>{after}').text in before
  for length in range(1, len(before) + 2):
    kept = completion.ending(f'{before}<think>{after}', length + len(after))
    assert after not in completion.said(kept).text or not after


@pytest.mark.parametrize(
  'piece', ['<think>', '</think>', '<answer>', '</answer>', '<action>x', '<']
)
def test_time_grows_with_the_text_alone(piece):
  start = time.process_time()
  text = piece * (400_000 // len(piece))
  completion.said(text)
  completion.tagged(text, 'answer')
  completion.ending(text, 1000)
  assert time.process_time() - start < 5
