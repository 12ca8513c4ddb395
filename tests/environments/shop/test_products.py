"""Generated products make sense, and are the same everywhere."""

import hashlib
import json

import pytest

from jaxcredit.environments import shop
from jaxcredit.environments.shop import products as products_lib

# One of every type, and two more.
COUNT = 3 * len(products_lib.product_types())


@pytest.fixture(scope='module')
def products():
  return shop.generate_products(COUNT)


def test_types_cover_the_categories():
  kinds = products_lib.product_types()
  assert len(kinds) >= 50
  assert {kind.category for kind in kinds} == set(shop.CATEGORIES)
  assert len({kind.query for kind in kinds}) == len(kinds)
  # The first products of a small catalogue are of all categories.
  assert {kind.category for kind in kinds[:5]} == set(shop.CATEGORIES)


def test_products_fit_their_type(products):
  by_query = products_lib.type_of_query()
  for product in products:
    kind = by_query[product.query]
    assert product.category == kind.category
    assert product.product_category == kind.path and ' › ' in kind.path
    assert set(product.attributes) <= set(kind.attributes)
    assert len(set(product.attributes)) == len(product.attributes) >= 1
    low, high = kind.price
    assert low - 0.01 <= product.pricing[0] <= high
    assert list(product.pricing) == sorted(product.pricing)
    assert product.price == product.pricing[-1]
    assert 1 <= len(product.pricing) <= 2
    assert 2.5 <= product.average_rating <= 5
    allowed = dict(kind.options)
    assert len(dict(product.customization_options)) == len(kind.options)
    for name, values in product.customization_options:
      positions = [allowed[name].index(value) for value in values]
      assert positions == sorted(set(positions)) and len(positions) >= 3
      if name == 'size':
        assert positions == list(range(positions[0], positions[-1] + 1))
    assert product.name.startswith(product.brand)


def test_what_is_said_of_a_product_does_not_contradict_itself():
  for product in shop.generate_products(1500, seed=3):
    said = set(product.attributes)
    assert not {'long sleeve', 'short sleeve'} <= said
    assert len(said & {'slim fit', 'regular fit', 'relaxed fit'}) <= 1
    assert not {'open toe', 'closed toe'} <= said


def test_its_texts_say_its_attributes(products):
  for product in products:
    for attribute in product.attributes:
      assert attribute in product.name.lower()
      assert attribute in product.full_description
      assert any(
        attribute in feature.lower() for feature in product.small_description
      )


def test_no_value_stands_for_two_options_of_a_product(products):
  for product in products:
    values = [v for _, values in product.customization_options for v in values]
    assert len(set(values)) == len(values)
    assert all(value == value.lower() for value in values)


def test_identifiers_are_like_those_of_the_shop():
  identifiers = {products_lib._asin(i, 3) for i in range(20_000)}
  assert len(identifiers) == 20_000
  assert all(
    len(asin) == 10 and asin.startswith('B0') and asin.isalnum()
    for asin in identifiers
  )


def test_a_small_catalogue_is_the_first_part_of_a_large_one(products):
  assert shop.generate_products(7) == products[:7]
  assert shop.generate_products(7, seed=1) != products[:7]
  assert shop.generated(7) is shop.generated(7)


def test_items_have_the_fields_of_webshop(products):
  item = json.loads(json.dumps(products[0].as_item()))
  assert set(item) == {
    'asin',
    'name',
    'category',
    'query',
    'product_category',
    'pricing',
    'small_description',
    'full_description',
    'customization_options',
    'average_rating',
    'brand',
    'attributes',
  }
  name, values = products[0].customization_options[0]
  assert item['customization_options'][name] == [{'value': v} for v in values]
  # Read as WebShop reads it.
  prices = [float(price) for price in item['pricing'].split('$')[1:]]
  assert tuple(prices) == products[0].pricing


@pytest.mark.parametrize('count', [0, -3])
def test_there_is_no_shop_without_products(count):
  with pytest.raises(ValueError, match=f'count must be positive, not {count}'):
    shop.generate_products(count)


def test_identifiers_must_differ(products):
  with pytest.raises(ValueError, match='two products have the same asin'):
    shop.Catalogue([products[0], products[0]])


def test_products_stay_as_they_are():
  """A change here changes every task of every run: it must be meant."""
  text = repr(shop.generate_products(100))
  assert hashlib.sha256(text.encode()).hexdigest() == (
    '419bca8dd554ab6055c9ae9234ba9a88cf0fd2a6bf0e822cd04f5a50b4953662'
  )
