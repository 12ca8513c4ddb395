"""An expert that searches, opens what fits, chooses the options and buys.

It acts on what pages show: of a product in a list it reads the type, the
attributes and the price, and only when it is open which options it has. So its
traces can be imitated by a policy that reads the instruction.
"""

import numpy as np

from jaxcredit.environments import protocol
from jaxcredit.environments.shop import environment as environment_lib
from jaxcredit.environments.shop import goals as goals_lib
from jaxcredit.environments.shop import pages, products, reward


class ShopExpert:
  """Acts in an environment that was reset to its goal.

  Args:
    environment: it acts in; read, not changed.
    goal: what is to be bought.
    rng: chooses slips.
  """

  def __init__(
    self,
    environment: environment_lib.ShopEnvironment,
    goal: goals_lib.Goal,
    rng: np.random.Generator,
  ):
    self._environment = environment
    self._goal = goal
    self._rng = rng
    self._given_up = 0
    self._last = ''
    self._refused: set[int] = set()
    self._admissible: tuple[str, ...] = ()

  def observe(self, step: protocol.TextStep) -> None:
    """Reads what the environment answered to the last action."""
    self._admissible = step.admissible

  def act(self) -> str:
    """The next action."""
    self._last = self._choose()
    return self._last

  def _choose(self) -> str:
    page = self._environment.page
    if page.kind == pages.SEARCH:
      if self._last == f'click[{pages.BACK}]':
        self._given_up += 1
      return f'search[{self._query()}]'
    if page.kind == pages.RESULTS:
      return self._choose_product(page)
    if page.kind != pages.ITEM:
      return f'click[{pages.PREVIOUS}]'
    return self._buy(page)

  def slip(self) -> str:
    """What a learner gets wrong, in place of the expert's action.

    Half of the slips the shop refuses: a button of another page. The others it
    carries out: a wrong product or option, or a way back too early; the expert
    mends them. Call it after `act`, whose action is then not played.
    """
    page = self._environment.page
    elsewhere = [
      'click[buy now]',
      'click[< prev]',
      'click[next >]',
      'click[back to search]',
      f'search[{self._query()}]',
      *(f'click[{value}]' for _, value in self._goal.options),
    ]
    if page.kind == pages.SEARCH:
      refused = [a for a in elsewhere if a.startswith('click')]
    else:
      refused = [a for a in elsewhere if a not in self._admissible]
    harmless = [
      action
      for action in self._admissible
      if action not in ('click[buy now]', pages.QUERY)
    ]
    chosen = harmless if harmless and self._rng.random() < 0.5 else refused
    # A way back that was not its own choice: the search was not in vain.
    self._last = ''
    return chosen[int(self._rng.integers(len(chosen)))]

  def _query(self) -> str:
    """Words of the instruction: the type, the attributes, the options.

    After a search that led to nothing come fewer of them, and at last the
    title of the product itself.
    """
    goal = self._goal
    kind = products.type_of_query()[goal.query]
    values = [value for _, value in goal.options]
    if self._given_up == 0:
      words = [kind.noun, *goal.attributes, *values]
    elif self._given_up == 1:
      words = [kind.noun, *goal.attributes]
    else:
      words = [goal.name]
    return ' '.join(words)

  def _looks_right(self, index: int) -> bool:
    """Whether what a list shows of a product fits the goal."""
    product = self._environment.catalogue[index]
    result = reward.score(product, {}, self._goal)
    return (
      product.query == self._goal.query
      and result.type_score == 1
      and result.attributes == len(self._goal.attributes)
      and result.price
    )

  def _choose_product(self, page: pages.Page) -> str:
    writer = self._environment.writer
    for index in writer.listed(page):
      if index not in self._refused and self._looks_right(index):
        return f'click[{writer.link(page, index)}]'
    if f'click[{pages.NEXT}]' in self._admissible:
      return f'click[{pages.NEXT}]'
    return f'click[{pages.BACK}]'

  def _buy(self, page: pages.Page) -> str:
    product = self._environment.catalogue[page.product]
    if not reward.suits(product, self._goal) or not self._looks_right(
      page.product
    ):
      self._refused.add(page.product)
      return f'click[{pages.PREVIOUS}]'
    chosen = dict(page.chosen)
    for name, value in self._goal.options:
      if chosen.get(name) != value:
        return f'click[{value}]'
    return f'click[{pages.BUY}]'
