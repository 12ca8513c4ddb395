"""The expert meets every goal, and what it slips on can be mended."""

import numpy as np
import pytest

from jaxcredit.environments import shop
from jaxcredit.environments.shop import expert
from tests.environments.shop import small_shop

COUNT = 120


@pytest.fixture(scope='module')
def goals():
  return shop.generate_goals(0, COUNT, shop.generated(300))


def play(environment, goal, slips=0.0, seed=0, limit=80):
  """Actions as (answer before, action, slip, answer after)."""
  chance = np.random.default_rng([seed, 1])
  seen = environment.reset(goal)
  guide = expert.ShopExpert(environment, goal, np.random.default_rng(seed))
  steps = []
  for _ in range(limit):
    guide.observe(seen)
    action = guide.act()
    slip = chance.random() < slips
    if slip:
      action = guide.slip()
    before, seen = seen, environment.step(action)
    steps.append((before, action, slip, seen))
    if seen.terminated:
      break
  return steps


@pytest.mark.parametrize('wording', shop.WORDINGS)
def test_it_meets_every_goal(goals, wording):
  environment = shop.ShopEnvironment(
    products=300, wording=wording, results_per_page=4
  )
  lengths = []
  for goal in goals:
    steps = play(environment, goal)
    assert steps[-1][3].success and steps[-1][3].reward == 1
    for before, action, _, after in steps:
      assert after.executed
      assert action in before.admissible or action.startswith('search[')
    # Search, open, choose each option, buy: no fewer.
    assert len(steps) >= 3 + len(goal.options)
    lengths.append(len(steps))
  assert np.mean(lengths) < 6


def test_it_meets_them_in_spite_of_slips(goals):
  environment = shop.ShopEnvironment(
    products=300, wording='compact', results_per_page=4
  )
  slips = []
  for seed, goal in enumerate(goals):
    steps = play(environment, goal, 0.25, seed)
    assert steps[-1][3].reward == 1, goal.instruction
    slips += [step for step in steps if step[2]]
    assert all(after.executed for _, _, slip, after in steps if not slip)
  refused = [not after.executed for *_, after in slips]
  assert 0.4 < np.mean(refused) < 0.8
  # None of them ends the episode.
  assert not any(after.terminated for *_, after in slips)


def test_it_does_not_open_what_it_has_refused():
  # They look alike in a list, the wrong ones first; one comes in blue.
  wrong = [
    small_shop.product(f'B00000000{i}', 'Zanolet Blue Mens T-Shirt Slim Fit')
    for i in range(2)
  ]
  right = small_shop.product(
    'B000000002',
    'Zanolet Shirt',
    customization_options=(('color', ('blue', 'black')),),
  )
  environment = shop.ShopEnvironment(catalogue=shop.Catalogue((*wrong, right)))
  goal = small_shop.goal(attributes=('slim fit',), options=(('color', 'blue'),))
  assert [action for _, action, _, _ in play(environment, goal)] == [
    'search[mens t-shirt slim fit blue]',
    'click[b000000000]',
    'click[< prev]',
    'click[b000000001]',
    'click[< prev]',
    'click[b000000002]',
    'click[blue]',
    'click[buy now]',
  ]


def test_a_search_in_vain_is_followed_by_others():
  """At last it searches for the title of the product itself."""
  many = [
    small_shop.product(
      f'B00000001{i}', 'Mens T-Shirt slim fit', attributes=('slim fit',)
    )
    for i in range(3)
  ]
  catalogue = shop.Catalogue((*many, small_shop.SHIRT))
  # One product is found at a time, and it is none of the first three.
  environment = shop.ShopEnvironment(
    catalogue=catalogue, results_per_page=1, max_results=1
  )
  goal = small_shop.goal(attributes=('slim fit', 'long sleeve', 'good shirt'))
  actions = [action for _, action, _, _ in play(environment, goal)]
  assert actions[-1] == 'click[buy now]'
  searches = [a for a in actions if a.startswith('search')]
  assert len(set(searches)) == len(searches)
  # A way back by mistake repeats the search that was not in vain.
  guide = expert.ShopExpert(environment, goal, np.random.default_rng(0))
  guide.observe(environment.reset(goal))
  first = guide.act()
  guide.observe(environment.step(first))
  guide.act()
  guide.slip()
  guide.observe(environment.step('click[back to search]'))
  assert guide.act() == first
