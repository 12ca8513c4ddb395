"""Products with the fields of WebShop's items, and a generator of them.

WebShop (Yao et al. 2022, arXiv 2207.01206) sells products scraped from a shop,
which may not be passed on. These are invented: assortment.json holds types of
products with the attributes, options and prices that fit them, by hand.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

ASSORTMENT = pathlib.Path(__file__).with_name('assortment.json')
CATEGORIES = ('fashion', 'electronics', 'beauty', 'grocery', 'garden')

# Random numbers of a product. More would change no product made of fewer.
_DRAWS = 64
_DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'
_ASINS = 36**8
# Odd and no multiple of three: steps of this size meet every number once.
_STRIDE = 2_654_435_761
_FIRST = ('Bex', 'Cor', 'Dra', 'Elv', 'Fen', 'Gal', 'Hol', 'Ivo', 'Jor', 'Kel')
_FIRST += (
  'Lum',
  'Mov',
  'Nar',
  'Orv',
  'Pel',
  'Quil',
  'Ros',
  'Syl',
  'Tov',
  'Ulm',
)
_FIRST += ('Ver', 'Wex', 'Yar', 'Zan')
_MIDDLE = ('a', 'e', 'i', 'o', 'u')
_LAST = ('bri', 'dane', 'fy', 'gan', 'let', 'mora', 'nix', 'quo', 'rell', 'sta')
_LAST += ('tine', 'vo', 'wyn', 'xa', 'zen', 'kky')


@dataclasses.dataclass(frozen=True)
class Product:
  """One product; the fields are those of WebShop's items.

  Attributes:
    asin: identifies it; ten characters.
    name: its title.
    category: one of CATEGORIES.
    query: what people search for who want such a thing.
    product_category: the path of departments, with ' › ' between them.
    pricing: its price in dollars, or the lowest and the highest one.
    small_description: its features.
    full_description: its description.
    customization_options: (name, values) of each choice that a buyer has.
    average_rating: stars, 0 to 5.
    brand: who makes it.
    attributes: what can be said of it, such as 'gluten free'.
  """

  asin: str
  name: str
  category: str
  query: str
  product_category: str
  pricing: tuple[float, ...]
  small_description: tuple[str, ...]
  full_description: str
  customization_options: tuple[tuple[str, tuple[str, ...]], ...]
  average_rating: float
  brand: str
  attributes: tuple[str, ...]

  @property
  def price(self) -> float:
    """What is paid: of a range its upper end.

    WebShop draws a price of the range by chance, anew in every process.
    """
    return self.pricing[-1]

  @property
  def price_tag(self) -> str:
    """The price as pages show it."""
    return ' to '.join(f'${price:.2f}' for price in self.pricing)

  def as_item(self) -> dict[str, Any]:
    """The product as an item of WebShop's files."""
    item = dataclasses.asdict(self)
    item['pricing'] = ''.join(f'${price:.2f}' for price in self.pricing)
    item['small_description'] = list(self.small_description)
    item['attributes'] = list(self.attributes)
    item['customization_options'] = {
      name: [{'value': value} for value in values]
      for name, values in self.customization_options
    }
    return item


@dataclasses.dataclass(frozen=True)
class ProductType:
  """A type of product; see assortment.json.

  Attributes:
    category: one of CATEGORIES.
    query: what people search for.
    noun: how an instruction names it.
    number: 'one' (a dress), 'pair' (a pair of jeans) or 'some'.
    path: departments.
    styles: words that tell its products apart.
    attributes: those that fit it.
    options: (name, values) of its choices.
    price: the lowest and the highest, in dollars.
  """

  category: str
  query: str
  noun: str
  number: str
  path: str
  styles: tuple[str, ...]
  attributes: tuple[str, ...]
  options: tuple[tuple[str, tuple[str, ...]], ...]
  price: tuple[float, float]


@functools.cache
def _assortment() -> Mapping[str, Any]:
  return json.loads(ASSORTMENT.read_text(encoding='utf-8'))


@functools.cache
def product_types() -> tuple[ProductType, ...]:
  """The types of products, those of the categories in turn."""
  table = _assortment()
  by_category: dict[str, list[ProductType]] = {c: [] for c in CATEGORIES}
  for row in table['types']:
    options = tuple(
      (table['options'][key]['name'], tuple(table['options'][key]['values']))
      for key in row['options']
    )
    fields = {**row, 'options': options}
    for key in ('styles', 'attributes', 'price'):
      fields[key] = tuple(fields[key])
    by_category[row['category']].append(ProductType(**fields))
  longest = max(map(len, by_category.values()))
  return tuple(
    types[i]
    for i in range(longest)
    for types in by_category.values()
    if i < len(types)
  )


@functools.cache
def _exclusive() -> Mapping[str, int]:
  """The group of each attribute of which a product has one at most."""
  groups = enumerate(_assortment()['exclusive'])
  return {attribute: i for i, group in groups for attribute in group}


@functools.cache
def type_of_query() -> Mapping[str, ProductType]:
  """The type of each query."""
  return {kind.query: kind for kind in product_types()}


def attribute_wording(attribute: str) -> tuple[str, str]:
  """How an instruction asks for an attribute.

  Args:
    attribute: of assortment.json.

  Returns:
    The preposition ('before', 'with', 'made' or 'for') and the words.
  """
  kind, words = _assortment()['attributes'][attribute]
  return kind, words


class _Chance:
  """Choices read off a row of uniform numbers.

  The same on every machine, and for a product whatever the others are.
  """

  def __init__(self, numbers: Sequence[float]):
    self._numbers: Iterator[float] = iter(numbers)

  def number(self) -> float:
    return next(self._numbers)

  def below(self, count: int) -> int:
    return int(next(self._numbers) * count)

  def choice(self, values):
    return values[self.below(len(values))]

  def some(self, values, count: int, exclusive=None) -> list:
    """`count` of the values or fewer, in their order.

    Of those that `exclusive` maps to the same number one is taken at most.
    """
    left = list(range(len(values)))
    taken, groups = [], set()
    for _ in range(count):
      i = left.pop(self.below(len(left)))
      group = exclusive.get(values[i]) if exclusive else None
      if group is None or group not in groups:
        taken.append(i)
        groups.add(group)
    return [values[i] for i in sorted(taken)]


def generate_products(count: int, seed: int = 0) -> tuple[Product, ...]:
  """Makes products, the types in turn.

  Args:
    count: how many. A smaller count gives the first of a larger one.
    seed: they are a function of it.

  Raises:
    ValueError: `count` is not positive.
  """
  if count < 1:
    raise ValueError(f'count must be positive, not {count}')
  kinds = product_types()
  numbers = np.random.default_rng(seed).random((count, _DRAWS)).tolist()
  return tuple(
    _product(kinds[i % len(kinds)], _asin(i, seed), _Chance(row))
    for i, row in enumerate(numbers)
  )


def _asin(index: int, seed: int) -> str:
  number = ((index + 1) * _STRIDE + seed * 7_919) % _ASINS
  digits = []
  for _ in range(8):
    number, digit = divmod(number, 36)
    digits.append(_DIGITS[digit])
  return 'B0' + ''.join(reversed(digits))


def _titled(words: str) -> str:
  return ' '.join(word[:1].upper() + word[1:] for word in words.split())


def _product(kind: ProductType, asin: str, chance: _Chance) -> Product:
  brand = chance.choice(_FIRST) + chance.choice(_MIDDLE) + chance.choice(_LAST)
  style = chance.choice(kind.styles)
  count = 2 + chance.below(min(3, len(kind.attributes) - 1))
  attributes = chance.some(kind.attributes, count, _exclusive())
  options = []
  for name, values in kind.options:
    size = min(len(values), 3 + chance.below(4))
    if name == 'size':
      # Neighbours: nobody makes shoes in sizes 5 and 12 alone.
      first = chance.below(len(values) - size + 1)
      options.append((name, values[first : first + size]))
    else:
      options.append((name, tuple(chance.some(values, size))))
  low, high = kind.price
  price = round(low * (high / low) ** chance.number()) - 0.01
  pricing = (round(price, 2),)
  if chance.number() < 0.15:
    pricing = (*pricing, round(price * (1.1 + 0.4 * chance.number()), 2))
  thing = _titled(kind.query)
  said = [_titled(words) for words in attributes]
  name = f'{brand} {style} {thing}, {", ".join(said)}'
  features = [f'{said[0]}: made with care by {brand}']
  features += [f'{words} {kind.noun}' for words in said[1:]]
  if options:
    features.append(f'Choose your {" and ".join(name for name, _ in options)}')
  listed = ' and '.join(
    part for part in (', '.join(attributes[:-1]), attributes[-1]) if part
  )
  description = (
    f'{brand} presents its {style.lower()} {kind.noun}. What our customers '
    f'like about it: {listed}.'
  )
  return Product(
    asin=asin,
    name=name,
    category=kind.category,
    query=kind.query,
    product_category=kind.path,
    pricing=pricing,
    small_description=tuple(features),
    full_description=description,
    customization_options=tuple(options),
    average_rating=round(2.5 + 2.5 * chance.number(), 1),
    brand=brand,
    attributes=tuple(attributes),
  )
