"""The pages of the shop: what is shown, and what can be clicked.

Two wordings. 'text' is WebShop's simple text mode, the parts of a page with
' [SEP] ' between them. 'compact' is for small policies: it leaves out the
instruction (formats state it), the titles' brands and what can be clicked on
every page; products are named by their place in the list, and of an option that
is chosen its value alone is shown.
"""

import dataclasses
import math
from collections.abc import Mapping

from jaxcredit.environments.shop import catalogue as catalogue_lib
from jaxcredit.environments.shop import products as products_lib

WORDINGS = ('text', 'compact')
SEARCH, RESULTS, ITEM, DONE = 'search', 'results', 'item', 'done'
SUBPAGES = ('description', 'features', 'reviews', 'attributes')
# Stands for any query in lists of admissible actions.
QUERY = 'search[<your query>]'
BACK, NEXT, PREVIOUS, BUY = 'back to search', 'next >', '< prev', 'buy now'

_SEPARATOR = ' [SEP] '


@dataclasses.dataclass(frozen=True)
class Page:
  """Where a customer is.

  Attributes:
    kind: SEARCH, RESULTS, ITEM, DONE or one of SUBPAGES.
    results: indices of the products that the last search found.
    number: which page of them, from 0.
    product: index of the product that is open; None for none.
    chosen: (option, value) of what was chosen of it, in the options' order.
  """

  kind: str = SEARCH
  results: tuple[int, ...] = ()
  number: int = 0
  product: int | None = None
  chosen: tuple[tuple[str, str], ...] = ()


def replace(page: Page, **changes) -> Page:
  """The page with some fields changed."""
  return dataclasses.replace(page, **changes)


class Writer:
  """Writes pages, and lists their buttons.

  Args:
    catalogue: what is sold.
    wording: one of WORDINGS.
    results_per_page: products on a page of results.
    shows_attributes: whether the page of a product has a button for its
      attributes (WebShop: by default it does not).
  """

  def __init__(
    self,
    catalogue: catalogue_lib.Catalogue,
    wording: str,
    results_per_page: int,
    shows_attributes: bool,
  ):
    self._catalogue = catalogue
    self._compact = wording == 'compact'
    self._per_page = results_per_page
    self._subpages = SUBPAGES if shows_attributes else SUBPAGES[:-1]
    if self._compact:
      # Nobody wrote reviews.
      self._subpages = tuple(p for p in self._subpages if p != 'reviews')

  def listed(self, page: Page) -> tuple[int, ...]:
    """The products on a page of results."""
    start = page.number * self._per_page
    return page.results[start : start + self._per_page]

  def link(self, page: Page, product: int) -> str:
    """The button that opens a product that is listed."""
    if self._compact:
      return str(self.listed(page).index(product) + 1)
    return self._catalogue[product].asin.lower()

  def _has_next(self, page: Page) -> bool:
    return (page.number + 1) * self._per_page < len(page.results)

  def buttons(self, page: Page) -> Mapping[str, Page]:
    """What can be clicked, and where it leads; in the order of the page."""
    buttons: dict[str, Page] = {}
    if page.kind in (SEARCH, DONE):
      return buttons
    buttons[BACK] = Page()
    if page.kind == RESULTS:
      if page.number:
        buttons[PREVIOUS] = replace(page, number=page.number - 1)
      if self._has_next(page):
        buttons[NEXT] = replace(page, number=page.number + 1)
      for product in self.listed(page):
        buttons[self.link(page, product)] = replace(
          page, kind=ITEM, product=product
        )
      return buttons
    if page.kind != ITEM:
      buttons[PREVIOUS] = replace(page, kind=ITEM)
      return buttons
    buttons[PREVIOUS] = replace(page, kind=RESULTS, product=None, chosen=())
    product = self._catalogue[page.product]
    for name, values in product.customization_options:
      for value in values:
        buttons.setdefault(value, _choose(page, product, name, value))
    for kind in self._subpages:
      buttons[kind] = replace(page, kind=kind)
    buttons[BUY] = replace(page, kind=DONE)
    return buttons

  def text(self, page: Page, instruction: str, reward: float) -> str:
    """What a page shows.

    Args:
      page: the page.
      instruction: of the task; the compact wording leaves it out.
      reward: of the purchase, for the last page.
    """
    if self._compact:
      return self._compact_text(page, reward)
    if page.kind == SEARCH:
      return _SEPARATOR.join(('WebShop', 'Instruction:', instruction, 'Search'))
    if page.kind == DONE:
      return _SEPARATOR.join(
        (
          'Thank you for shopping with us!',
          'Your score (min 0.0, max 1.0)',
          f'{reward:.4g}',
        )
      )
    return _SEPARATOR.join(
      ('Instruction:', instruction, 'Back to Search', *self._parts(page))
    )

  def _parts(self, page: Page) -> list[str]:
    if page.kind == RESULTS:
      parts = [f'Page {page.number + 1} (Total results: {len(page.results)})']
      if page.number:
        parts.append('< Prev')
      if self._has_next(page):
        parts.append('Next >')
      for index in self.listed(page):
        product = self._catalogue[index]
        parts += [product.asin, product.name, product.price_tag]
      return parts
    product = self._catalogue[page.product]
    parts = ['< Prev']
    if page.kind == 'description':
      parts.append(product.full_description)
    elif page.kind == 'features':
      parts += product.small_description
    elif page.kind == 'attributes':
      parts += product.attributes
      parts += [product.category, product.query, product.product_category]
    elif page.kind == ITEM:
      for name, values in product.customization_options:
        parts += [name, *values]
      parts += [
        product.name,
        f'Price: {product.price_tag}',
        f'Rating: {product.average_rating}',
        *(kind.capitalize() for kind in self._subpages),
        'Buy Now',
      ]
    return parts

  def _compact_text(self, page: Page, reward: float) -> str:
    if page.kind == SEARCH:
      return 'search page'
    if page.kind == DONE:
      return f'bought, score {reward:.4g}'
    if page.kind == RESULTS:
      if not page.results:
        return 'no results'
      lines = [f'page {page.number + 1}']
      for place, index in enumerate(self.listed(page), start=1):
        product = self._catalogue[index]
        lines.append(f'{place}: {_summary(product)}')
      if self._has_next(page):
        lines.append(NEXT)
      return '\n'.join(lines)
    product = self._catalogue[page.product]
    if page.kind == 'description':
      return product.full_description.lower()
    if page.kind == 'features':
      return '\n'.join(product.small_description).lower()
    if page.kind == 'attributes':
      return ', '.join(product.attributes)
    lines = [_summary(product)]
    chosen = dict(page.chosen)
    for name, values in product.customization_options:
      shown = f'is {chosen[name]}' if name in chosen else ', '.join(values)
      lines.append(f'{name} {shown}')
    return '\n'.join(lines)


def _choose(
  page: Page, product: products_lib.Product, name: str, value: str
) -> Page:
  chosen = {**dict(page.chosen), name: value}
  order = [option for option, _ in product.customization_options]
  return replace(
    page, chosen=tuple((n, chosen[n]) for n in order if n in chosen)
  )


def _summary(product: products_lib.Product) -> str:
  """What a small policy must know of a product to choose it."""
  said = ', '.join(product.attributes)
  # As instructions spell it.
  kind = product.query.replace("'", '')
  return f'{kind}, {said}, {math.ceil(product.price)} dollars'
