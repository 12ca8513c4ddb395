"""Folders of control and bandits: what is read, and the page of it."""

import pytest

from jaxcredit.reports import (
  __main__ as command,
)
from jaxcredit.reports import markdown_blocks, study_data, study_page
from tests.reports import run_files, study_files
from tests.reports import test_page as run_page

TABLE = f"""Return at the end.

| method | return |
| --- | ---: |
| {run_files.SCRIPT} | -1.5 |

Theory: more.
"""


def curve(panel, label):
  (found,) = [c for c in panel.curves if c.label == label]
  return found


def test_lare_by_hand(tmp_path):
  curves = {('lare', 0): [1, 4], ('lare', 1): [3, 8], ('dense', 0): [5, 6]}
  study = study_data.read(study_files.lare(tmp_path / 'run', curves))
  (panel,) = study.panels
  found = curve(panel, 'lare')
  assert (found.x, found.y) == ([10, 20], [2, 6])
  # Of two values resamples give the smaller, the mean and the larger one.
  assert (found.low, found.high) == ([1, 4], [3, 8])
  # One seed has no band.
  assert curve(panel, 'dense').low is None


def test_values_that_are_not_finite_leave_a_gap(tmp_path):
  curves = {('lare', 0): [1, 'nan', 2], ('lare', 1): [1, 1, 2]}
  study = study_data.read(study_files.lare(tmp_path / 'run', curves))
  assert curve(study.panels[0], 'lare').x == [10, 30]


def test_dynlin_by_hand(tmp_path):
  study = study_data.read(study_files.dynlin(tmp_path / 'run'))
  steady, rewards = study.panels
  found = curve(steady, 'lin_log')
  assert (found.x, found.y) == ([100, 200], [300, 600])
  assert (found.low, found.high) == ([297, 597], [303, 603])
  assert curve(rewards, 'lin_log').y == [600, 1200]


def test_scaling_by_hand(tmp_path):
  study = study_data.read(study_files.scaling(tmp_path / 'run'))
  (panel,) = study.panels
  assert panel.logarithmic
  found = curve(panel, 'spectral radius 0.2')
  assert found.x == [100, 1000]
  # Of 1, 10 and 100 the geometric mean is 10, the quartiles lie halfway.
  assert found.y == pytest.approx([10, 100])
  assert found.low == pytest.approx([10**0.5, 10**1.5])
  assert found.high == pytest.approx([10**1.5, 10**2.5])


def test_the_page_of_a_study(tmp_path):
  folder = study_files.lare(
    tmp_path / 'run',
    {('lare', 0): [1, 4], ('lare', 1): [3, 8]},
    **{'table.md': TABLE, 'episode_lare.png': study_files.PNG,
       'curves.png': study_files.PNG, 'fake.png': '<script>'},
  )  # fmt: skip
  text = study_page.render(study_data.read(folder))
  elements = run_page.Elements(text)
  # The picture of the curves is drawn anew; what is no PNG is left out.
  (picture,) = elements.named('img')
  assert picture['src'].startswith('data:image/png;base64,iVBORw0KGgo')
  assert 'episode_lare' in picture['alt']
  assert run_files.SCRIPT not in text
  assert elements.cells[:2] == [run_files.SCRIPT, '-1.5']
  assert 'Theory: more.' in text
  assert len(elements.of_class('chart')) == 1
  assert '<dt>--task</dt><dd>spread</dd>' in text


@pytest.mark.parametrize('kind', ['lare', 'dynlin'])
def test_an_experiment_that_has_just_begun(tmp_path, kind):
  flag = {'lare': 'decoder_hidden', 'dynlin': 'study'}[kind]
  folder = study_files.folder(tmp_path / 'run', {flag: None}, {})
  assert study_data.is_study(folder)
  text = study_page.render(study_data.read(folder))
  assert 'has not written anything yet' in text


def test_text_runs_are_no_studies(tmp_path):
  assert not study_data.is_study(run_files.full_run(tmp_path / 'run'))
  assert not study_data.is_study(tmp_path / 'absent')


def test_the_command_takes_any_folder(tmp_path, capsys):
  folders = [
    study_files.lare(tmp_path / 'a', {('lare', 0): [1, 2]}),
    study_files.dynlin(tmp_path / 'b'),
    study_files.scaling(tmp_path / 'c'),
  ]
  assert command.main([str(f) for f in folders]) == 0
  pages = [f / 'report.html' for f in folders]
  assert capsys.readouterr().out.split() == [str(p) for p in pages]
  for path in pages:
    assert path.read_text(encoding='utf-8').startswith('<!doctype html>')


@pytest.mark.parametrize(
  ('rows', 'message'),
  [
    ('method,seed\nlare,0\n', 'columns are missing: iteration, name, value'),
    (
      'method,seed,iteration,name,value\nlare,0,ten,evaluation,1\n',
      'curves.csv:2: not a row of numbers: lare, 0, ten',
    ),
    (
      'method,seed,iteration,name,value\nlare,0,1\n',
      'curves.csv:2: not a row of numbers',
    ),
  ],
)
def test_damaged_curves_are_named(tmp_path, capsys, rows, message):
  folder = study_files.folder(tmp_path / 'run', {}, {'curves.csv': rows})
  assert command.main([str(folder)]) == 1
  assert message in capsys.readouterr().err


def test_curves_without_flags_are_no_run(tmp_path, capsys):
  (tmp_path / 'curves.csv').write_text('a,b\n')
  assert command.main([str(tmp_path)]) == 1
  assert 'holds no run: config.json is missing' in capsys.readouterr().err


def test_paragraphs_and_tables():
  blocks = markdown_blocks.read('a\nb\n\n| x | y |\n| --- | ---: |\n|1| 2 |\n')
  assert blocks == [
    markdown_blocks.Block(text='a b'),
    markdown_blocks.Block(rows=(('x', 'y'), ('1', '2'))),
  ]
  assert markdown_blocks.read('') == []
