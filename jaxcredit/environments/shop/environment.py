"""The shop as a text environment, after WebShop (Yao et al. 2022).

A customer is told what to buy, and searches, opens products, chooses options
and buys: `search[QUERY]` and `click[BUTTON]`. The reward comes with the
purchase; see `reward`. What differs from WebShop's own text mode:

* Queries are taken on the search page alone, where the search bar is; there
  they are on every page.
* 'Next >' is there where there is a next page.
* An action that cannot be carried out shows the page again, as there; but the
  step says so (`TextStep.executed`), so that grounding can be measured. The
  compact wording also says it in words.
* The last page tells the score.
"""

import json
import re

from jaxcredit.environments import commands, protocol
from jaxcredit.environments.shop import catalogue as catalogue_lib
from jaxcredit.environments.shop import goals as goals_lib
from jaxcredit.environments.shop import pages, reward

REWARDS = ('score', 'success')
REFUSAL = 'That is not on this page.'

_ACTION = re.compile(r'(search|click)\s?\[(.*)\]', re.DOTALL | re.IGNORECASE)


class ShopEnvironment:
  """A shop; see `protocol.TextEnvironment`. Its tasks are goals.

  Of the admissible actions all clicks are listed; a query of one's own words is
  stood for by 'search[<your query>]', as in WebShop. An action is executed if
  it has the right form and its button is on the page, or if it is a search with
  a query that is not empty, on the search page. Letters may be in any case and
  form (`commands`).

  Equal anchors mean that the same page is shown with the same options chosen.

  Args:
    products: size of the generated catalogue.
    catalogue_seed: of its products.
    wording: 'text' or 'compact'; see `pages`.
    results_per_page: products on a page of results.
    max_results: products that a search finds at most.
    max_steps: steps after which the episode is truncated; None for no limit.
    reward: 'score' pays how much of the goal is met, as in the paper,
      'success' 1 if all of it is, else 0 (GiGPO's released code). In both
      `TextStep.success` tells whether all is met.
    shows_attributes: whether products have a page with their attributes.
    catalogue: other products to sell, in place of generated ones.
  """

  def __init__(
    self,
    *,
    products: int = 1000,
    catalogue_seed: int = 0,
    wording: str = 'text',
    results_per_page: int = 10,
    max_results: int = catalogue_lib.SEARCH_RESULTS,
    max_steps: int | None = None,
    reward: str = 'score',
    shows_attributes: bool = False,
    catalogue: catalogue_lib.Catalogue | None = None,
  ):
    if wording not in pages.WORDINGS:
      raise ValueError(
        f'wording must be one of {pages.WORDINGS}, not {wording!r}'
      )
    if reward not in REWARDS:
      raise ValueError(f'reward must be one of {REWARDS}, not {reward!r}')
    for name, value in (
      ('results_per_page', results_per_page),
      ('max_results', max_results),
      ('max_steps', max_steps),
    ):
      if value is not None and value < 1:
        raise ValueError(f'{name} must be positive, not {value}')
    self.catalogue = catalogue or catalogue_lib.generated(
      products, catalogue_seed
    )
    self.writer = pages.Writer(
      self.catalogue, wording, results_per_page, shows_attributes
    )
    self._compact = wording == 'compact'
    self._max_results = max_results
    self._max_steps = max_steps
    self._pays_success = reward == 'success'
    self._goal: goals_lib.Goal | None = None

  # The state: public, as experts and tests read it.
  page: pages.Page

  @property
  def goal(self) -> goals_lib.Goal:
    return self._goal

  def reset(self, task: goals_lib.Goal) -> protocol.TextStep:
    """Shows the search page of a new session."""
    if not isinstance(task, goals_lib.Goal):
      raise TypeError(
        'the task of a ShopEnvironment is a Goal (shop.generate_goals), not '
        f'{type(task).__name__}'
      )
    self._goal = task
    self._steps = 0
    self._score = 0.0
    self._show(pages.Page())
    return self._answer(0.0, None)

  def step(self, action: str) -> protocol.TextStep:
    """Takes an action."""
    if self._goal is None:
      raise RuntimeError('reset the environment before it is stepped')
    ended = self.page.kind == pages.DONE
    target = self._target(action)
    self._steps += 1
    if target is None:
      return self._answer(0.0, False)
    self._show(target)
    paid = 0.0
    if target.kind == pages.DONE and not ended:
      self._score = reward.score(
        self.catalogue[target.product], dict(target.chosen), self._goal
      ).reward
      paid = self._score
      if self._pays_success:
        paid = float(self._score == 1)
    return self._answer(paid, True)

  def _target(self, action: str) -> pages.Page | None:
    """The page that an action leads to; None if it cannot be executed."""
    found = _ACTION.fullmatch(action.strip())
    if found is None:
      return None
    verb, argument = found.groups()
    if commands.plain(verb) == 'click':
      return commands.find(argument, self._buttons)
    if self.page.kind != pages.SEARCH or not argument.strip():
      return None
    results = self.catalogue.search(argument, self._max_results)
    return pages.Page(kind=pages.RESULTS, results=results)

  def _show(self, page: pages.Page) -> None:
    self.page = page
    self._buttons = self.writer.buttons(page)
    self._admissible = tuple(sorted(f'click[{b}]' for b in self._buttons))
    if page.kind == pages.SEARCH:
      self._admissible = (pages.QUERY,)

  def _answer(self, paid: float, executed: bool | None) -> protocol.TextStep:
    text = self.writer.text(self.page, self._goal.instruction, self._score)
    terminated = self.page.kind == pages.DONE
    refused = executed is False and self._compact and not terminated
    return protocol.TextStep(
      observation=f'{REFUSAL}\n{text}' if refused else text,
      reward=paid,
      terminated=terminated,
      truncated=(
        self._max_steps is not None
        and self._steps >= self._max_steps
        and not terminated
      ),
      admissible=self._admissible,
      anchor=json.dumps([text, *self.page.chosen]),
      executed=executed,
      success=terminated and self._score == 1,
    )

  def fork(self) -> 'ShopEnvironment':
    """An independent environment in the same state."""
    other = object.__new__(ShopEnvironment)
    # Nothing of the state is changed in place.
    other.__dict__.update(self.__dict__)
    return other

  def progress(self) -> float:
    """How much of the task is done, in [0, 1]; for analysis.

    The parts, all of one weight: a product that suits (can be bought with
    reward 1) is in sight, on the page of results or open; such a product is
    open; each option of the goal is chosen of it; all is bought. After a
    purchase it is the paper's reward, since nothing can be mended then.
    """
    page, goal = self.page, self._goal
    if page.kind == pages.DONE:
      return self._score
    parts = len(goal.options) + 3
    if page.product is not None:
      if not reward.suits(self.catalogue[page.product], goal):
        return 0.0
      return (2 + self._chosen_right()) / parts
    if page.kind == pages.RESULTS and any(
      reward.suits(self.catalogue[i], goal) for i in self.writer.listed(page)
    ):
      return 1 / parts
    return 0.0

  def _chosen_right(self) -> int:
    return reward.score(
      self.catalogue[self.page.product], dict(self.page.chosen), self._goal
    ).options
