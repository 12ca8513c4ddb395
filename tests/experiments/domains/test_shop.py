"""The shop as a domain: goals, demonstrations, rows within limits."""

import numpy as np
import pytest

from experiments.domains import expert_demonstrations
from experiments.domains import shop as shop_tasks
from jaxcredit import types
from jaxcredit.environments import shop
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import formats
from tests.experiments import imported_script

OPTIONS = {
  'products': 300,
  'shop_wording': 'compact',
  'results_per_page': 3,
  'shop_reward': 'score',
  'training_goals': 40,
  'evaluation_count': 30,
  'warm_start_goals': 60,
  'warm_start_slips': 0.2,
}
FORMATS = {
  'plain': formats.Plain(),
  'plain, task once': formats.Plain(repeats_task=False),
  'think_action': formats.ThinkAction(history_length=2),
}


def make_domain(max_steps=12, seed=0, **changes):
  options = shop_tasks.ShopOptions(**{**OPTIONS, **changes})
  domain = shop_tasks.ShopDomain(options, max_steps, seed)
  domain.load()
  return domain


@pytest.fixture(scope='module')
def domain():
  return make_domain()


@pytest.fixture(scope='module')
def shown(domain):
  told = []
  shown = domain.demonstrate(lambda: told.append(1))
  assert len(told) == OPTIONS['warm_start_goals'] == domain.demonstration_count
  return shown


def test_tasks_of_training_and_evaluation_are_different(domain):
  assert len(domain.train_tasks) == 40 and len(domain.test_tasks) == 30
  train = {goal.asin for goal in domain.train_tasks}
  assert not train & {goal.asin for goal in domain.test_tasks}
  assert (
    domain.train_from == '40 goals in 300 products (train part, seed 1000000)'
  )
  assert (
    domain.test_from == '30 goals in 300 products (test part, seed 3000000)'
  )
  goal = domain.train_tasks[0]
  assert domain.task_sentence(goal) == goal.instruction
  assert domain.task_type(goal) in shop.CATEGORIES
  assert domain.won == 'goals met'


def test_seeds_leave_room_for_a_million_goals_each():
  seeds = (
    shop_tasks.TRAINING_SEED,
    shop_tasks.DEMONSTRATION_SEED,
    shop_tasks.EVALUATION_SEED,
  )
  assert all(b - a >= 1_000_000 for a, b in zip(seeds, seeds[1:], strict=False))


@pytest.mark.parametrize(
  ('change', 'check'),
  [
    ({'products': 120}, lambda e: len(e.catalogue) == 120),
    (
      {'shop_wording': 'text'},
      lambda e: e.reset(a_goal()).observation.startswith('WebShop'),
    ),
    (
      {'results_per_page': 5},
      lambda e: after(e, 'search[lamp]').observation.count('dollars') == 5,
    ),
    # The right product, without its options.
    ({'shop_reward': 'success'}, lambda e: bought(e).reward == 0),
    ({'max_steps': 1}, lambda e: after(e, 'click[1]').truncated),
  ],
)
def test_each_option_reaches_the_environment(domain, change, check):
  assert not check(domain.environment()())
  assert check(make_domain(**change).environment()())


def a_goal():
  goals = shop.generate_goals(5, 9, shop.generated(120))
  return next(goal for goal in goals if len(goal.options) == 2)


def bought(environment):
  search = f'search[{a_goal().name}]'
  step = after(environment, search, 'click[1]', 'click[buy now]')
  assert step.terminated and not step.success
  return step


def after(environment, *actions):
  step = environment.reset(a_goal())
  for action in actions:
    step = environment.step(action)
  return step


def test_the_expert_meets_the_goals(shown):
  assert 50 <= shown.count <= 60
  assert shown.words.startswith(f'expert: {shown.count} of 60 goals met, ')
  steps = [step for _, trace in shown.traces for step in trace]
  assert 0.1 < np.mean([step.slip for step in steps]) < 0.3
  environment = make_domain().environment()()
  for goal, trace in shown.traces:
    seen = environment.reset(goal)
    for step in trace:
      assert step.seen == seen
      seen = environment.step(step.action)
      assert seen.executed or step.slip
    assert seen.success and seen.reward == 1


def test_a_demonstration_that_does_not_meet_its_goal_is_none(domain):
  class Hasty:
    """Buys the first that it finds."""

    actions = ('search[lamp]', 'click[1]', 'click[buy now]')

    def observe(self, step):
      self.left = getattr(self, 'left', list(self.actions))

    def act(self):
      return self.left.pop(0)

  trace = expert_demonstrations.demonstrate(
    domain.environment()(),
    domain.train_tasks[0],
    Hasty(),
    12,
    0.0,
    np.random.default_rng(0),
  )
  assert trace is None


def test_demonstrations_are_a_function_of_the_seed(shown):
  def actions(demonstrations):
    return [[s.action for s in trace] for _, trace in demonstrations.traces]

  again = make_domain().demonstrate(lambda: None)
  assert actions(again) == actions(shown)
  other = make_domain(seed=1).demonstrate(lambda: None)
  assert actions(other) != actions(shown)
  calm = make_domain(warm_start_slips=0.0).demonstrate(lambda: None)
  assert not any(step.slip for _, trace in calm.traces for step in trace)


@pytest.mark.parametrize('text_format', FORMATS.values(), ids=FORMATS)
def test_rows_fit_their_limit(shown, text_format):
  corpus = shown.corpus(text_format)
  assert any(shop.REFUSAL in text for text in corpus)
  tokenizer = tokenizer_lib.train_tokenizer(corpus, 800)
  rows = shown.rows(tokenizer, text_format, 10_000)
  learned = sum(not s.slip for _, trace in shown.traces for s in trace)
  assert len(rows) == (learned if text_format.rebuilds_prompt else shown.count)
  for row in rows:
    assert len(row.tokens) == len(row.step_of_token)
    assert any(step >= 0 for step in row.step_of_token)
  assert any(types.NOT_LEARNED in row.step_of_token for row in rows) == (
    not text_format.rebuilds_prompt
  )
  # Nearly all of an episode fits what small policies are given.
  short = shown.rows(tokenizer, text_format, 640)
  assert max(len(row.tokens) for row in short) <= 640
  assert sum(len(row.tokens) for row in short) > 0.9 * sum(
    len(row.tokens) for row in rows
  )


def test_the_speed_is_measured():
  catalogue = shop.generated(120)
  goals = shop.generate_goals(0, 10, catalogue)
  with imported_script.imported(
    'experiments.benchmarks.speed.shop_speed'
  ) as speed:
    for wording in shop.WORDINGS:
      rate, searches = speed.steps_per_second(
        catalogue, goals, wording, episodes=20, steps=15
      )
      assert rate > 0 and 0.1 < searches < 0.9
