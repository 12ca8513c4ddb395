"""Several runs together: which are one setting, and their bands by hand."""

import pytest

from jaxcredit.reports import (
  __main__ as command,
)
from jaxcredit.reports import comparison, comparison_page, run_data, study_data
from tests.reports import run_files, study_files
from tests.reports import test_page as run_page


def run(folder, seed, method='gigpo', won=4, rates=(0.1, 0.2), **config):
  return run_data.read(
    run_files.write_run(
      folder / f'{method}{seed}',
      config={'method': method, 'seed': seed, 'run': str(folder), **config},
      evaluations=[run_files.evaluation('after training', 2, won)],
      metrics=[
        run_files.training_record(i, success_rate=rate, seconds_total=60.0)
        for i, rate in enumerate(rates, start=1)
      ],
    )
  )


def curve(groups, title, label):
  (panel,) = [p for p in comparison.panels(groups) if p.title == title]
  (found,) = [c for c in panel.curves if c.label == label]
  return found


TRAINING = 'success in training, per cent, mean of 5'


def test_the_seed_alone_makes_no_setting(tmp_path):
  runs = [run(tmp_path, s, m) for m in ('grpo', 'gigpo') for s in (0, 1, 2)]
  groups = comparison.settings(runs)
  assert [g.label for g in groups] == ['grpo', 'gigpo']
  assert [comparison.seeds(g) for g in groups] == ['0, 1, 2'] * 2


def test_flags_that_differ_are_the_label(tmp_path):
  runs = [
    run(tmp_path / 'a', 0, discount=0.9, tensorboard=True, start_from='x/0'),
    run(tmp_path / 'b', 1, discount=0.9, tensorboard=False, start_from='x/1'),
    run(tmp_path / 'c', 0, discount=1.0, start_from='x/0'),
    run(tmp_path / 'd', 0, 'grpo', start_from='x/0'),
  ]
  groups = comparison.settings(runs)
  assert [(g.label, len(g.runs)) for g in groups] == [
    ('method=gigpo, discount=0.9', 2),
    ('method=gigpo, discount=1.0', 1),
    ('method=grpo, discount=null', 1),
  ]


def test_one_run_given_twice_is_an_error(tmp_path):
  runs = [run(tmp_path / name, 0) for name in ('a', 'b')]
  with pytest.raises(ValueError, match='a/gigpo0 and .*b/gigpo0 have the same'):
    comparison.settings(runs)


def test_two_runs_by_hand(tmp_path):
  groups = comparison.settings(
    [
      run(tmp_path, 0, rates=(0.1, 0.5)),
      run(tmp_path, 1, rates=(0.3, 0.7)),
    ]
  )
  found = curve(groups, TRAINING, 'gigpo')
  # Trailing means: 10, 30 and 30, 50. A resample holds either or both.
  assert found.x == [1, 2]
  assert found.y == pytest.approx([20, 40])
  assert found.low == pytest.approx([10, 30])
  assert found.high == pytest.approx([30, 50])


def test_four_runs_by_hand(tmp_path):
  rates = (0.0, 0.1, 0.2, 1.0)
  groups = comparison.settings(
    [run(tmp_path, s, rates=(rate,)) for s, rate in enumerate(rates)]
  )
  found = curve(groups, TRAINING, 'gigpo')
  # The middle half: 10 and 20.
  assert found.y == pytest.approx([15])
  # Of the 256 resamples 13 hold seed 0 three times or more, which cut to
  # seed 0 alone: more than 2.5 per cent. As many cut to seed 3.
  assert found.low == pytest.approx([0])
  assert found.high == pytest.approx([100])


def test_points_are_drawn_where_all_runs_have_one(tmp_path):
  groups = comparison.settings(
    [run(tmp_path, 0, rates=(0.1, 0.2, 0.3)), run(tmp_path, 1, rates=(0.1,))]
  )
  assert curve(groups, TRAINING, 'gigpo').x == [1]


def test_a_single_run_has_no_band(tmp_path):
  found = curve(comparison.settings([run(tmp_path, 0)]), TRAINING, 'gigpo')
  assert found.low is None


def test_final_numbers_by_hand(tmp_path):
  groups = comparison.settings(
    [run(tmp_path, 0, won=2), run(tmp_path, 1, won=4), run(tmp_path, 0, 'grpo')]
  )
  header, gigpo, grpo = comparison.table(groups)
  row = dict(zip(header, gigpo, strict=True))
  assert row['setting'] == 'gigpo'
  assert (row['runs'], row['seeds']) == ('2', '0, 1')
  # 2 and 4 of 8.
  assert row['success, per cent'] == '37.5 [25.0, 50.0]'
  assert row['each run'] == '25.0, 50.0'
  assert row['steps of an episode'] == '12.0 [12.0, 12.0]'
  assert row['minutes of training'] == '2.0 [2.0, 2.0]'
  assert row['evaluated after'] == '2'
  # The records of these evaluations know no reward.
  assert row['mean reward'] == '-'
  assert dict(zip(header, grpo, strict=True))['success, per cent'] == '50.0'


def test_success_by_task_type_by_hand(tmp_path):
  groups = comparison.settings([run(tmp_path, 0, won=2), run(tmp_path, 1)])
  assert comparison.by_task_type(groups) == [
    ['task type', 'gigpo'],
    ['look_at_obj_in_light', '0.0 [0.0, 0.0]'],
    # 2 and 4 of 5.
    ['pick_heat_then_place_in_recep', '60.0 [40.0, 80.0]'],
  ]


def test_runs_without_numbers_have_a_page(tmp_path):
  new = run_data.read(run_files.write_run(tmp_path / 'new'))
  text = comparison_page.render([new, run(tmp_path, 1)])
  assert 'Comparison of 2 runs' in text


def test_other_games_are_pointed_out(tmp_path):
  first, second = run(tmp_path, 0), run(tmp_path, 1)
  assert 'cannot be compared' not in comparison_page.render([first, second])
  second.evaluations[0]['games'] = 'others'
  assert 'cannot be compared' in comparison_page.render([first, second])


def test_seeds_of_control_in_two_folders_are_one_curve(tmp_path):
  folders = [
    study_files.lare(tmp_path / 'a', {('lare', 0): [1, 2]}, seed=[0]),
    study_files.lare(tmp_path / 'b', {('lare', 1): [3, 6]}, seed=[1]),
  ]
  charts, rows = comparison.of_studies([study_data.read(f) for f in folders])
  (found,) = charts[0].curves
  assert (found.y, found.low, found.high) == ([2, 4], [1, 2], [3, 6])
  assert rows[1] == ['lare', '2', 'evaluation', '4.00 [2.00, 6.00]']


def test_methods_of_control_in_two_folders_stand_side_by_side(tmp_path):
  folders = [
    study_files.lare(
      tmp_path / name, {(name, 0): [1, 2]}, seed=[0], method=[name]
    )
    for name in ('lare', 'rrd')
  ]
  charts, _ = comparison.of_studies([study_data.read(f) for f in folders])
  assert [c.label for c in charts[0].curves] == ['lare', 'rrd']


def test_bandits_stand_side_by_side(tmp_path):
  folders = [study_files.dynlin(tmp_path / n) for n in ('a', 'b')]
  path = folders[1] / 'config.json'
  path.write_text('{"study": "comparison", "seed": 0, "seeds": 9}')
  charts, rows = comparison.of_studies([study_data.read(f) for f in folders])
  assert [c.label for c in charts[0].curves] == [
    'seeds=4: dynlin_log', 'seeds=4: lin_log',
    'seeds=9: dynlin_log', 'seeds=9: lin_log',
  ]  # fmt: skip
  assert rows[1][3] == '200 [199, 201]'


def test_the_command_writes_one_page(tmp_path, capsys):
  folders = [run(tmp_path, s, note=run_files.SCRIPT).folder for s in (0, 1)]
  folders.append(study_files.dynlin(tmp_path / 'bandits'))
  output = tmp_path / 'comparison.html'
  arguments = [*map(str, folders), f'--output={output}']
  assert command.main(arguments) == 0
  assert capsys.readouterr().out == f'{output}\n'
  text = output.read_text(encoding='utf-8')
  elements = run_page.Elements(text)
  assert len(elements.of_class('band')) > 2
  assert run_files.SCRIPT not in text
  assert not (folders[0] / 'report.html').exists()


def test_hostile_flags_in_labels_stay_text(tmp_path):
  runs = [run(tmp_path, 0), run(tmp_path, 1, note=run_files.IMAGE)]
  text = comparison_page.render(runs)
  assert '<img' not in text
  assert 'note=&#34;&gt;&lt;img' in text


@pytest.mark.parametrize('folder', ['absent', '.'])
def test_what_is_no_run_is_named(tmp_path, capsys, folder):
  arguments = [str(tmp_path / folder), f'--output={tmp_path / "page.html"}']
  assert command.main(arguments) == 1
  assert 'holds no run: config.json is missing' in capsys.readouterr().err
  assert not (tmp_path / 'page.html').exists()


def test_an_output_that_cannot_be_written(tmp_path, capsys):
  folder = run(tmp_path, 0).folder
  output = tmp_path / 'absent' / 'page.html'
  assert command.main([str(folder), f'--output={output}']) == 1
  assert capsys.readouterr().err.startswith('error: ')


def test_a_comparison_shows_no_steps(tmp_path, capsys):
  with pytest.raises(SystemExit):
    command.main([str(tmp_path), '--method=grpo', '--output=page.html'])
  assert 'not for a comparison' in capsys.readouterr().err


def test_methods_that_nobody_knows(tmp_path, capsys):
  with pytest.raises(SystemExit):
    command.main([str(tmp_path), '--method=magic'])
  assert "invalid choice: 'magic'" in capsys.readouterr().err
