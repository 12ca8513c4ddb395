"""The search against a plain BM25, and what its import must not do."""

import math
import sys

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxcredit.environments import shop
from jaxcredit.environments.shop import search
from tests.environments.shop import small_shop


def plain_bm25(documents, query, k1=0.9, b=0.4):
  """BM25 in Lucene's form, word by word (Robertson and Zaragoza 2009)."""
  mean = sum(map(len, documents)) / len(documents)
  scores = []
  for document in documents:
    total = 0.0
    for word in query:
      holding = sum(word in other for other in documents)
      if holding:
        weight = math.log(
          1 + (len(documents) - holding + 0.5) / (holding + 0.5)
        )
        count = document.count(word)
        total += (
          weight * count / (count + k1 * (1 - b + b * len(document) / mean))
        )
    scores.append(total)
  return scores


@pytest.fixture(scope='module')
def catalogue():
  return shop.generated(90)


@pytest.mark.parametrize(
  'query',
  [
    'mens t-shirt slim fit black',
    'i am looking for gluten free cookies, chocolate flavor, pack of 2',
    'black black black sofa',
    'Lamp',
  ],
)
def test_scores_are_those_of_bm25(catalogue, query):
  documents = [search.words(search.document(p)) for p in catalogue.products]
  expected = plain_bm25(documents, search.words(query))
  np.testing.assert_allclose(
    catalogue.index.scores(query), expected, rtol=1e-5, atol=1e-6
  )
  order = sorted(range(len(expected)), key=lambda i: (-expected[i], i))
  found = catalogue.search(query, 20)
  assert found == tuple(i for i in order if expected[i] > 0)[:20]
  assert found


def test_ties_stand_in_the_order_of_the_catalogue():
  same = [
    small_shop.product(f'B00000000{i}', 'Zanolet Shirt') for i in range(9)
  ]
  same[4] = small_shop.product('B000000009', 'Zanolet Shirt shirt')
  index = search.SearchIndex(same)
  assert index.search('shirt', 5) == (4, 0, 1, 2, 3)
  assert index.search('shirt', 50) == (4, 0, 1, 2, 3, 5, 6, 7, 8)


def test_what_shares_no_word_is_not_found(catalogue):
  assert catalogue.search('qwxz') == ()
  assert catalogue.search('') == ()
  assert catalogue.search('the of and') == ()
  assert small_shop.CATALOGUE.search('touch lamp') == (2,)


def test_words():
  assert search.words("Men's T-Shirts, 6.5 Wide; the BODY washes & glass!") == [
    'men',
    't',
    'shirt',
    '6.5',
    'wide',
    'body',
    'washe',
    'glass',
  ]
  assert search.words('mens shirt') == search.words("men's shirts")


@hypothesis.given(st.text())
def test_any_text_can_be_searched_for(query):
  found = small_shop.CATALOGUE.search(query)
  assert len(set(found)) == len(found) <= 4
  assert found == small_shop.CATALOGUE.search(query)


def test_a_missing_library_is_told_with_its_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, 'bm25s', None)
  catalogue = shop.Catalogue(small_shop.CATALOGUE.products)
  # Goals can be made without it.
  shop.generate_goals(0, 1, shop.generated(60))
  with pytest.raises(shop.SearchUnavailable, match=r'"jaxcredit\[shop\]"'):
    catalogue.search('lamp')
  assert jax.lax is sys.modules['jax.lax']
