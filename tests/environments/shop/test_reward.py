"""The reward of purchases, by hand."""

import pytest

from jaxcredit.environments import shop
from jaxcredit.environments.shop import reward
from tests.environments.shop import small_shop
from tests.environments.shop.small_shop import DEAR, LAMP, PANTS, SHIRT

RIGHT = {'color': 'wine red', 'size': 'small'}


def paid(product, chosen, **changes):
  return shop.score(product, chosen, small_shop.goal(**changes)).reward


def test_all_that_was_asked_for_is_worth_one():
  assert paid(SHIRT, RIGHT) == 1
  # An option more does not harm.
  assert paid(SHIRT, RIGHT, options=(('size', 'small'),)) == 1


@pytest.mark.parametrize(
  ('product', 'chosen', 'met'),
  [
    (SHIRT, {}, 3),  # Two attributes and the price.
    (SHIRT, {'color': 'wine red'}, 4),
    (SHIRT, {'color': 'black', 'size': 'small'}, 4),
    # As in the paper's formula: the released code would take both.
    (SHIRT, {'color': 'wine red', 'size': 'x-small'}, 4),
    (DEAR, RIGHT, 3),  # It has no long sleeves and is too dear.
    (DEAR, {}, 1),
    (PANTS, RIGHT, 4),  # Two departments are the same; no long sleeves.
  ],
)
def test_the_reward_counts_what_is_met(product, chosen, met):
  assert paid(product, chosen) == pytest.approx(met / 5)


def test_the_bound_of_the_price_may_be_met_exactly():
  assert paid(SHIRT, RIGHT, price_upper=19.99) == 1
  assert paid(SHIRT, RIGHT, price_upper=19.98) == pytest.approx(4 / 5)
  # Of a range the upper end is paid.
  assert shop.score(DEAR, {}, small_shop.goal(price_upper=44.0)).price is False
  assert shop.score(DEAR, {}, small_shop.goal(price_upper=45.0)).price is True


def test_an_attribute_may_stand_in_the_texts():
  silent = small_shop.product('B1', 'Zanolet Crewneck Shirt', attributes=())
  goal = small_shop.goal(attributes=('machine washable', 'good shirt', 'silk'))
  assert shop.score(silent, {}, goal).attributes == 2
  # Whole words: 'slim fit' is not met by 'slim fitting'.
  fitting = small_shop.product('B1', 'Shirt, slim fitting', attributes=())
  assert shop.score(fitting, {}, small_shop.goal()).attributes == 0


def test_a_thing_of_another_kind_is_worth_nothing():
  # No word of the titles is the same.
  assert reward.title_score(LAMP, small_shop.goal()) == 0
  assert paid(LAMP, {}, attributes=('solid wood',), options=()) == 0


def other(name, **changes):
  return small_shop.product(
    'B9',
    name,
    **{'query': 'socks', 'product_category': 'Other › Things', **changes},
  )


# Ten words that are neither attributes nor numbers.
TEN = 'one two three four five six seven eight nine ten, Slim Fit, 42'


@pytest.mark.parametrize(
  ('name', 'changes', 'share', 'expected'),
  [
    ('eleven twelve', {}, 0.0, 0.0),
    # Attributes and numbers are no nouns.
    ('eleven, Slim Fit, 42', {}, 0.0, 0.0),
    ('ten twelve', {}, 0.1, 0.5),
    ('nine ten twelve', {}, 0.2, 0.5),
    ('eight nine ten', {}, 0.3, 1.0),
    ('ten twelve', {'query': "men's t-shirts"}, 0.1, 1.0),
    ('ten', {'product_category': 'Men › Clothing'}, 0.1, 1.0),
    ('ten', {'product_category': 'Men > Clothing'}, 0.1, 1.0),
    # One department is too little.
    ('ten', {'product_category': 'Men › Toys'}, 0.1, 0.5),
    # Right query or not: without a common word it is something else.
    ('twelve', {'query': "men's t-shirts"}, 0.0, 0.0),
  ],
)
def test_the_kind_of_thing(name, changes, share, expected):
  goal = small_shop.goal(name=TEN)
  product = other(name, **changes)
  assert reward.title_score(product, goal) == pytest.approx(share)
  assert reward.type_score(product, goal) == expected
  # Both attributes, both options and the price are met.
  assert shop.score(product, RIGHT, goal).reward == pytest.approx(expected)


def test_less_than_a_tenth_of_the_words_is_worth_a_tenth():
  goal = small_shop.goal(name=f'{TEN} eleven')
  product = other('ten twelve', query="men's t-shirts")
  assert reward.title_score(product, goal) == pytest.approx(1 / 11)
  assert reward.type_score(product, goal) == 0.1


def test_a_goal_without_a_title_says_nothing_of_the_kind():
  goal = small_shop.goal(name='Slim Fit 42')
  assert reward.title_score(LAMP, goal) == 0.2
  assert reward.type_score(LAMP, goal) == 0.5


def test_what_suits_can_be_bought_for_one():
  goal = small_shop.goal()
  assert shop.suits(SHIRT, goal)
  assert not shop.suits(DEAR, goal)
  assert not shop.suits(LAMP, goal)
  assert not shop.suits(SHIRT, small_shop.goal(options=(('size', 'large'),)))
