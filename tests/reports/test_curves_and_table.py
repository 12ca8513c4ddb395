"""Run files read back, the table of success, curves, and the command."""

import json
import os
import subprocess
import sys

import pytest

from jaxcredit.reports import __main__ as command
from jaxcredit.reports import curves, run_data, success_table
from tests.reports import run_files


def test_the_records_of_each_stage(tmp_path):
  run = run_data.read(run_files.full_run(tmp_path / 'run'))
  assert run.folder == tmp_path / 'run'
  assert run.config['method'] == 'gigpo'
  assert [r['iteration'] for r in run.training] == list(range(1, 11))
  assert [r['iteration'] for r in run.warm_start] == [20]
  assert [e['iteration'] for e in run.evaluations] == [0, 10]
  assert [e['rollout'] for e in run.episodes] == [0, 1]


def test_a_new_run_has_no_records(tmp_path):
  run = run_data.read(run_files.write_run(tmp_path / 'run'))
  assert not (run.training or run.warm_start or run.evaluations or run.episodes)


def test_a_folder_without_a_run(tmp_path):
  with pytest.raises(FileNotFoundError, match='holds no run: config.json'):
    run_data.read(tmp_path)


@pytest.mark.parametrize('name', ['metrics.jsonl', 'episodes.jsonl'])
def test_a_damaged_line_is_named(tmp_path, name):
  folder = run_files.full_run(tmp_path / 'run')
  lines = (folder / name).read_text().splitlines()
  lines[1] = lines[1][:20]
  (folder / name).write_text('\n'.join([*lines, lines[0]]) + '\n')
  with pytest.raises(ValueError, match=f'{name}:2: not JSON'):
    run_data.read(folder)


@pytest.mark.parametrize('name', ['config.json', 'evaluations.json'])
def test_a_damaged_document_is_named(tmp_path, name):
  folder = run_files.full_run(tmp_path / 'run')
  (folder / name).write_text('{\n"a": 1,\n')
  with pytest.raises(ValueError, match=rf'{name}:\d+: not JSON'):
    run_data.read(folder)


def test_a_last_line_that_is_being_written_is_left_out(tmp_path):
  folder = run_files.full_run(tmp_path / 'run')
  with open(folder / 'metrics.jsonl', 'a') as file:
    file.write('{"stage": "train", "iterat')
  assert len(run_data.read(folder).training) == 10
  with open(folder / 'metrics.jsonl', 'a') as file:
    file.write('\n')
  with pytest.raises(ValueError, match='metrics.jsonl:12: not JSON'):
    run_data.read(folder)


def test_line_separators_inside_a_record_do_not_cut_it(tmp_path):
  folder = run_files.write_run(tmp_path / 'run')
  episode = run_files.episode(0, 0, [run_files.step(0, 0, answer='a\u2028b')])
  # Valid JSON may hold it unescaped.
  line = json.dumps(episode, ensure_ascii=False)
  (folder / 'episodes.jsonl').write_text(f'{line}\n{line}\n', encoding='utf-8')
  episodes = run_data.read(folder).episodes
  assert [e['steps'][0]['answer'] for e in episodes] == ['a\u2028b'] * 2


def test_table_by_hand():
  evaluations = [
    run_files.evaluation('before', 0, 2),
    run_files.evaluation('after', 10, 5),
  ]
  del evaluations[1]['by_task_type']['look_at_obj_in_light']
  evaluations[0]['by_task_type']['pick_heat_then_place_in_recep'] = {
    'episodes': 0, 'successes': 0, 'success_rate': None, 'mean_length': None,
  }  # fmt: skip
  assert success_table.rows(evaluations) == [
    ['task type', 'before', 'after'],
    ['look_at_obj_in_light', '0/3  0.0 %', '-'],
    ['pick_heat_then_place_in_recep', '-', '5/5  100.0 %'],
    ['all', '2/8  25.0 %', '5/8  62.5 %'],
  ]


def test_table_of_no_evaluation():
  assert success_table.rows([]) == [['task type'], ['all']]


def test_ends_of_a_run_that_was_prolonged_have_names_of_their_own():
  evaluations = [
    run_files.evaluation('after the warm start', 0, 2),
    run_files.evaluation('after training', 10, 3),
    run_files.evaluation('after training', 20, 4),
  ]
  assert success_table.rows(evaluations)[0] == [
    'task type', 'after the warm start', 'after training (10)',
    'after training (20)',
  ]  # fmt: skip


def test_console_table_names_the_games():
  table = success_table.success_table([run_files.evaluation('before', 0, 2)])
  assert table.title == 'Success on 8 games of valid_seen.jsonl'
  assert [column.header for column in table.columns] == ['task type', 'before']
  assert table.row_count == 3


def lines_of(axis):
  return [line.get_ydata() for line in axis.get_lines()]


def test_curves_show_the_numbers(tmp_path):
  picture = curves.draw(run_data.read(run_files.full_run(tmp_path / 'run')))
  success, length, sizes, seconds = picture.axes
  raw, smooth, evaluated = lines_of(success)
  assert list(raw) == pytest.approx([5 * i for i in range(1, 11)])
  # The mean of the last five at most.
  assert list(smooth)[:2] == pytest.approx([5, 7.5])
  assert list(smooth)[-1] == pytest.approx(40)
  assert list(evaluated) == [25, 62.5]
  assert list(lines_of(length)[0]) == [30 - i for i in range(1, 11)]
  assert len(sizes.collections) == 5
  assert len(seconds.collections) == 3


def test_curves_leave_gaps_where_values_are_missing(tmp_path):
  metrics = [
    run_files.training_record(1, success_rate=None, anchor_group_sizes=None),
    run_files.training_record(2),
    run_files.training_record(3, seconds_rollout=None),
  ]
  del metrics[2]['episode_length']
  evaluation = run_files.evaluation('after', 3, 0)
  evaluation['success_rate'] = None
  run = run_data.read(
    run_files.write_run(
      tmp_path / 'run', metrics=metrics, evaluations=[evaluation]
    )
  )
  success, length, *_ = curves.draw(run).axes
  assert list(success.get_lines()[0].get_xdata()) == [2, 3]
  assert list(length.get_lines()[0].get_xdata()) == [1, 2]
  assert len(success.get_lines()[2].get_xdata()) == 0


def test_curves_of_records_without_any_number(tmp_path):
  metrics = [{'stage': 'train', 'iteration': 1}]
  run = run_data.read(run_files.write_run(tmp_path / 'run', metrics=metrics))
  curves.save(run)
  assert (run.folder / 'curves.png').read_bytes()[:4] == b'\x89PNG'


def test_the_command_writes_page_and_curves(tmp_path, capsys):
  folder = run_files.full_run(tmp_path / 'run')
  assert command.main([str(folder)]) == 0
  words = capsys.readouterr().out
  assert 'Success on 8 games' in words
  assert str(folder / 'report.html') in words
  assert (folder / 'report.html').read_text().startswith('<!doctype html>')
  assert (folder / 'curves.png').read_bytes()[:4] == b'\x89PNG'
  assert (folder / 'curves.pdf').read_bytes()[:5] == b'%PDF-'


@pytest.mark.system
def test_the_command_says_in_one_line_what_is_wrong(tmp_path):
  result = subprocess.run(
    [sys.executable, '-m', 'jaxcredit.reports', str(tmp_path / 'absent')],
    capture_output=True,
    text=True,
    env=os.environ,
    timeout=120,
  )
  assert result.returncode == 1
  assert result.stderr.count('\n') == 1
  assert result.stderr.startswith('error: ')
  assert 'absent holds no run: config.json is missing' in result.stderr


def test_the_command_names_a_damaged_file(tmp_path, capsys):
  folder = run_files.write_run(
    tmp_path / 'run', metrics=[run_files.training_record(1)]
  )
  (folder / 'evaluations.json').write_text('[')
  assert command.main([str(folder)]) == 1
  assert 'evaluations.json:1: not JSON' in capsys.readouterr().err
