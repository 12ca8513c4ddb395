"""Prompts as text, and answers read back as data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcredit.rollouts import formats

# Tags in any order and number, with other text between them.
answers = st.one_of(
  st.text(),
  st.lists(
    st.one_of(
      st.sampled_from(
        ['<think>', '</think>', '<action>', '</action>', ' ', '\n', '山']
      ),
      st.text(max_size=5),
    )
  ).map(''.join),
)
HISTORY = [formats.Exchange(f'place {i}', f'act {i}') for i in range(4)]


def test_plain_prompt_repeats_the_task_beside_the_prompt_sign():
  shown = formats.Plain().prompt(HISTORY, 'A room.', ['go'], 'find a mug')
  assert shown == 'A room.\nfind a mug>'
  shown = formats.Plain(repeats_task=False).prompt(
    HISTORY, 'A room.', ['go'], 'find a mug'
  )
  assert shown == 'A room.\n>'


def test_plain_continues_the_episode_and_think_action_rebuilds_it():
  assert not formats.Plain.rebuilds_prompt
  assert formats.ThinkAction.rebuilds_prompt


@pytest.mark.parametrize(
  ('answer', 'finished', 'expected'),
  [
    (' go to desk 1', True, ('go to desk 1', True)),
    (' go to desk 1', False, ('go to desk 1', False)),
    ('', True, ('', False)),
    (' \n ', True, ('', False)),
    ('Go NOW', True, ('Go NOW', True)),
  ],
)
def test_plain_answers(answer, finished, expected):
  assert formats.Plain().read(answer, finished) == expected


@pytest.mark.parametrize(
  'text_format', [formats.Plain(), formats.ThinkAction()]
)
def test_an_expert_answer_is_read_as_its_action(text_format):
  answer = text_format.answer('take mug 1 from desk 2')
  assert text_format.read(answer, True) == ('take mug 1 from desk 2', True)


def test_think_action_prompt_holds_all_that_the_policy_may_know():
  lines = (
    formats.ThinkAction()
    .prompt(HISTORY, 'A room.', ['go', 'look'], 'find a mug')
    .split('\n')
  )
  assert lines[1] == 'Your task: find a mug'
  assert lines[2] == 'You have taken 4 steps. The last 2:'
  assert lines[3:7] == [
    '[3] saw: place 2',
    '[3] did: act 2',
    '[4] saw: place 3',
    '[4] did: act 3',
  ]
  assert lines[7] == 'You are at step 5 and see: A room.'
  assert lines[8] == 'You can: go; look'


@pytest.mark.parametrize(
  ('length', 'numbers'), [(0, []), (1, [4]), (3, [2, 3, 4]), (9, [1, 2, 3, 4])]
)
def test_history_length_bounds_what_the_prompt_repeats(length, numbers):
  shown = formats.ThinkAction(history_length=length).prompt(
    HISTORY, 'A room.', [], 'find a mug'
  )
  assert [n for n in range(1, 5) if f'[{n}] saw: place {n - 1}' in shown] == (
    numbers
  )
  assert ('You have taken' in shown) == bool(numbers)
  assert 'You are at step 5' in shown


def test_the_first_prompt_has_no_history():
  shown = formats.ThinkAction().prompt([], 'A room.', ['go'], 'find a mug')
  assert 'You have taken' not in shown
  assert 'You are at step 1 and see: A room.' in shown


@pytest.mark.parametrize(
  ('answer', 'expected'),
  [
    ('<think>so</think><action>Go to Desk 1</action>', ('go to desk 1', True)),
    ('<think></think> <action> look </action> bye', ('look', True)),
    ('<think>a\nb</think>\n<action>look\n</action>', ('look', True)),
    # The first pair counts.
    ('<think></think><action>a</action><action>b</action>', ('a', True)),
    # Tags that are missing, or in the wrong order.
    ('<action>look</action>', ('look', False)),
    ('<think>so<action>look</action>', ('', False)),
    ('</think>so<think><action>look</action>', ('</think>so', False)),
    # The template may have opened the thoughts.
    ('so</think><action>look</action>', ('look', True)),
    # Thoughts are no actions.
    (
      '<think>Or <action>open fridge 1</action>?</think><action>go</action>',
      ('go', True),
    ),
    (
      '<think>Write <action>...</action>.</think><action>look</action>',
      ('look', True),
    ),
    ('<think>Next: <action>look</action></think>', ('', False)),
    (
      '<think>an <action> not closed</think><action>look</action>',
      ('look', True),
    ),
    ('<think>so</think><action>...</action><action>a</action>', ('a', True)),
    ('<think>' + ' ' * 40 + 'look', ('', False)),
    ('<think>so</think>look', ('<think>so</think>look', False)),
    ('<think></think><action>look', ('<think></think><action>look', False)),
    ('</action>look<action>', ('</action>look<action>', False)),
    # An action of nothing.
    (
      '<think></think><action></action>',
      ('hink></think><action></action>', False),
    ),
    # One Chinese character anywhere.
    ('<think>去</think><action>look</action>', ('look', False)),
    ('<think></think><action>去</action>', ('去', False)),
    # Neighbours of the range are not Chinese characters.
    ('<think>\u4dff\ua000</think><action>look</action>', ('look', True)),
    ('', ('', False)),
  ],
)
def test_think_action_answers(answer, expected):
  read = formats.ThinkAction().read(answer, True)
  assert read == expected
  # How the answer ended does not matter.
  assert formats.ThinkAction().read(answer, False) == read


def test_without_an_action_the_last_thirty_characters_are_sent_in_lower_case():
  answer = 'X' * 50 + 'Y' * 29 + 'Z'
  read = formats.ThinkAction().read(answer, True)
  assert read == ('y' * 29 + 'z', False)
  spaced = 'X' * 50 + '  ' + 'Y' * 26 + '  '
  assert formats.ThinkAction().read(spaced, True) == ('y' * 26, False)


@pytest.mark.parametrize('kind', [formats.Plain, formats.Message])
def test_an_action_is_what_is_said(kind):
  read = kind().read
  assert read('<think>look?</think> go to desk 1', True) == (
    'go to desk 1', True,
  )  # fmt: skip
  assert read('look?</think>\ngo', True) == ('go', True)
  assert read('<think>look', False) == ('', False)
  assert read('<think>look</think>', True) == ('', False)


@pytest.mark.parametrize(
  'kind', [formats.Plain, formats.Message, formats.ThinkAction]
)
def test_where_the_template_opens_the_thoughts(kind):
  read = kind(thoughts_opened=True).read
  # Cut off inside them.
  assert read('<action>look</action>', True) == ('', False)
  assert read('so</think><action>look</action>', True).valid
  # What is taught closes the thought.
  taught = kind(thoughts_opened=True).answer('look')
  assert '<think>' not in taught
  assert read(taught, True) == ('look', True)


@pytest.mark.parametrize(
  'text_format', [formats.Plain(), formats.ThinkAction()]
)
@given(answer=answers, finished=st.booleans())
def test_any_answer_can_be_read(text_format, answer, finished):
  action = text_format.read(answer, finished)
  assert isinstance(action.text, str) and isinstance(action.valid, bool)
  assert action.text == action.text.strip()
  # A valid action says something, and it is the policy's own words.
  assert not action.valid or action.text
  assert action.text.casefold() in answer.casefold()


def test_what_a_model_wrote_is_only_data():
  code = "__import__('os').abort() {0} %s {task}"
  plain, think = formats.Plain(), formats.ThinkAction()
  assert plain.read(code, True).text == code
  answer = f'<think></think><action>{code}</action>'
  assert think.read(answer, True).text == code
  # Nor is it filled in where it comes back in a later prompt.
  history = [formats.Exchange(code, code)]
  shown = think.prompt(history, code, [code], code)
  assert shown.count(code) == 5
  assert plain.prompt(history, code, [code], code) == f'{code}\n{code}>'
