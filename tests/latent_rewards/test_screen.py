"""Bounds on a text before the parser sees it."""

import ast

import pytest

from jaxcredit.latent_rewards import language, refusal, screen


def test_what_may_be_read_is_given_back():
  text = 'def f(a):\r\n\treturn a  # \u00e9 \u2264\r\n'
  assert screen.screen(text) == text.replace('\r\n', '\n')


@pytest.mark.parametrize(
  ('text', 'words', 'line'),
  [
    ('x' * (screen.MAX_CHARACTERS + 1), '16001 characters', None),
    ('x = 1 +\\\n' * 2 + '1;' * 1500, 'more than', 3),
    ('\n\nx = ' + 'y' * 61, 'a very long name', 3),
    ('\nx = ' + '1' * 31, 'a number of 31', 2),
    ('x = ' + '(' * 13, 'nested 13 deep', 1),
    ('\n\n\nx = \u00b2', 'characters', 4),
    ('\nx\x9b', 'control character', 2),
    ('# \u2066', 'control character', 1),
    ('x\ry', 'control character', 1),
    ("x = r'a'", 'a string with a prefix', 1),
  ],
)  # fmt: skip
def test_bounds(text, words, line):
  with pytest.raises(refusal.Refused, match=words) as caught:
    screen.screen(text)
  assert caught.value.line == line


@pytest.mark.parametrize('sign', ['$', '?', '!', '`'])
def test_signs_that_python_lacks(sign):
  # From 3.12 on the tokenizer takes some, and the parser refuses them.
  with pytest.raises(refusal.Refused) as caught:
    language.check(f'x = 1\nx = {sign}')
  assert caught.value.line == 2


def test_the_parser_is_not_reached_before_the_bounds(monkeypatch):
  def parse(source):
    raise AssertionError('the parser was reached')

  monkeypatch.setattr(ast, 'parse', parse)
  for text in ('(' * 5000, '\x00', '9' * 9999, 'x' * 99_999, "f'{1}'"):
    with pytest.raises(refusal.Refused):
      language.check(text)


def test_what_the_parser_may_raise_is_a_refusal(monkeypatch):
  for error in (MemoryError, RecursionError, ValueError('null bytes')):

    def parse(source, error=error):
      raise error

    with monkeypatch.context() as patch:
      patch.setattr(ast, 'parse', parse)
      with pytest.raises(refusal.Refused, match='write shorter'):
        language.check('x')
