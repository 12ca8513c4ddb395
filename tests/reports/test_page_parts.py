"""Parts of the page of a run: charts, time, states, failures, trees."""

import dataclasses
import re

import pytest

from jaxcredit.reports import (
  __main__ as command,
)
from jaxcredit.reports import (
  credit_colours,
  page,
  prefix_tree_records,
  progress_curves,
  run_data,
)
from tests.reports import prefix_tree_groups, run_files
from tests.reports import test_page as run_page
from tests.reports import test_prefix_tree as tree_page


def loops():
  """A rollout that wins by state 2, and one that turns round before it."""
  won = [
    run_files.step(0.7, 0.9, anchor_group=state, action=action, reward=reward)
    for state, action, reward in ((0, 'go', 0), (1, 'go', 0), (2, 'take', 1))
  ]
  lost = [
    run_files.step(-0.7, -0.9, anchor_group=state, action='back')
    for state in (0, 1, 0, 1)
  ]
  return [
    run_files.episode(3, 0, won, success=True),
    run_files.episode(3, 1, lost),
  ]


def render(folder, *methods, **files):
  run = run_data.read(run_files.write_run(folder, **files))
  return page.render(run, methods=methods)


def test_every_number_of_the_metrics_has_a_chart(tmp_path):
  text = run_page.render(run_files.full_run(tmp_path / 'run'))
  titles = re.findall('<figcaption>(.*?)</figcaption>', text)
  assert titles[:2] == ['success in training, per cent', 'steps of an episode']
  assert {
    'steps by size of their anchor group, per cent',
    'seconds of an iteration',
    'singleton share',
  } <= set(titles)
  # What nobody recorded has none.
  assert 'actions that could be carried out, per cent' not in titles


def test_time_by_stage(tmp_path):
  text = run_page.render(run_files.full_run(tmp_path / 'run'))
  cells = run_page.Elements(run_page.part(text, 'time')).cells
  assert cells[:5] == ['rollout: the rest', '2.0 s', '2.0 s', '20.0 s',
                       '66.6 %']  # fmt: skip


def test_states_that_repeat(tmp_path):
  text = render(tmp_path / 'run', episodes=loops())
  assert 'anchor groups: 2 states met more than once, 1 met once' in text
  (table,) = re.findall('<table class="steps states.*?</table>', text, re.S)
  cells = run_page.Elements(table).cells
  # State 1: 0.95 a step before the reward, and 0 twice.
  assert cells[:4] == ['1', '3', '2', '0 to 0.95']
  assert cells[4] == 'go ×1, 0.95back ×2, 0: 0, 0'


def test_chosen_methods_are_the_columns(tmp_path):
  text = render(
    tmp_path / 'run', 'rloo', 'grpo', 'ppo',
    episodes=loops(),
  )  # fmt: skip
  shown = run_page.part(text, 'episodes')
  cells = run_page.Elements(shown).of_class('credit')
  methods = [a['data-method'] for a in cells if 'data-method' in a]
  assert methods == ['rloo', 'grpo'] * 7
  assert 'PPO is not shown for steps: it needs the values of a critic' in shown
  # Scores 10 and 0; what the run recorded stays.
  assert re.findall(r'<span>([-+][0-9.]+)</span>', shown)[:2] == [
    '+10.00', '+0.70',
  ]  # fmt: skip
  # In units of its own, so that it does not make the others small.
  widths = re.findall(r'width:([0-9.]+)%"></i><span>', shown)
  assert widths[:2] == ['50.0', '50.0']
  assert 'but for RLOO, in units of its own' in shown


def test_parts_of_a_credit_are_told(tmp_path):
  text = render(tmp_path / 'run', episodes=loops())
  assert 'title="episode +0.70, step +0.20"' in text


def test_failures_are_read_at_their_step(tmp_path):
  text = run_page.part(render(tmp_path / 'run', episodes=loops()), 'failures')
  assert 'near miss: before step 2 it was in a state' in text
  rows = run_page.Elements(text).named('tr')
  assert [i for i, a in enumerate(rows) if a.get('class') == 'read'] == [2]
  assert 'near misses: it came to a state' in text


def test_no_failure_is_said(tmp_path):
  text = render(tmp_path / 'run', episodes=loops()[:1])
  assert 'No lost episode was kept' in run_page.part(text, 'failures')


def test_long_tasks_are_cut_and_whole_inside(tmp_path):
  task = 'fetch it ' * 40
  won, lost = (dict(e, task=task) for e in loops())
  text = render(tmp_path / 'run', episodes=[won, lost])
  (short,) = re.findall('<strong>(.*?)</strong>', text)
  assert len(short) <= 160 and short.endswith('...')
  assert f'<p>{task}</p>' in text


@pytest.fixture
def with_trees(tmp_path):
  folder = run_files.write_run(tmp_path / 'run', config={'method': 'tempo'})
  prefix_tree_records.append(
    folder / prefix_tree_records.NAME,
    [prefix_tree_groups.pens(), prefix_tree_groups.odd()],
  )
  return folder


def test_prefix_trees_stand_in_the_page(with_trees):
  text = page.render(
    run_data.read(with_trees), methods=['tempo', 'rloo', 'hepo']
  )
  _, _, trees = text.partition('<h2 id="trees">')
  assert tree_page.tree_lines(trees)[1] == 'V 0.333 ×3 +0.0833 multiply [36]'
  assert 'GRPO +1.5, RLOO +1' in trees
  assert 'HEPO is not shown for tokens: it gives credit to tokens' in trees
  assert 'This run gives credit to tokens' in text
  assert prefix_tree_groups.SCRIPT not in text and '<img' not in text
  # The answer that went right the longest can be jumped to.
  assert '<a href="#g1-1">Answer 1 of group 1</a>: its first 6 of 7' in text
  ids = {a['id'] for _, a in run_page.Elements(text).tags if 'id' in a}
  links = {a['href'][1:] for a in run_page.Elements(text).named('a')}
  assert links <= ids


def test_the_latest_trees_are_shown(with_trees):
  text = page.render(run_data.read(with_trees), group_limit=1)
  assert len(re.findall('<section', text)) == 1
  assert 'Three boxes' not in text


def test_a_damaged_tree_is_named(with_trees, capsys):
  with open(with_trees / prefix_tree_records.NAME, 'a') as file:
    file.write('{}\n')
  assert command.main([str(with_trees)]) == 1
  assert f'{prefix_tree_records.NAME}:3: the group lacks' in (
    capsys.readouterr().err
  )


def test_progress_by_hand(tmp_path):
  run = run_data.read(run_files.write_run(tmp_path / 'run'))
  run = dataclasses.replace(
    run,
    fit=[{'iteration': 5, 'held_out_loss': 0.2}, {'iteration': 9}],
    estimator={
      'calibration': [{'predicted': 0.1, 'outcome': 0.3, 'episodes': 4}],
      'constant_loss': 0.25,
      'episodes': [
        {'contributions': [0.5, -0.25], 'progress': [None, 1.0],
         'success': True},
      ],
    },
  )  # fmt: skip
  calibration, loss, episode = progress_curves.panels(run)
  assert (calibration.curves[0].x, calibration.curves[0].y) == ([0.1], [0.3])
  assert [(c.x, c.y) for c in loss.curves] == [
    ([5], [0.2]),
    ([5, 5], [0.25] * 2),
  ]
  estimated, true = episode.curves
  assert (estimated.x, estimated.y) == ([0, 1, 2], [0.0, 0.5, 0.25])
  assert (true.x, true.y) == ([2], [1.0])
  assert episode.title == 'progress in episode 1, won'


@pytest.mark.parametrize('theme', credit_colours.THEMES)
def test_text_and_curves_can_be_told_from_the_ground(theme):
  colours = credit_colours.THEMES[theme]

  def contrast(first, second):
    low, high = sorted(map(tree_page.luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)

  for ground in (colours['ground'], colours['page']):
    for name in ('text', 'faint', 'focus', 'won', 'lost'):
      assert contrast(colours[name], ground) >= 4.5, (name, ground)
    for curve in colours['curves']:
      assert contrast(curve, ground) >= 3, (curve, ground)


@pytest.mark.parametrize('theme', credit_colours.THEMES)
def test_gain_and_loss_differ_for_those_who_see_no_red_or_green(theme):
  """Deuteranopes and protanopes see little of red less green: blue is left."""
  colours = credit_colours.THEMES[theme]
  for first, second in (('gain', 'loss'), ('won', 'lost')):
    blue = [int(colours[name][5:], 16) for name in (first, second)]
    assert blue[0] - blue[1] > 80, (first, second)
