"""The reward of a purchase: how much of the goal it meets.

WebShop (Yao et al. 2022), Section 3 and Appendix A:

  r = r_type * (|attributes met| + |options met| + [price <= bound])
             / (|attributes| + |options| + 1)

It is 1 only where all fits. r_type says whether the thing is of the right kind,
by the words that its title shares with the title of the goal's product:

  0    none;
  0.1  less than a tenth of them;
  0.5  a fifth at most, and neither the query nor two departments are the same;
  1    else.

Their code differs in what it compares. Its title words are the nouns that a
tagger (spaCy) finds; here they are all words that are neither numbers nor
function words nor part of an attribute of either product. It compares
attributes and options by a fuzzy ratio above 85, under which "x-large" meets
"large", and colours by the first word of a list that occurs in them; here, as
in the paper's formula, they must be equal. In both an attribute is also met
where the product's texts say it.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping

from jaxcredit.environments import commands
from jaxcredit.environments.shop import goals as goals_lib
from jaxcredit.environments.shop import products as products_lib
from jaxcredit.environments.shop import search

_PLAIN = re.compile(r'[^\W_]+(?:\.[0-9]+)*')


@dataclasses.dataclass(frozen=True)
class Score:
  """What a purchase meets; see the module.

  Attributes:
    type_score: r_type.
    attributes: how many are met.
    options: how many are met.
    price: whether the price is not above the bound.
    parts: attributes, options and the price of the goal, counted.
  """

  type_score: float
  attributes: int
  options: int
  price: bool
  parts: int

  @property
  def reward(self) -> float:
    met = self.attributes + self.options + self.price
    return self.type_score * (met / self.parts)


def _plain(text: str) -> str:
  """Its words, in the form in which they are compared, with spaces around."""
  text = commands.plain(text)
  words = _PLAIN.findall(text)
  # Of signs alone the signs are all there is.
  return f' {" ".join(words) or text} '


_BETWEEN = re.compile(r'(?<=[^\W\d])[-_](?=[^\W\d])|[,;"\'()]')


def _same(value: str) -> str:
  """The value of an option; '+1.5' is not '-1.5', 'x-large' is 'x large'."""
  text = commands.plain(value)
  return ' '.join(_BETWEEN.sub(' ', text).split()) or text


@functools.lru_cache(maxsize=65536)
def _texts(product: products_lib.Product) -> tuple[str, ...]:
  return (
    *(_plain(attribute) for attribute in product.attributes),
    _plain(product.name),
    _plain(' '.join(product.small_description)),
    _plain(product.full_description),
  )


def _title_words(name: str, attributes: frozenset[str]) -> frozenset[str]:
  return frozenset(
    word
    for word in search.words(name)
    if word not in attributes and not word[0].isdigit()
  )


def title_score(product: products_lib.Product, goal: goals_lib.Goal) -> float:
  """Share of the words of the goal's title that a product's title has."""
  ignored = frozenset(
    search.words(' '.join((*product.attributes, *goal.product_attributes)))
  )
  wanted = _title_words(goal.name, ignored)
  if not wanted:
    return 0.2
  return len(wanted & _title_words(product.name, ignored)) / len(wanted)


def type_score(product: products_lib.Product, goal: goals_lib.Goal) -> float:
  """r_type; see the module."""
  share = title_score(product, goal)
  if share == 0:
    return 0.0
  if share < 0.1:
    return 0.1

  def departments(path):
    return {part.strip() for part in re.split('[›>]', path)}

  same_path = (
    len(
      departments(product.product_category) & departments(goal.product_category)
    )
    >= 2
  )
  if product.query == goal.query or same_path or share > 0.2:
    return 1.0
  return 0.5


def score(
  product: products_lib.Product,
  chosen: Mapping[str, str],
  goal: goals_lib.Goal,
) -> Score:
  """Scores the purchase of a product.

  Args:
    product: what was bought.
    chosen: the value of each option that was chosen.
    goal: what was asked for.
  """
  texts = _texts(product)
  values = {_same(value) for value in chosen.values()}
  return Score(
    type_score=type_score(product, goal),
    attributes=sum(
      any(_plain(wanted) in text for text in texts)
      for wanted in goal.attributes
    ),
    options=sum(_same(value) in values for _, value in goal.options),
    price=product.price <= goal.price_upper,
    parts=len(goal.attributes) + len(goal.options) + 1,
  )


def suits(product: products_lib.Product, goal: goals_lib.Goal) -> bool:
  """Whether a product can be bought with reward 1."""
  offered = {
    _same(value): value
    for _, values in product.customization_options
    for value in values
  }
  wanted = {name: _same(value) for name, value in goal.options}
  if not set(wanted.values()) <= set(offered):
    return False
  chosen = {name: offered[value] for name, value in wanted.items()}
  return score(product, chosen, goal).reward == 1
