"""What a customer asks for: goals, and instructions in words.

A goal is made from a product: its type, some of its attributes, some of its
options, and a bound on the price. The instruction says so in sentences whose
words and turns are those of WebShop's 12,087 instructions, written by a crowd
(without capitals or apostrophes, as there). The bound is drawn and stated as in
WebShop.
"""

import bisect
import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from jaxcredit.environments import generated
from jaxcredit.environments.shop import catalogue as catalogue_lib
from jaxcredit.environments.shop import products as products_lib

# Parts of a catalogue whose products goals are made from.
PARTS = ('train', 'test', 'all')
_TEST_SHARE = 5
_BOUNDS = tuple(10.0 * i for i in range(1, 100))
NO_BOUND = 1_000_000.0

_OPENINGS = (
  'i am looking for',
  'im looking for',
  'i would like',
  'i want to find',
  'i want to buy',
  'i want',
  'i need',
  'i need to buy',
  'i am interested in',
  'i am searching for',
  'id like to find',
  'id like to buy',
  'i am looking to buy',
  'can you find me',
  'find me',
  'get me',
)
_THAT_IS = ('that is', 'which is')
_THAT_ARE = ('that are', 'which are')
# What is said of an option behind the thing, and in a sentence of its own.
_NEAR = {
  'color': ('in {}', 'in {} color', 'in color {}', 'in the color {}'),
  'size': ('in size {}', 'in a size {}', 'of size {}', 'size {}'),
  'number of items': ('in a {}', '({})'),
  'flavor name': ('in {} flavor', 'with {} flavor', 'in the flavor {}'),
  'scent': ('with {} scent', 'in {} scent', 'in the scent {}'),
}
_LATER = {
  'color': ('the color should be {}', 'i need it in {}', 'please choose {}'),
  'size': ('the size should be {}', 'it should be size {}', 'choose size {}'),
  'number of items': ('it should be a {}', 'i need a {}'),
  'flavor name': ('the flavor should be {}', 'please choose {} flavor'),
  'scent': ('the scent should be {}',),
}


@dataclasses.dataclass(frozen=True)
class Goal:
  """What is to be bought.

  Attributes:
    name: the title of the product that the goal was made from.
    asin: which one that was; another that meets all is as good.
    category: one of products.CATEGORIES.
    query: of that product, likewise `product_category`.
    product_category: departments.
    product_attributes: all attributes of that product.
    attributes: those that are asked for.
    options: (name, value) of those that are asked for.
    price_upper: the bound of the price.
    instruction: all this in words.
  """

  name: str
  asin: str
  category: str
  query: str
  product_category: str
  product_attributes: tuple[str, ...]
  attributes: tuple[str, ...]
  options: tuple[tuple[str, str], ...]
  price_upper: float
  instruction: str

  @property
  def task_type(self) -> str:
    """The kind of task by which successes are counted."""
    return self.category

  @property
  def task_description(self) -> str:
    """The sentence that states the task."""
    return self.instruction


def _counted(noun: str, number: str, before: Sequence[str]) -> str:
  """A noun with its adjectives and article."""
  words = ' '.join((*before, noun))
  if number == 'pair':
    return f'a pair of {words}'
  if number == 'some':
    return f'some {words}'
  return f'{"an" if words[0] in "aeiou" else "a"} {words}'


def instruction(
  kind: products_lib.ProductType,
  attributes: Sequence[str],
  options: Sequence[tuple[str, str]],
  price_upper: float,
  rng: np.random.Generator,
) -> str:
  """Puts a goal into words.

  Args:
    kind: the type of the product.
    attributes: that are asked for.
    options: (name, value) of those that are asked for.
    price_upper: the bound of the price; NO_BOUND for none.
    rng: chooses the words.
  """

  def pick(values):
    return values[int(rng.integers(len(values)))]

  before: list[str] = []
  after: dict[str, list[str]] = {'is': [], 'made of': [], 'with': [], 'for': []}
  for attribute in attributes:
    where, words = products_lib.attribute_wording(attribute)
    if where != 'before':
      after['made of' if where == 'made' else where].append(words)
    elif not before and rng.random() < 0.5:
      before.append(words)
    else:
      after['is'].append(words)
  text = f'{pick(_OPENINGS)} {_counted(kind.noun, kind.number, before)}'
  # 'some shampoo that is', 'some cookies that are'
  many = kind.number == 'pair' or (
    kind.number == 'some' and kind.noun.endswith('s')
  )
  for where, words in after.items():
    if words:
      joint = pick(_THAT_ARE if many else _THAT_IS) if where == 'is' else where
      text += f' {joint} {" and ".join(words)}'
  later = []
  for name, value in options:
    if rng.random() < 0.7:
      text += f' {pick(_NEAR[name]).format(value)}'
    else:
      later.append(pick(_LATER[name]).format(value))
  for sentence in later:
    text += pick((f'. {sentence}', f', and {sentence}', f'. also, {sentence}'))
  if price_upper < NO_BOUND:
    text += f', and price lower than {price_upper:.2f} dollars'
  return text


def make_goal(product: products_lib.Product, rng: np.random.Generator) -> Goal:
  """Makes a goal that a product meets."""
  kind = products_lib.type_of_query()[product.query]
  # Few ask for three.
  count = min(1 + int(2.4 * rng.random() ** 1.5), len(product.attributes))
  taken = sorted(rng.permutation(len(product.attributes))[:count].tolist())
  attributes = tuple(product.attributes[i] for i in taken)
  options = tuple(
    (name, values[int(rng.integers(len(values)))])
    for name, values in product.customization_options
    if rng.random() < 0.75
  )
  # WebShop: two of the next four multiples of ten, the higher one.
  first = bisect.bisect_right(_BOUNDS, product.price)
  above = _BOUNDS[first : first + 4]
  bound = NO_BOUND
  if len(above) >= 2:
    bound = max(above[i] for i in rng.permutation(len(above))[:2].tolist())
  return Goal(
    name=product.name,
    asin=product.asin,
    category=product.category,
    query=product.query,
    product_category=product.product_category,
    product_attributes=product.attributes,
    attributes=attributes,
    options=options,
    price_upper=bound,
    instruction=instruction(kind, attributes, options, bound, rng),
  )


def generate_goals(
  seed: int,
  count: int,
  catalogue: catalogue_lib.Catalogue,
  part: str = 'all',
) -> generated.Tasks[Goal]:
  """Goals, each made when it is asked for; seeds seed, seed + 1, ...

  Args:
    seed: of the first goal; each is a function of its seed and the catalogue.
    count: how many.
    catalogue: of generated products.
    part: 'train' and 'test' make goals of different products (every fifth is
      for tests), 'all' of any.

  Raises:
    ValueError: a bad count or part, or a part without products.
  """
  if part not in PARTS:
    raise ValueError(f'part must be one of {PARTS}, not {part!r}')
  # By turns of types, so that every part has every type.
  turn = len(products_lib.product_types())
  numbers = [
    i
    for i in range(len(catalogue))
    if part == 'all' or (i // turn % _TEST_SHARE == 0) == (part == 'test')
  ]
  if not numbers:
    raise ValueError(
      f'a catalogue of {len(catalogue)} products has none for {part!r}: make '
      f'it larger than {turn}'
    )
  return generated.Tasks(
    count, functools.partial(_goal_at, seed, catalogue, tuple(numbers))
  )


def _goal_at(seed: int, catalogue, numbers: tuple[int, ...], place: int):
  rng = np.random.default_rng(seed + place)
  chosen = numbers[int(rng.integers(len(numbers)))]
  return make_goal(catalogue[chosen], rng)
