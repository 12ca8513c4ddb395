"""Search over products by BM25.

The library bm25s scores (Lucene's form of BM25, as WebShop's index); products
of equal score stand in the order of the catalogue, so that results are the same
everywhere. It comes with the extra `shop`.
"""

import functools
import logging
import re
import sys
from collections.abc import Sequence

import numpy as np

from jaxcredit.environments import commands
from jaxcredit.environments.shop import products as products_lib

# WebShop's settings are those of its library, pyserini.
K1, B = 0.9, 0.4

_WORD = re.compile(r'[^\W_]+(?:\.[0-9]+)?')
_STOP_WORDS = frozenset(
  'a an and are as at be but by for i if im in into is it its like looking me '
  'my need no not of on or some such that the their then there these they '
  'this to want was which will with would'.split()
)


class SearchUnavailable(ImportError):
  """The library that searches is not installed."""


def words(text: str) -> list[str]:
  """The words of a text that count in a search, plurals as singulars."""
  text = commands.plain(text).replace("'s", 's').replace('’s', 's')
  found = []
  for word in _WORD.findall(text):
    if word in _STOP_WORDS:
      continue
    if len(word) > 3 and word[-1] == 's' and word[-2] not in 'su':
      word = word[:-1]
    found.append(word)
  return found


def document(product: products_lib.Product) -> str:
  """What is searched of a product, as in WebShop's index."""
  options = ' '.join(
    f'{name} {" ".join(values)}'
    for name, values in product.customization_options
  )
  return ' '.join(
    (
      product.name,
      product.full_description,
      product.small_description[0] if product.small_description else '',
      options,
    )
  )


def _library():
  """bm25s, imported without its use of JAX.

  When it is imported it computes something on JAX's default device. Worker
  processes of a pool would each take hold of the accelerator by that.
  """
  if sys.modules.get('bm25s') is not None:
    return sys.modules['bm25s']
  held = sys.modules.get('jax.lax')
  sys.modules['jax.lax'] = None
  try:
    import bm25s
  except ImportError as error:
    raise SearchUnavailable(
      f'the shop searches with bm25s ({error}): pip install "jaxcredit[shop]"'
    ) from None
  finally:
    if held is None:
      del sys.modules['jax.lax']
    else:
      sys.modules['jax.lax'] = held
  # It tells every step of the building.
  logging.getLogger('bm25s').setLevel(logging.WARNING)
  return bm25s


class SearchIndex:
  """An index of products.

  Args:
    products: in the order that breaks ties.
  """

  def __init__(self, products: Sequence[products_lib.Product]):
    vocabulary: dict[str, int] = {}
    corpus = [
      [
        vocabulary.setdefault(word, len(vocabulary))
        for word in words(document(product))
      ]
      for product in products
    ]
    self._vocabulary = vocabulary
    self._index = _library().BM25(k1=K1, b=B, method='lucene')
    self._index.index((corpus, vocabulary), show_progress=False)
    self._cached = functools.lru_cache(maxsize=4096)(self._search)

  def search(self, query: str, count: int = 50) -> tuple[int, ...]:
    """The products that fit a query best.

    Args:
      query: any text.
      count: how many at most.

    Returns:
      Their indices, the best first; products that share no word with the
      query are none of them.
    """
    return self._cached(tuple(words(query)), count)

  def scores(self, query: str) -> np.ndarray:
    """BM25 of every product: float32 [N]."""
    return self._scores(words(query))

  def _scores(self, query: Sequence[str]) -> np.ndarray:
    known = [self._vocabulary[w] for w in query if w in self._vocabulary]
    return self._index.get_scores_from_ids(known)

  def _search(self, query: tuple[str, ...], count: int) -> tuple[int, ...]:
    scores = self._scores(query)
    count = min(count, int((scores > 0).sum()))
    if not count:
      return ()
    least = np.partition(scores, -count)[-count]
    better = (scores > least).nonzero()[0]
    better = better[np.argsort(-scores[better], kind='stable')]
    equal = (scores == least).nonzero()[0][: count - len(better)]
    return tuple(np.concatenate([better, equal]).tolist())
