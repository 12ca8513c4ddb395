"""The function is found in what models answer."""

import json

import pytest

from jaxcredit.latent_rewards import answers, refusal

SOURCE = 'def factors(observation):\n  return [observation[:, 0]]'
PARTS = {'Understand': 'it {is} "so"', 'Analyze': ['a', 'b']}


def as_json(functions):
  return json.dumps({**PARTS, 'Functions': functions})


@pytest.mark.parametrize(
  'answer',
  [
    as_json(SOURCE),
    as_json(SOURCE.split('\n')),
    as_json({'factors': SOURCE}),
    as_json(f'```python\n{SOURCE}\n```'),
    as_json(f'\n{SOURCE}\n'),
    f'Here it is:\n```json\n{as_json(SOURCE)}\n```\nGood luck!',
    f'```\n{as_json(SOURCE)}\n```',
    # A line break inside of a JSON string, as models write.
    as_json(SOURCE).replace('\\n', '\n'),
    as_json(SOURCE).replace('Functions', 'functions'),
    f'```python\n{SOURCE}\n```',
    f'The function:\n```\n{SOURCE}\n```\nthat is all.',
    SOURCE,
    f'\n{SOURCE}\n',
  ],
)
def test_forms_of_an_answer(answer):
  assert answers.source_of(answer) == SOURCE


def test_code_with_braces_between_fences():
  code = SOURCE.replace('0', '{0}')
  assert answers.source_of(f'```python\n{code}\n```') == code


def test_indentation_stays():
  body = 'def factors(a):\n    x = 1\n    return [x]'
  assert answers.source_of(f'```py\n{body}\n```') == body


def test_half_a_character_is_no_text():
  from jaxcredit.latent_rewards import language

  with pytest.raises(refusal.Refused, match='half a character'):
    language.check(
      answers.source_of('{"Functions": "def factors(a): # \\ud800"}'), ('a',)
    )
