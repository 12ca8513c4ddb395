"""Goals can be met, and are asked for in the words of real customers."""

import collections
import json
import lzma
import re

import pytest

from jaxcredit.environments import shop
from jaxcredit.environments.shop import goals as goals_lib
from jaxcredit.environments.shop import products as products_lib
from tests import shared_data

PRICE = re.compile(r', and price lower than (\d+\.00) dollars$')


@pytest.fixture(scope='module')
def catalogue():
  return shop.generated(900)


@pytest.fixture(scope='module')
def goals(catalogue):
  return shop.generate_goals(0, 400, catalogue)


def product_of(goal, catalogue):
  return catalogue[catalogue.find(goal.asin)]


def test_the_product_of_a_goal_meets_it(catalogue, goals):
  for goal in goals:
    product = product_of(goal, catalogue)
    assert shop.suits(product, goal)
    assert shop.score(product, dict(goal.options), goal).reward == 1
    assert product.price < goal.price_upper
    assert set(goal.attributes) <= set(product.attributes)
    assert goal.task_type == product.category


def test_goals_are_of_many_kinds(goals):
  assert {goal.category for goal in goals} == set(shop.CATEGORIES)
  assert len({goal.query for goal in goals}) > 50
  assert {len(goal.attributes) for goal in goals} == {1, 2, 3}
  assert {len(goal.options) for goal in goals} == {0, 1, 2}
  assert len({goal.instruction for goal in goals}) == len(goals)
  openings = collections.Counter(
    next(
      o
      for o in sorted(goals_lib._OPENINGS, key=len, reverse=True)
      if goal.instruction.startswith(f'{o} ')
    )
    for goal in goals
  )
  assert len(openings) == len(goals_lib._OPENINGS)


def test_bounds_are_two_of_the_next_tens(catalogue, goals):
  steps = collections.Counter()
  for goal in goals:
    price = product_of(goal, catalogue).price
    first = price // 10 * 10 + 10
    steps[(goal.price_upper - first) / 10] += 1
  # The higher of two of four is never the first.
  assert set(steps) == {1, 2, 3}
  assert steps[1] < steps[2] < steps[3]


def test_what_costs_too_much_has_no_bound():
  dear = products_lib.generate_products(1)[0]
  dear = shop.Product(**{**vars(dear), 'pricing': (985.0,)})
  goal = shop.generate_goals(0, 1, shop.Catalogue([dear]))[0]
  assert goal.price_upper == goals_lib.NO_BOUND
  assert 'dollars' not in goal.instruction
  assert shop.suits(dear, goal)


def test_an_instruction_says_all_of_its_goal(goals):
  for goal in goals:
    text = f'{goal.instruction} '
    kind = products_lib.type_of_query()[goal.query]
    assert re.search(rf'\b{re.escape(kind.noun)}\b', text)
    for attribute in goal.attributes:
      words = products_lib.attribute_wording(attribute)[1]
      assert text.count(words) >= 1, (attribute, text)
    for _, value in goal.options:
      assert re.search(rf'\b{re.escape(value)}\b', text), (value, text)
    assert float(PRICE.search(goal.instruction).group(1)) == goal.price_upper
    assert goal.instruction == goal.instruction.lower()
    assert "'" not in text and '  ' not in text and ' a a' not in text
    assert goal.task_description == goal.instruction


@pytest.mark.parametrize(
  ('noun', 'number', 'before', 'expected'),
  [
    ('eye cream', 'one', [], 'an eye cream'),
    ('eye cream', 'one', ['long lasting'], 'a long lasting eye cream'),
    ('mens jeans', 'pair', ['slim fit'], 'a pair of slim fit mens jeans'),
    ('shampoo', 'some', [], 'some shampoo'),
  ],
)
def test_articles(noun, number, before, expected):
  assert goals_lib._counted(noun, number, before) == expected


def test_goals_are_a_function_of_their_seed(catalogue, goals):
  assert shop.generate_goals(7, 3, catalogue) == goals[7:10]
  assert shop.generate_goals(0, 3, shop.generated(901)) != goals[:3]


def test_parts_are_of_different_products(catalogue):
  asins = {
    part: {g.asin for g in shop.generate_goals(0, 900, catalogue, part)}
    for part in shop.PARTS
  }
  assert not asins['train'] & asins['test']
  assert 100 < len(asins['test']) <= 180 < len(asins['train'])
  queries = {
    part: {g.query for g in shop.generate_goals(0, 900, catalogue, part)}
    for part in shop.PARTS
  }
  assert queries['train'] == queries['test']


def test_errors(catalogue):
  with pytest.raises(ValueError, match='count must be positive, not 0'):
    shop.generate_goals(0, 0, catalogue)
  with pytest.raises(ValueError, match=r"part must be one of .* not 'dev'"):
    shop.generate_goals(0, 1, catalogue, 'dev')
  with pytest.raises(ValueError, match="of 10 products has none for 'train'"):
    shop.generate_goals(0, 1, shop.generated(10), 'train')


@pytest.fixture(scope='module')
def real():
  """Instructions that people wrote, with single spaces."""
  path = shared_data.shared_data('webshop_goals') / 'human_goals.json.xz'
  with lzma.open(path, 'rt', encoding='utf-8') as file:
    return [' '.join(text.lower().split()) for text in json.load(file)]


def words(text):
  return re.findall(r'[a-z]+', text)


def test_words_are_those_of_real_instructions(real, goals):
  known = collections.Counter(word for text in real for word in words(text))
  used = {w for goal in goals for w in words(PRICE.sub('', goal.instruction))}
  assert sorted(word for word in used if not known[word]) == []
  assert sum(known[word] < 5 for word in used) / len(used) < 0.03


def test_turns_are_those_of_real_instructions(real, goals):
  everything = '\n'.join(real)
  for opening in goals_lib._OPENINGS:
    count = sum(text.startswith(f'{opening} ') for text in real)
    assert count >= 5, (opening, count)
  forms = [
    *(form for forms in goals_lib._NEAR.values() for form in forms),
    *(form for forms in goals_lib._LATER.values() for form in forms),
  ]
  for form in forms:
    pattern = re.escape(form).replace(r'\{\}', r'[\w -]{1,12}')
    assert re.search(rf'\b{pattern}'.replace(r'\b\(', r'\('), everything), form
  # Three words that follow each other are mostly such as people wrote.
  known = collections.Counter()
  for text in real:
    parts = words(text)
    known.update(zip(parts, parts[1:], parts[2:], strict=False))
  triples = [
    triple
    for goal in goals
    for parts in [words(PRICE.sub('', goal.instruction))]
    for triple in zip(parts, parts[1:], parts[2:], strict=False)
  ]
  assert sum(known[t] > 0 for t in triples) / len(triples) > 0.5


def test_lengths_are_those_of_real_instructions(real, goals):
  def mean(texts):
    return sum(len(text.split()) for text in texts) / len(texts)

  ours = mean([PRICE.sub('', goal.instruction) for goal in goals])
  assert 0.7 < ours / mean(real) < 1.3


def test_attributes_and_kinds_are_asked_for_by_people(real):
  everything = '\n'.join(real)
  attributes = {a for k in products_lib.product_types() for a in k.attributes}
  unknown = [
    attribute
    for attribute in attributes
    if everything.count(products_lib.attribute_wording(attribute)[1]) < 3
  ]
  assert unknown == []
