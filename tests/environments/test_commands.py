"""Commands in any letters; and that what is listed is executed."""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from jaxcredit.environments import commands, household, shop, virtualhome
from jaxcredit.environments.shop import reward
from tests.environments.shop import small_shop


@pytest.mark.parametrize(
  ('one', 'other'),
  [
    ('Go to  Desk 1', 'go to desk 1'),
    ('\uff38\uff2c', 'xl'),
    ('6\u00bd', '6 1/2'),
    ('6 \u00bd', '6\u00bd'),
    ('\u0663', '3'),
    ('Stra\u00dfe', 'STRASSE'),
    ('\u039f\u0394\u039f\u03a3', '\u03bf\u03b4\u03bf\u03c2'),
    ('e\u0301', '\u00c9'),
    ('\u7d05', '\u7d05 '),
    ('\u210c', 'h'),
  ],
)
def test_the_same(one, other):
  assert commands.plain(one) == commands.plain(other)


@pytest.mark.parametrize(
  ('one', 'other'),
  [
    ('6\u00bd', '6'),
    ('6\u00bd', '61/2'),
    ('\u7d05', '\u85cd'),
    ('a', '\u0430'),
    ('+1', '-1'),
    ('e', '\u00e9'),
  ],
)
def test_not_the_same(one, other):
  assert commands.plain(one) != commands.plain(other)


@hypothesis.given(text=strategies.text(max_size=30))
def test_a_plain_text_is_plain(text):
  once = commands.plain(text)
  assert commands.plain(once) == once
  assert commands.plain(f'  {text}\n') == once


def test_the_very_letters_come_first():
  things = {'Red': 1, 'red': 2, 'Blue': 3}
  assert commands.find('Red', things) == 1
  assert commands.find('red', things) == 2
  assert commands.find('RED', things) is None
  assert commands.find(' BLUE ', things) == 3
  assert commands.find('green', things) is None


def in_other_letters(command, rng):
  forms = [command.upper(), command.lower(), f'  {command} ', command.title()]
  return forms[int(rng.integers(len(forms)))]


def assert_listed_is_executed(environment, task, steps, seed):
  """Plays at random; each command in its own letters and in others."""
  rng = np.random.default_rng(seed)
  step = environment.reset(task)
  for _ in range(steps):
    for command in step.admissible:
      answer = environment.fork().step(command)
      assert answer.executed, command
      assert environment.fork().step(in_other_letters(command, rng)) == answer
    step = environment.step(str(rng.choice(step.admissible)))
    if step.terminated:
      return


@pytest.mark.parametrize('wording', household.WORDINGS)
def test_the_household_executes_what_it_lists(wording):
  environment = household.HouseholdEnvironment(wording=wording)
  for seed, game in enumerate(household.generate_games(0, 6)):
    assert_listed_is_executed(environment, game, 8, seed)
  assert not environment.step('examine unicorn 1').executed


def test_virtualhome_executes_what_it_lists():
  environment = virtualhome.VirtualHomeEnvironment()
  for seed, problem in enumerate(virtualhome.sample_problems()[:4]):
    assert_listed_is_executed(environment, problem, 5, seed)
  assert not environment.step('grab unicorn').executed


VALUES = (
  'XL', '6\u00bd', '6', '\u7d05', '\u85cd', 'Na\u00efve Blue', 'Stra\u00dfe',
  '\u041a\u0440\u0430\u0441\u043d\u044b\u0439', ' spaced ', 'a]b[c', '\u0130',
  'Description', 'buy now', '\uff38', '+1.50', '-1.50', '\u0661', '\ufb01ne',
  '\u00bd',
)  # fmt: skip


def foreign_shop(values):
  product = dataclasses.replace(
    small_shop.SHIRT,
    customization_options=(('size', tuple(values)),),
  )
  return shop.Catalogue([product])


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
  values=strategies.lists(
    strategies.one_of(
      strategies.sampled_from(VALUES),
      strategies.text(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
    unique=True,
  ),
  wording=strategies.sampled_from(['text', 'compact']),
)
def test_the_shop_executes_what_it_lists(values, wording):
  catalogue = foreign_shop(values)
  goal = shop.generate_goals(0, 1, shop.generated(60))[0]
  environment = shop.ShopEnvironment(catalogue=catalogue, wording=wording)
  environment.reset(goal)
  step = environment.step(f'search[{catalogue[0].name}]')
  opened = [c for c in step.admissible if '[back' not in c]
  step = environment.step(opened[0])
  assert len(step.admissible) > 4
  for command in step.admissible:
    answer = environment.fork().step(command)
    assert answer.executed, command
    same = [c for c in step.admissible
            if commands.plain(c) == commands.plain(command)]  # fmt: skip
    if len(same) == 1:
      assert environment.fork().step(commands.plain(command)) == answer


def test_options_in_other_scripts_are_told_apart():
  goal = shop.generate_goals(0, 1, shop.generated(60))[0]
  values = ('\u7d05', '\u85cd', '6\u00bd', '6', '+1.50', '-1.50')
  product = foreign_shop(values)[0]
  for wanted in values:
    asked = dataclasses.replace(goal, options=(('size', wanted),))
    for chosen in values:
      scored = reward.score(product, {'size': chosen}, asked)
      assert scored.options == (chosen == wanted)
