"""Pages in a headless browser: phone and desk, hovering, without scripts.

JAXCREDIT_PICTURE_OF=runs/quick python -m pytest tests/reports/test_browser.py \
    -k picture

takes the picture of the README, docs/report.png, from the run that it names.
"""

import html
import json
import os
import pathlib
import re

import pytest

from jaxcredit.reports import (
  comparison_page,
  page,
  prefix_tree_records,
  run_data,
  study_data,
  study_page,
)
from tests import distribution
from tests.reports import prefix_tree_groups, run_files, study_files
from tests.reports import test_page as run_page

pytestmark = pytest.mark.system

PICTURE_OF = 'JAXCREDIT_PICTURE_OF'
PHONE, DESK = 360, 1280

# Measures the page in every frame: is it wider than the frame, what does it
# say, and what changes when the pointer is over a chart and over a step?
_MEASURE = """
onload = () => {
  const found = {};
  for (const frame of document.querySelectorAll('iframe')) {
    const page = frame.contentDocument;
    // All that can be unfolded may be too wide.
    page.querySelectorAll('details').forEach((d) => { d.open = true; });
    const root = page.documentElement;
    const point = (target, name) => target.dispatchEvent(
      new PointerEvent(name, {bubbles: true, clientX: 200, clientY: 100}));
    const chart = page.querySelector('.chart');
    const told = {wide: root.scrollWidth, room: root.clientWidth,
                  title: page.title, text: page.body.textContent.length};
    if (chart) {
      point(chart.querySelector('svg'), 'pointermove');
      told.reading = chart.querySelector('.reading').textContent;
      told.cursor = chart.querySelector('.cursor').style.visibility;
      point(chart.querySelector('svg'), 'pointerleave');
      told.after = chart.querySelector('.reading').textContent;
    }
    const step = page.querySelector('[data-states] [data-state]');
    if (step) {
      point(step, 'pointerover');
      told.alike = [...page.querySelectorAll('.alike')].map(
        (row) => row.dataset.state);
    }
    found[frame.id] = told;
  }
  document.body.textContent = JSON.stringify(found);
};
"""

_EXCERPT = """
.chart:nth-child(n + 4), .others, .episode:not([open]) { display: none; }
h2:first-child { margin-top: 0; } h2 + p { display: none; }
"""


def frame(name, text, width, sandbox=''):
  """A page inside another: a window cannot be as narrow as a phone."""
  return (
    f'<iframe id="{name}" style="width:{width}px;height:800px;border:0" '
    f'{sandbox} srcdoc="{html.escape(text)}"></iframe>'
  )


def measure(folder, frames):
  """What the script above finds, by the frames' names."""
  path = folder / 'frames.html'
  path.write_text(
    f'<!doctype html><meta charset="utf-8"><body>{"".join(frames)}'
    f'<script>{_MEASURE}</script>',
    encoding='utf-8',
  )
  result = run_page.chromium(
    '--dump-dom', f'--user-data-dir={folder / "profile"}', path.as_uri()
  )
  assert result.returncode == 0, result.stderr
  (body,) = re.findall('<body>(.*?)</body>', result.stdout, re.S)
  return json.loads(html.unescape(body))


def long_run(folder):
  """A run whose texts are long, with trees, states and failures."""
  word = 'x' * 400
  steps = [
    run_files.step(
      0.5, -0.5, anchor_group=i % 2, action=word, answer=word, observation=word
    )
    for i in range(6)
  ]
  run_files.write_run(
    folder,
    config={'method': 'gigpo', 'seed': 0, 'games': word},
    evaluations=[run_files.evaluation(f'after {i}', i, i) for i in range(8)],
    metrics=[run_files.training_record(i) for i in range(1, 9)],
    episodes=[
      run_files.episode(0, 0, steps, task=word),
      run_files.episode(0, 1, steps, task=word, success=True),
    ],
  )
  prefix_tree_records.append(
    folder / prefix_tree_records.NAME,
    [prefix_tree_groups.pens(), prefix_tree_groups.odd()],
  )
  return run_data.read(folder)


@pytest.fixture(scope='module')
def texts(tmp_path_factory):
  """A page of each kind, and two that are to fail or to be stopped."""
  folder = tmp_path_factory.mktemp('pages')
  long = long_run(folder / 'long')
  lare = study_files.lare(
    folder / 'lare',
    {('lare', seed): [seed, 2] for seed in range(2)},
    **{'picture.png': study_files.PNG},
  )
  studies = [study_data.read(lare)]
  studies.append(study_data.read(study_files.dynlin(folder / 'dynlin')))
  methods = ['grpo', 'gigpo', 'rloo', 'tempo', 'hepo']
  hostile = page.render(run_data.read(run_files.full_run(folder / 'hostile')))
  return {
    'run': page.render(long, methods=methods),
    'hostile': hostile,
    'study': study_page.render(studies[0]),
    'comparison': comparison_page.render([long, *studies]),
    'wide': '<!doctype html><body style="margin:0"><div style="width:2000px">x',
    # As if somebody had forgotten to escape.
    'smuggled': hostile.replace('<h1>', f'{run_files.SCRIPT}<h1>'),
    'unguarded': f'<!doctype html><title>t</title><body>{run_files.SCRIPT}',
  }


@pytest.fixture(scope='module')
def seen(texts, tmp_path_factory):
  """All pages at both widths; one without scripts."""
  frames = [
    frame(f'{name}-{width}', text, width)
    for name, text in texts.items()
    for width in (PHONE, DESK)
  ]
  # The outer page may look into it, but its own scripts do not run.
  still = 'sandbox="allow-same-origin"'
  frames.append(frame('still', texts['run'], PHONE, still))
  return measure(tmp_path_factory.mktemp('browser'), frames)


@pytest.mark.parametrize('width', [PHONE, DESK])
@pytest.mark.parametrize('name', ['run', 'hostile', 'study', 'comparison'])
def test_no_page_is_wider_than_its_window(seen, name, width):
  found = seen[f'{name}-{width}']
  assert 0 < found['room'] <= width
  assert found['wide'] == found['room']


def test_a_page_that_is_too_wide_would_be_found(seen):
  assert seen[f'wide-{PHONE}']['wide'] == 2000


def test_the_pointer_reads_a_chart(seen):
  found = seen[f'run-{DESK}']
  # Success in training, as the records have it: the iteration is some i.
  at, mean, each, *_ = found['reading'].split('\n')
  iteration = int(at.removeprefix('at '))
  assert each == f'each iteration: {5 * iteration}'
  assert mean.startswith('mean of 5: ')
  assert found['cursor'] == 'visible'
  assert found['after'] == ''


def test_the_pointer_marks_steps_of_one_state(seen):
  alike = seen[f'run-{DESK}']['alike']
  # A row of the table of states, and three steps of either episode.
  assert len(alike) == 1 + 2 * 3
  assert len(set(alike)) == 1


def test_bands_are_read_with_their_ends(seen):
  reading = seen[f'study-{DESK}']['reading']
  assert re.fullmatch(r'at 1[0-9.]*\nlare: 0.5 \[0, 1\]', reading), reading


def test_without_scripts_nothing_but_hovering_is_lost(seen):
  still, scripted = seen['still'], seen[f'run-{PHONE}']
  assert still['reading'] == '' and still['alike'] == []
  assert still['text'] == scripted['text'] > 1000
  assert still['wide'] == still['room']


def test_a_script_that_was_not_escaped_does_not_run(seen):
  found = seen[f'smuggled-{DESK}']
  assert found['title'] == 'gigpo: hostile'
  # The page's own still does.
  assert found['reading']
  # Else the assertion above could not fail.
  assert seen[f'unguarded-{DESK}']['title'] == 'broken in'


def test_the_picture_of_the_readme(texts, tmp_path):
  run, target = os.environ.get(PICTURE_OF), tmp_path / 'report.png'
  source = tmp_path / 'page.html'
  if run:
    text = page.render(run_data.read(run), methods=['grpo', 'gigpo', 'rloo'])
    target = distribution.REPOSITORY / 'docs' / 'report.png'
  else:
    text = texts['hostile']
  # The first curves, and credit of an episode that was won and one lost.
  head, _, _ = text.partition('</style>')
  shown = ''.join(run_page.part(text, name) for name in ('curves', 'episodes'))
  source.write_text(f'{head}{_EXCERPT}</style><body>{shown}', encoding='utf-8')
  result = run_page.chromium(
    f'--screenshot={target}',
    '--window-size=1100,1200',
    '--hide-scrollbars',
    f'--user-data-dir={tmp_path / "profile"}',
    source.as_uri(),
  )
  assert result.returncode == 0, result.stderr
  width, height, rows = run_page.unfiltered_rows(target)
  assert (width, height) == (1100, 1200)
  assert len(set(rows)) > 200
  assert target.stat().st_size < 200_000


def test_the_picture_in_the_readme_exists():
  readme = pathlib.Path(distribution.REPOSITORY / 'README.md')
  assert '](docs/report.png)' in readme.read_text(encoding='utf-8')
  picture = distribution.REPOSITORY / 'docs' / 'report.png'
  assert run_page.unfiltered_rows(picture)[0] == 1100
  assert picture.stat().st_size < 200_000
