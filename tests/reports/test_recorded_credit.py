"""Credit computed again from records: by hand, and as the run gave it."""

import json
import types as namespaces

import numpy as np
import pytest

from experiments.text import episode_records
from jaxcredit import methods, types
from jaxcredit.reports import __main__ as command
from jaxcredit.reports import page, recorded_credit, run_data
from jaxcredit.rollouts import episodes as episodes_lib
from tests.reports import prefix_tree_groups, run_files

ROOT = 2**-0.5
RUN = run_files.method_record('gigpo')


def pair(**changes):
  """One rollout that wins in its second step, and one that loses."""
  won = [
    run_files.step(0, 0, anchor_group=0),
    run_files.step(0, 0, anchor_group=1, reward=1.0),
  ]
  lost = [run_files.step(0, 0, anchor_group=0, **changes)]
  made = [
    run_files.episode(0, 0, won, success=True),
    run_files.episode(0, 1, lost),
  ]
  for episode in made:
    for step in episode['steps']:
      step['credit'] = {}
  return made


def totals(episodes, method):
  return [
    [step['credit'][method]['total'] for step in episode['steps']]
    for episode in episodes
  ]


@pytest.mark.parametrize(
  ('method', 'expected'),
  [
    # Scores 10 and 0: 5 from their mean, deviation 7.07.
    ('grpo', [[ROOT, ROOT], [-ROOT]]),
    ('dr_grpo', [[5, 5], [-5]]),
    # In state 0 returns 9.5 and 0; in state 1 nobody else was.
    ('gigpo', [[2 * ROOT, ROOT], [-2 * ROOT]]),
    ('rloo', [[10, 10], [-10]]),
    # Returns 10, 10 and 0: mean 6.67, deviation 5.774.
    ('reinforce++', [[0.5774, 0.5774], [-1.1547]]),
  ],
)
def test_by_hand(method, expected):
  episodes, chosen, reasons = recorded_credit.choose(pair(), [method], RUN)
  assert (chosen, reasons) == ([method], {})
  # A discount of GiGPO's steps is one of REINFORCE++'s too; here none of both.
  plain = run_files.method_record('gigpo', discount=1.0)
  if method == 'reinforce++':
    episodes, *_ = recorded_credit.choose(pair(), [method], plain)
  for got, wanted in zip(totals(episodes, method), expected, strict=True):
    assert got == pytest.approx(wanted, abs=1e-3)


def test_an_invalid_action_pays_what_was_recorded():
  episodes, *_ = recorded_credit.choose(pair(valid=False), ['rloo'], RUN)
  assert totals(episodes, 'rloo')[1] == pytest.approx([-10.1])
  # Which actions pay, and how much, was settled by the run.
  free = pair(valid=False, penalty=0.0)
  episodes, *_ = recorded_credit.choose(free, ['rloo'], RUN)
  assert totals(episodes, 'rloo')[1] == pytest.approx([-10])
  listed = pair(admissible=False, penalty=0.5)
  episodes, *_ = recorded_credit.choose(listed, ['rloo'], RUN)
  assert totals(episodes, 'rloo')[1] == pytest.approx([-10.5])


def test_options_of_the_run_count():
  def first(**options):
    run = run_files.method_record('gigpo', **{'scale': 'none', **options})
    episodes, *_ = recorded_credit.choose(pair(), ['gigpo'], run)
    return totals(episodes, 'gigpo')[0][0]

  # Episode part 5, step part half of what 10 is worth a step before.
  assert first(discount=0.5) == pytest.approx(5 + 2.5)
  assert first(discount=1.0) == pytest.approx(5 + 5)
  assert first(discount=0.5, step_weight=0.0) == pytest.approx(5)
  assert first(discount=0.5, episode_weight=0.0) == pytest.approx(2.5)


def test_a_discount_of_tokens_is_none_of_steps():
  run = run_files.method_record('spa', discount=0.5)
  gigpo = methods.TABLE['gigpo']
  assert recorded_credit.options_of(gigpo, run) == gigpo.options()
  # Between methods of steps it is the same thing.
  run = run_files.method_record('reinforce++', discount=0.5)
  assert recorded_credit.options_of(gigpo, run).discount == 0.5
  # And so is a scale, whatever the unit.
  run = run_files.method_record('tempo', scale='none')
  assert recorded_credit.options_of(gigpo, run).scale == 'none'


def test_a_lost_environment_takes_no_part():
  three = [*pair(), run_files.episode(0, 2, [], failure='it died')]
  episodes, *_ = recorded_credit.choose(three, ['grpo'], RUN)
  assert totals(episodes, 'grpo') == [
    pytest.approx([ROOT, ROOT]), pytest.approx([-ROOT]), [],
  ]  # fmt: skip


def test_what_cannot_be_computed_has_a_reason():
  asked = ['tempo', 'grpo', 'spa', 'ppo', 'hepo', 'treerpo', 'vineppo']
  _, chosen, reasons = recorded_credit.choose(pair(), asked, RUN)
  assert chosen == ['grpo']
  assert list(reasons) == [m for m in asked if m != 'grpo']
  assert reasons['tempo'] == (
    'it needs the tokens of each episode, which the record does not hold'
  )
  assert 'critic' in reasons['ppo']
  assert 'progress estimator' in reasons['spa']
  assert 'entropy' in reasons['hepo']
  assert 'further rollouts' in reasons['vineppo']


def test_what_the_run_wrote_down_stays():
  episodes = pair()
  for episode in episodes:
    for step in episode['steps']:
      step['credit']['spa'] = {'total': 0.25}
  # By default it stands beside the baseline, which is computed.
  found, chosen, reasons = recorded_credit.choose(episodes, [], RUN)
  assert (chosen, reasons) == ([methods.BASELINE, 'spa'], {})
  assert totals(found, 'spa') == [[0.25, 0.25], [0.25]]
  assert totals(found, 'grpo')[1] == pytest.approx([-ROOT])
  found, chosen, reasons = recorded_credit.choose(episodes, ['spa'], RUN)
  assert found == episodes and chosen == ['spa'] and not reasons


def test_every_method_is_computed_recorded_or_has_a_reason():
  for method in methods.TABLE:
    _, chosen, reasons = recorded_credit.choose(pair(), [method], RUN)
    assert chosen == [method] or reasons[method]


def test_a_method_that_nobody_knows():
  with pytest.raises(ValueError, match="no method 'gigpa'; did you mean"):
    recorded_credit.choose(pair(), ['gigpa'], RUN)


def test_records_of_an_earlier_version_have_a_reason():
  episodes = pair()
  for episode in episodes:
    for step in episode['steps']:
      del step['scaled_reward']
  _, chosen, reasons = recorded_credit.choose(episodes, ['rloo'], {})
  assert chosen == []
  assert reasons == {'rloo': 'the record of a step lacks scaled_reward'}


def test_options_that_another_method_forbids_are_a_reason():
  run = {**RUN, 'options': {**RUN['options'], 'ddof': 3}}
  _, chosen, reasons = recorded_credit.choose(pair(), ['grpo', 'rloo'], run)
  assert chosen == ['rloo']
  assert 'an option of the run: ddof must be at most 1' in reasons['grpo']
  groups = [prefix_tree_groups.pens()]
  _, reasons = recorded_credit.of_answers(groups, ['grpo'], run)
  assert 'an option of the run: ddof must be at most 1' in reasons['grpo']


def own_run(folder, **changes):
  """A run by a method that this version does not have."""
  episodes = pair()
  for episode in episodes:
    for step in episode['steps']:
      step['credit'] = {'mine': {'total': 3.0}}
  record = {**RUN, 'name': 'mine', 'label': 'My <method>', 'unit': 'token',
            'standardised': False}  # fmt: skip
  return run_files.write_run(
    folder, config={'method': 'mine'}, method={**record, **changes},
    episodes=episodes,
  )  # fmt: skip


def test_a_method_that_is_not_in_the_table_is_drawn_by_its_record(tmp_path):
  text = page.render(run_data.read(own_run(tmp_path / 'run')))
  assert 'My &lt;method&gt;: the mean over its tokens' in text
  assert 'but for My &lt;method&gt;, in units of its own' in text
  assert 'data-method="grpo"' in text and 'data-method="mine"' in text
  # It is the run's own, so that failures are judged by it.
  assert 'My &lt;method&gt; gives step 1 +3.00, though' in text
  # Without a record there is its name.
  (tmp_path / 'run' / 'method.json').unlink()
  text = page.render(run_data.read(tmp_path / 'run'))
  assert 'mine gives step 1 +3.00, though' in text


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{', r'method.json:1: not JSON'),
    ('[]', r'method.json: not an object'),
    ('null', r'method.json: not an object'),
    ('{"name": "gigpo"}', r'method.json: label is missing'),
    (json.dumps({**RUN, 'options': []}), r'options is missing, or no dict'),
  ],
)
def test_a_damaged_record_of_the_method_is_named(
  tmp_path, capsys, text, message
):
  folder = own_run(tmp_path / 'run')
  (folder / 'method.json').write_text(text, encoding='utf-8')
  with pytest.raises(ValueError, match=message):
    run_data.read(folder)
  assert command.main([str(folder)]) == 1
  assert 'method.json' in capsys.readouterr().err


# Methods that a record of steps suffices for.
_OF_STEPS = [
  name
  for name, method in methods.TABLE.items()
  if not method.needs_rows(method.options())
  and not method.needs_with(method.options())
]


@pytest.mark.parametrize('name', _OF_STEPS)
def test_as_the_training_gave_it(name):
  """Random groups through a method and through their records."""
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
  fields = methods.TABLE[name].options.__dataclass_fields__
  run = run_files.method_record(
    name, **({'discount': 0.9} if 'discount' in fields else {})
  )
  method = methods.TABLE[name]
  credit = method.credit(
    methods.Batch(trajectories), method.options(**run['options'])
  )
  records = episode_records.episode_records(
    1,
    namespaces.SimpleNamespace(episodes=played, trajectories=trajectories),
    episode_records.step_credit(credit, None, 5),
    name,
  )
  wanted = totals(records, name)
  for p, g in np.ndindex(3, 4):
    np.testing.assert_allclose(
      wanted[4 * p + g], np.asarray(credit.total)[p, g, : lengths[p, g]]
    )
  for record in records:
    for step in record['steps']:
      step['credit'] = {}
  # What is recorded goes through JSON.
  records = json.loads(json.dumps(records))
  episodes, *_ = recorded_credit.choose(records, [name], run)
  for got, expected in zip(totals(episodes, name), wanted, strict=True):
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_of_answers_by_hand():
  # Rewards 1, 0, 0, 0.
  groups = [prefix_tree_groups.pens()]
  (credit,), reasons = recorded_credit.of_answers(
    groups, ['rloo', 'dr_grpo'], {}
  )
  assert reasons == {}
  third = 1 / 3
  assert credit['RLOO'] == pytest.approx([1, -third, -third, -third])
  assert credit['Dr. GRPO'] == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_every_method_of_answers_is_shown_or_has_a_reason():
  groups = [prefix_tree_groups.pens()]
  for name, method in methods.TABLE.items():
    (credit,), reasons = recorded_credit.of_answers(groups, [name], {})
    assert (method.label in credit) != (name in reasons), name
