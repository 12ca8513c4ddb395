"""The shop as an environment: pages, actions, grounding, rewards."""

import functools
import json
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from jaxcredit.environments import protocol, shop
from jaxcredit.rollouts import pool as pool_lib
from tests.environments.shop import small_shop

GOLDEN = pathlib.Path(__file__).with_name('golden_episodes.json')


def start(goal=None, **options):
  options = {'catalogue': small_shop.CATALOGUE, **options}
  environment = shop.ShopEnvironment(**options)
  assert isinstance(environment, protocol.TextEnvironment)
  first = environment.reset(goal or small_shop.goal())
  assert first.reward == 0 and not first.terminated and not first.truncated
  assert first.success is False and first.executed is None
  return environment, first


def play(environment, *actions):
  return [environment.step(action) for action in actions]


@pytest.mark.parametrize('wording', shop.WORDINGS)
def test_a_short_episode_reads_as_it_did(wording):
  golden = json.loads(GOLDEN.read_text(encoding='utf-8'))[wording]
  environment, first = start(wording=wording, results_per_page=2)
  steps = [first, *play(environment, *golden['actions'])]
  assert [step.observation for step in steps] == golden['observations']
  assert [list(step.admissible) for step in steps] == golden['admissible']
  assert [step.executed for step in steps] == golden['executed']
  assert [step.reward for step in steps[:-1]] == [0.0] * (len(steps) - 1)
  assert steps[-1].terminated and steps[-1].reward == 1
  assert steps[-1].success and steps[-1].admissible == ()


def test_what_is_bought_is_paid_as_far_as_it_fits():
  buy = ('search[shirt]', 'click[b000000001]', 'click[wine red]')
  environment, _ = start()
  *_, last = play(environment, *buy, 'click[buy now]')
  assert last.terminated and last.reward == pytest.approx(4 / 5)
  # Something was bought, but it is not what was asked for.
  assert last.success is False
  environment, _ = start(reward='success')
  *_, last = play(environment, *buy, 'click[buy now]')
  assert last.terminated and last.reward == 0 and not last.success
  environment.reset(small_shop.goal())
  *_, last = play(environment, *buy, 'click[small]', 'click[buy now]')
  assert last.reward == 1 and last.success


def test_the_last_choice_of_an_option_counts():
  environment, _ = start()
  *_, last = play(
    environment,
    'search[shirt]',
    'click[b000000001]',
    'click[small]',
    'click[black]',
    'click[wine red]',
    'click[wine red]',
    'click[buy now]',
  )
  assert last.reward == 1


def test_choices_stay_while_the_product_is_looked_at():
  environment, _ = start()
  play(environment, 'search[shirt]', 'click[b000000001]', 'click[small]')
  play(environment, 'click[features]', 'click[< prev]')
  assert environment.page.chosen == (('size', 'small'),)
  play(environment, 'click[< prev]', 'click[b000000001]')
  assert environment.page.chosen == ()


def test_pages_of_results():
  environment, _ = start(results_per_page=2)
  first, second, back = play(
    environment, 'search[slim fit]', 'click[next >]', 'click[< prev]'
  )
  assert 'click[next >]' in first.admissible
  assert 'click[< prev]' not in first.admissible
  assert 'click[next >]' not in second.admissible
  assert (back.observation, back.anchor) == (first.observation, first.anchor)
  assert 'Page 2 (Total results: 3)' in second.observation
  # The way back from a product leads to the page that it was on.
  link = next(a for a in second.admissible if a.startswith('click[b0'))
  step = play(environment, 'click[next >]', link)[-1]
  assert step.executed and environment.page.kind == 'item'
  assert play(environment, 'click[< prev]')[-1].anchor == second.anchor


def test_a_search_may_find_nothing_and_no_more_than_its_limit():
  environment, _ = start()
  nothing = environment.step('search[qwxz]')
  assert nothing.executed
  assert nothing.observation.endswith('Page 1 (Total results: 0)')
  assert nothing.admissible == ('click[back to search]',)
  environment, _ = start(max_results=1)
  assert 'Total results: 1)' in environment.step('search[shirt]').observation


@pytest.mark.parametrize(
  'action',
  [
    'click[search]',
    'click[buy now]',
    'click[b000000001]',
    'search[]',
    'search[  ]',
    'search shirt',
    'search[shirt',
    'look[shirt]',
    'please search[shirt]',
    'search[shirt] now',
    '',
    '[]',
  ],
)
@pytest.mark.parametrize('wording', shop.WORDINGS)
def test_what_the_search_page_refuses(action, wording):
  environment, first = start(wording=wording)
  step = environment.step(action)
  assert step.executed is False
  assert step.anchor == first.anchor
  assert step.admissible == first.admissible == (shop.QUERY,)
  assert step.observation.endswith(first.observation)
  # WebShop is silent; the compact wording is not.
  told = step.observation.startswith(shop.REFUSAL)
  assert told == (wording == 'compact')


def test_what_other_pages_refuse():
  environment, _ = start()
  results = environment.step('search[shirt]')
  for action in ('search[shirt]', 'click[small]', 'click[b000000003]'):
    step = environment.step(action)
    assert step.executed is False and step.anchor == results.anchor
  environment.step('click[b000000001]')
  assert environment.step('click[wine]').executed is False
  assert environment.step('click[next >]').executed is False
  assert environment.step('click[attributes]').executed is False


def test_capitals_and_spaces_around_do_not_matter():
  environment, _ = start()
  step = environment.step('  Search[ SHIRT ]\n')
  assert step.executed
  assert environment.step('CLICK[ B000000001 ]').executed


def test_each_click_that_is_listed_is_executed():
  environment, _ = start(results_per_page=2, shows_attributes=True)
  seen, open_pages = set(), [environment]
  while open_pages:
    here = open_pages.pop()
    for action in here._admissible:
      there = here.fork()
      step = there.step(action)
      assert step.executed
      if step.anchor not in seen and not step.terminated:
        seen.add(step.anchor)
        open_pages.append(there)
    if here.page.kind == 'search' and len(seen) < 2:
      there = here.fork()
      there.step('search[slim fit]')
      open_pages.append(there)
  # Results, products with each choice, and three subpages of each of these.
  assert len(seen) > 50


def test_attributes_have_a_page_where_that_is_asked():
  environment, _ = start(shows_attributes=True)
  play(environment, 'search[lamp]', 'click[b000000003]')
  step = environment.step('click[attributes]')
  assert 'solid wood [SEP] garden [SEP] table lamps' in step.observation


def test_anchors_tell_pages_and_choices_apart():
  environment, first = start()
  walk = play(
    environment,
    'search[slim fit]',
    'click[b000000001]',
    'click[small]',
    'click[wine red]',
    'click[description]',
  )
  anchors = [step.anchor for step in (first, *walk)]
  assert len(set(anchors)) == len(anchors)
  # WebShop's simple text does not show what is chosen.
  assert walk[1].observation == walk[2].observation
  # The order of the choices does not matter.
  again, _ = start()
  other = play(
    again,
    'search[fit, slim]',
    'click[b000000001]',
    'click[wine red]',
    'click[small]',
  )
  assert other[-1].anchor == walk[3].anchor
  assert other[0].anchor == walk[0].anchor


def test_an_episode_ends_once():
  environment, _ = start()
  play(environment, 'search[shirt]', 'click[b000000001]', 'click[buy now]')
  after = environment.step('click[buy now]')
  assert after.terminated and after.reward == 0 and after.executed is False
  assert environment.reset(small_shop.goal()).admissible == (shop.QUERY,)


def test_a_limit_of_steps_truncates():
  environment, _ = start(max_steps=4)
  *early, last = play(environment, *['click[nothing]'] * 4)
  assert not any(step.truncated for step in early)
  assert last.truncated and not last.terminated and last.success is False
  environment.reset(small_shop.goal())
  *_, last = play(
    environment,
    'search[shirt]',
    'click[b000000001]',
    'click[small]',
    'click[buy now]',
  )
  assert last.terminated and not last.truncated


def test_progress_counts_what_is_done():
  environment, _ = start(results_per_page=2)

  def after(action):
    environment.step(action)
    return environment.progress()

  assert environment.progress() == 0
  assert after('search[table lamp]') == 0
  assert after('click[b000000003]') == 0
  environment.reset(small_shop.goal())
  # In sight, open, one option, the other, a wrong one, bought: of five parts.
  assert after('search[shirt]') == pytest.approx(1 / 5)
  assert after('click[b000000002]') == 0
  assert after('click[< prev]') == pytest.approx(1 / 5)
  assert after('click[b000000001]') == pytest.approx(2 / 5)
  assert after('click[features]') == pytest.approx(2 / 5)
  assert after('click[< prev]') == pytest.approx(2 / 5)
  assert after('click[small]') == pytest.approx(3 / 5)
  assert after('click[wine red]') == pytest.approx(4 / 5)
  assert after('click[black]') == pytest.approx(3 / 5)
  assert after('click[wine red]') == pytest.approx(4 / 5)
  assert after('click[buy now]') == 1
  environment.reset(small_shop.goal())
  play(environment, 'search[shirt]', 'click[b000000001]')
  # What is bought cannot be mended: two attributes and the price.
  assert after('click[buy now]') == pytest.approx(3 / 5)


def test_a_fork_goes_its_own_way():
  environment, _ = start()
  play(environment, 'search[shirt]', 'click[b000000001]')
  other = environment.fork()
  other.step('click[small]')
  assert environment.page.chosen == ()
  assert environment.step('click[buy now]').reward == pytest.approx(3 / 5)
  assert other.step('click[buy now]').reward == pytest.approx(4 / 5)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'wording': 'html'}, "wording must be one of .* not 'html'"),
    ({'reward': 'none'}, "reward must be one of .* not 'none'"),
    ({'results_per_page': 0}, 'results_per_page must be positive, not 0'),
    ({'max_results': 0}, 'max_results must be positive, not 0'),
    ({'max_steps': 0}, 'max_steps must be positive, not 0'),
    ({'catalogue': None, 'products': 0}, 'count must be positive, not 0'),
  ],
)
def test_options_that_make_no_sense(options, message):
  with pytest.raises(ValueError, match=message):
    start(**options)


def test_what_is_no_goal_is_an_error():
  environment = shop.ShopEnvironment(catalogue=small_shop.CATALOGUE)
  with pytest.raises(RuntimeError, match='reset the environment'):
    environment.step('search[shirt]')
  with pytest.raises(TypeError, match='is a Goal .*, not str'):
    environment.reset('a shirt')


_BUTTONS = st.sampled_from(
  [
    'search[shirt]',
    'search[slim fit lamp]',
    'click[b000000001]',
    'click[1]',
    'click[2]',
    'click[small]',
    'click[wine red]',
    'click[< prev]',
    'click[next >]',
    'click[back to search]',
    'click[description]',
    'click[buy now]',
  ]
)


@hypothesis.given(
  st.lists(st.one_of(_BUTTONS, st.text()), max_size=12),
  st.sampled_from(shop.WORDINGS),
  st.sampled_from(shop.REWARDS),
)
def test_any_actions_keep_the_protocol(actions, wording, reward):
  environment, before = start(
    wording=wording, reward=reward, results_per_page=2, max_steps=10
  )
  ended = False
  for number, action in enumerate(actions, start=1):
    step = environment.step(action)
    assert isinstance(step.observation, str) and step.observation
    assert 0 <= step.reward <= 1 and 0 <= environment.progress() <= 1
    assert step.executed or step.reward == 0
    assert not (step.terminated and step.truncated)
    assert step.truncated == (number >= 10 and not step.terminated)
    assert step.admissible == tuple(sorted(step.admissible))
    # Grounding: a click is listed; a query is stood for.
    click = action.strip().lower()
    if click in before.admissible and click != shop.QUERY:
      assert step.executed
    if step.executed:
      assert click in before.admissible or before.admissible == (shop.QUERY,)
    else:
      assert step.anchor == before.anchor
    if ended:
      assert step.terminated and step.reward == 0
    assert step.success == (step.terminated and environment.progress() == 1)
    ended = step.terminated
    json.dumps(list(step)).encode()
    before = step


def test_a_pool_plays_what_one_environment_plays():
  factory = functools.partial(
    shop.ShopEnvironment, products=60, wording='compact', results_per_page=3
  )
  goals = shop.generate_goals(0, 3, shop.generated(60))
  actions = [
    'search[black mens t-shirt]',
    'click[1]',
    'what?',
    'click[buy now]',
  ]
  alone = []
  for goal in goals:
    environment = factory()
    alone.append([environment.reset(goal), *play(environment, *actions)])
  with pool_lib.EnvironmentPool(factory, 3, workers=1, time_limit=60.0) as pool:
    together = [pool.reset(dict(enumerate(goals)))]
    for action in actions:
      together.append(pool.step(dict.fromkeys(range(3), action)))
    assert not pool.failures
  for i in range(3):
    assert [steps[i] for steps in together] == alone[i]
