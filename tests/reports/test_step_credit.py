"""Credit computed again from records: by hand, and as the run gave it."""

import types as namespaces

import numpy as np
import pytest

from experiments.text import episode_records, group_relative_credit
from jaxcredit import types
from jaxcredit.reports import step_credit
from jaxcredit.rollouts import episodes as episodes_lib
from tests.reports import run_files

ROOT = 2**-0.5


def pair(**changes):
  """One rollout that wins in its second step, and one that loses."""
  won = [
    run_files.step(0, 0, anchor_group=0),
    run_files.step(0, 0, anchor_group=1, reward=1.0),
  ]
  lost = [run_files.step(0, 0, anchor_group=0, **changes)]
  return [
    run_files.episode(0, 0, won, success=True),
    run_files.episode(0, 1, lost),
  ]


def totals(episodes, method):
  return [
    [step['credit'][method]['total'] for step in episode['steps']]
    for episode in episodes
  ]


CONFIG = {'reward_scale': 10.0, 'invalid_penalty': 0.1}


@pytest.mark.parametrize(
  ('method', 'expected'),
  [
    # Scores 10 and 0: 5 from their mean, deviation 7.07.
    ('grpo', [[ROOT, ROOT], [-ROOT]]),
    ('dr_grpo', [[5, 5], [-5]]),
    # In state 0 returns 9.5 and 0; in state 1 nobody else was.
    ('gigpo', [[2 * ROOT, ROOT], [-2 * ROOT]]),
    ('rloo', [[10, 10], [-10]]),
    # Returns 9.5, 10 and 0: mean 6.5, deviation 5.635.
    ('reinforce++', [[0.5324, 0.6211], [-1.1535]]),
  ],
)
def test_by_hand(method, expected):
  episodes, chosen, reasons = step_credit.choose(pair(), [method], CONFIG)
  assert (chosen, reasons) == ([method], {})
  for got, wanted in zip(totals(episodes, method), expected, strict=True):
    assert got == pytest.approx(wanted, abs=1e-3)


def test_an_invalid_action_pays_for_itself():
  episodes, *_ = step_credit.choose(pair(valid=False), ['rloo'], CONFIG)
  assert totals(episodes, 'rloo')[1] == pytest.approx([-10.1])
  free = {**CONFIG, 'invalid_penalty': 0.0}
  episodes, *_ = step_credit.choose(pair(valid=False), ['rloo'], free)
  assert totals(episodes, 'rloo')[1] == pytest.approx([-10])


def test_an_inadmissible_action_pays_where_the_run_said_so():
  listed = {**CONFIG, 'penalise': 'inadmissible'}
  with_it = pair(admissible=False)
  for step in with_it[0]['steps']:
    step['admissible'] = True
  episodes, *_ = step_credit.choose(with_it, ['rloo'], listed)
  assert totals(episodes, 'rloo')[1] == pytest.approx([-10.1])
  # Records that do not tell.
  episodes, chosen, reasons = step_credit.choose(pair(), ['rloo'], listed)
  assert chosen == []
  assert reasons == {'rloo': "the record of a step lacks 'admissible'"}


def test_flags_of_the_run_count():
  def first(config):
    episodes, *_ = step_credit.choose(pair(), ['gigpo'], config)
    return totals(episodes, 'gigpo')[0][0]

  usual = {**CONFIG, 'scale': 'none', 'discount': 0.5, 'step_weight': 1.0}
  # Episode part 5, step part half of what 10 is worth a step before.
  assert first(usual) == pytest.approx(5 + 2.5)
  assert first({**usual, 'discount': 1.0}) == pytest.approx(5 + 5)
  assert first({**usual, 'step_weight': 0.0}) == pytest.approx(5)
  assert first({**usual, 'episode_weight': 0.0}) == pytest.approx(2.5)
  assert first({**usual, 'reward_scale': 1.0}) == pytest.approx(0.75)
  # In runs of SPA a discount is one of tokens.
  spa = {**usual, 'gigpo_discount': 1.0}
  assert first(spa) == pytest.approx(5 + 5)


def test_a_lost_environment_takes_no_part():
  three = [*pair(), run_files.episode(0, 2, [], failure='it died')]
  episodes, *_ = step_credit.choose(three, ['grpo'], CONFIG)
  assert totals(episodes, 'grpo') == [
    pytest.approx([ROOT, ROOT]), pytest.approx([-ROOT]), [],
  ]  # fmt: skip


def test_what_cannot_be_computed_has_a_reason():
  asked = ['tempo', 'grpo', 'spa', 'ppo', 'hepo', 'treerpo', 'vineppo']
  _, chosen, reasons = step_credit.choose(pair(), asked, CONFIG)
  assert chosen == ['grpo']
  assert list(reasons) == [m for m in asked if m != 'grpo']
  assert 'tokens' in reasons['tempo']
  assert 'critic' in reasons['ppo']
  assert 'progress estimator' in reasons['spa']


def test_what_the_run_wrote_down_stays():
  episodes = pair()
  for episode in episodes:
    for step in episode['steps']:
      step['credit']['spa'] = {'total': 0.25}
  same, chosen, _ = step_credit.choose(episodes, [], CONFIG)
  assert same == episodes and chosen == ['grpo', 'gigpo', 'spa']
  found, chosen, reasons = step_credit.choose(episodes, ['spa'], CONFIG)
  assert chosen == ['spa'] and not reasons
  assert totals(found, 'spa')[1] == [0.25]


def test_every_method_is_computed_recorded_or_has_a_reason():
  for method in step_credit.LABELS:
    _, chosen, reasons = step_credit.choose(pair(), [method], CONFIG)
    assert chosen == [method] or reasons[method]


@pytest.mark.parametrize('method', group_relative_credit.METHODS)
def test_as_the_training_gave_it(method):
  """Random groups through the training's code and through their records."""
  generator = np.random.default_rng(3)
  shape = (3, 4, 5)
  lengths = generator.integers(1, 6, shape[:2])
  mask = np.arange(5) < lengths[..., None]
  wins = generator.random(shape[:2]) < 0.5
  last = np.arange(5) == lengths[..., None] - 1
  invalid = (generator.random(shape) < 0.2) & mask
  trajectories = types.Trajectories(
    rewards=(10.0 * (last & wins[..., None])).astype(np.float32),
    mask=mask,
    anchors=generator.integers(0, 3, (*shape, 2)).astype(np.uint32),
    penalties=(0.1 * invalid).astype(np.float32),
    terminated=wins,
    truncated=~wins,
  )
  played = [
    episodes_lib.Episode(
      task='t',
      group=p,
      rollout=g,
      steps=[
        episodes_lib.Step(
          'seen', 'done', 'said',
          float(trajectories.rewards[p, g, s]) / 10,
          not invalid[p, g, s], True, 'anchor',
        )
        for s in range(lengths[p, g])
      ],
    )
    for p, g in np.ndindex(3, 4)
  ]  # fmt: skip
  options = group_relative_credit.CreditOptions(method=method, discount=0.9)
  records = episode_records.episode_records(
    1,
    namespaces.SimpleNamespace(episodes=played),
    group_relative_credit.gigpo_parts(trajectories, options),
    group_relative_credit.grpo_credit(trajectories, options),
    4,
  )
  config = {**CONFIG, 'discount': 0.9, 'step_weight': 1.0}
  episodes, *_ = step_credit.choose(records, [method], config)
  wanted = np.asarray(group_relative_credit.make_credit(options)(trajectories))
  for episode in episodes:
    got = [s['credit'][method]['total'] for s in episode['steps']]
    p, g = episode['group'], episode['rollout']
    np.testing.assert_allclose(got, wanted[p, g, : len(got)], atol=1e-5)
