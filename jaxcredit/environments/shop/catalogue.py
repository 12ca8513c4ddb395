"""The products of a shop, found by identifier or by search."""

import functools
from collections.abc import Sequence

from jaxcredit.environments import commands
from jaxcredit.environments.shop import products as products_lib
from jaxcredit.environments.shop import search as search_lib

# Results that a search gives at most, as in WebShop.
SEARCH_RESULTS = 50


class Catalogue:
  """Products that are for sale.

  Args:
    products: their identifiers must differ.

  Raises:
    ValueError: two have the same identifier.
  """

  def __init__(self, products: Sequence[products_lib.Product]):
    self.products = tuple(products)
    self._by_asin = {
      commands.plain(p.asin): i for i, p in enumerate(self.products)
    }
    if len(self._by_asin) < len(self.products):
      raise ValueError('two products have the same asin')

  def __len__(self) -> int:
    return len(self.products)

  def __getitem__(self, index: int) -> products_lib.Product:
    return self.products[index]

  def find(self, asin: str) -> int | None:
    """The index of a product; None where there is no such."""
    return self._by_asin.get(commands.plain(asin))

  @functools.cached_property
  def index(self) -> search_lib.SearchIndex:
    """The index of the search, made when it is first asked."""
    return search_lib.SearchIndex(self.products)

  def search(self, query: str, count: int = SEARCH_RESULTS) -> tuple[int, ...]:
    """Indices of the products that fit a query best, the best first."""
    return self.index.search(query, count)


@functools.lru_cache(maxsize=4)
def generated(size: int, seed: int = 0) -> Catalogue:
  """The catalogue of generated products; made once in a process.

  Args:
    size: how many products.
    seed: of the generator.
  """
  return Catalogue(products_lib.generate_products(size, seed))
