"""The page of a run: what it shows, and that no text in it is obeyed."""

import base64
import hashlib
import html.parser
import re
import shutil
import struct
import subprocess
import zlib

import pytest

from jaxcredit.reports import page, run_data
from tests.reports import run_files


class Elements(html.parser.HTMLParser):
  """Lists the elements of a page, and the text of table cells."""

  def __init__(self, text):
    super().__init__()
    self.tags = []
    self.cells = []
    self._in_cell = False
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag == 'td':
      self.cells.append('')
      self._in_cell = True

  def handle_endtag(self, tag):
    if tag == 'td':
      self._in_cell = False

  def handle_data(self, data):
    if self._in_cell:
      self.cells[-1] += data

  def named(self, tag):
    return [attributes for name, attributes in self.tags if name == tag]

  def of_class(self, name):
    return [a for _, a in self.tags if name in (a.get('class') or '').split()]


def render(folder, **options):
  return page.render(run_data.read(folder), **options)


def part(text, name):
  """The page between one heading with an id and the next."""
  (found,) = re.findall(f'<h2 id="{name}">.*?(?=<h2 id=|</body>)', text, re.S)
  return found


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return run_files.full_run(tmp_path_factory.mktemp('run') / 'mine')


@pytest.fixture(scope='module')
def text(folder):
  return render(folder)


def test_the_page_needs_nothing_from_outside(text):
  elements = Elements(text)
  for tag, attributes in elements.tags:
    assert tag not in ('link', 'iframe', 'object', 'img', 'base')
    for name, value in attributes.items():
      assert not name.startswith('on'), (tag, name)
      if name in ('src', 'href', 'xlink:href', 'action', 'data'):
        # Curves refer to their own parts.
        assert value.startswith('#'), (tag, name, value)
  assert not re.search(r'url\((?!#)|@import', text)
  (policy,) = [a for a in elements.named('meta') if 'http-equiv' in a]
  assert policy['content'].startswith("default-src 'none'; ")
  # One script, which is named by its hash.
  (script,) = re.findall('<script>(.*?)</script>', text, re.S)
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  assert f"; script-src 'sha256-{digest}'; " in f'; {policy["content"]}'
  assert len(elements.named('script')) == 1
  assert not re.search(
    'innerHTML|outerHTML|insertAdjacent|document.write', text
  )


def test_hostile_text_stays_text(text):
  assert run_files.SCRIPT not in text
  assert '<img' not in text
  cells = Elements(text).cells
  # Read back as text, it is there unchanged: in actions and in answers, those
  # of the lost episode under the failures as well.
  assert cells.count(run_files.SCRIPT) == 3
  assert cells.count(run_files.IMAGE) == 3
  escaped = run_files.SCRIPT.replace('<', '&lt;').replace('>', '&gt;')
  escaped = escaped.replace("'", '&#39;')
  # Three steps, the task's type, a failure and the reason to read it, a flag,
  # and the name of a stage above a column and beside its three cells.
  assert text.count(escaped) == 3 + 1 + 2 + 1 + 4


def test_grpo_and_gigpo_stand_side_by_side_for_every_step(text):
  text = part(text, 'episodes')
  cells = [a['data-method'] for a in Elements(text).of_class('credit')
           if 'data-method' in a]  # fmt: skip
  assert cells == ['grpo', 'gigpo'] * 3
  numbers = re.findall(r'<span>([-+][0-9.]+)</span>', text)
  assert numbers == ['+0.71', '+1.41', '+0.71', '+0.25', '-0.71', '-1.41']
  bars = [
    (a['class'], a['style']) for a in Elements(text).named('i') if 'style' in a
  ]
  # The largest credit of the group fills its half of the cell.
  assert bars[1] == ('plus', 'left:50.0%;width:50.0%')
  assert bars[0] == ('plus', 'left:50.0%;width:25.0%')
  assert bars[4] == ('minus', 'left:25.0%;width:25.0%')


def test_what_happened_is_told(text):
  assert '10 iterations. Evaluated on 8 games of valid_seen.jsonl' in text
  assert '1 of 2 won' in text
  assert re.search(r'rollout 0: <span class="won">won</span>, 2 steps', text)
  assert re.search(r'rollout 1: <span class="lost">lost</span>, 1 steps', text)
  assert len(Elements(part(text, 'episodes')).of_class('invalid')) == 1
  assert '<dt>--seed</dt><dd>0</dd>' in text
  assert '5/5  100.0 %' in text and '5/8  62.5 %' in text


def test_a_run_without_anything_yet_has_a_page(tmp_path):
  text = render(run_files.write_run(tmp_path / 'new'))
  for words in (
    'No evaluation yet', 'No training iteration yet', 'No episodes were kept',
    '0 iterations. Evaluated on nothing yet',
  ):  # fmt: skip
    assert words in text
  assert '<svg' not in text


def test_an_episode_without_steps_and_credit_of_zero(tmp_path):
  episodes = [
    run_files.episode(0, 0, [], failure='its worker process died'),
    run_files.episode(0, 1, [run_files.step(0.0, 0.0)]),
  ]
  text = render(run_files.write_run(tmp_path / 'run', episodes=episodes))
  assert '0 steps (its worker process died)' in text
  assert text.count('width:0.0%') == 2


def test_long_runs_show_few_groups_of_the_latest_iteration(tmp_path):
  episodes = [
    run_files.episode(
      group,
      rollout,
      [run_files.step(1.0, 1.0)],
      iteration=iteration,
      # Group 7 alone has both outcomes.
      success=group == 7 and rollout == 0,
      task=f'task {group} of iteration {iteration}',
    )
    for iteration in (10, 20)
    for group in range(12)
    for rollout in range(2)
  ]
  folder = run_files.write_run(tmp_path / 'run', episodes=episodes)
  text = render(folder)
  assert len(Elements(text).of_class('group')) == 8
  assert 'of iteration 10<' not in text
  shown = re.findall(r'<strong>task (\d+) of iteration 20</strong>', text)
  assert shown == ['7', '0', '1', '2', '3', '4', '5', '6']
  assert len(Elements(render(folder, group_limit=3)).of_class('group')) == 3


def test_save_writes_the_page_into_the_folder(tmp_path):
  folder = run_files.full_run(tmp_path / 'run')
  run = run_data.read(folder)
  assert page.save(run) == folder / 'report.html'
  saved = (folder / 'report.html').read_text(encoding='utf-8')
  assert saved.startswith('<!doctype html>')
  assert run_files.TASK not in saved


@pytest.mark.parametrize(
  ('value', 'scale', 'expected'),
  [
    (0.0, 2.0, ('50.0', '0.0', 'plus', '0')),
    (1.0, 2.0, ('50.0', '25.0', 'plus', '+1.00')),
    (-2.0, 2.0, ('0.0', '50.0', 'minus', '-2.00')),
    (5.0, 2.0, ('50.0', '50.0', 'plus', '+5.00')),
    (0.0, 0.0, ('50.0', '0.0', 'plus', '0')),
  ],
)
def test_bars(value, scale, expected):
  assert tuple(page.bar(value, scale).values()) == expected


def chromium(*arguments):
  names = ('chromium', 'chromium-browser', 'google-chrome')
  program = next(filter(None, map(shutil.which, names)), None)
  if program is None:
    pytest.skip(f'no browser: none of {", ".join(names)} is installed')
  return subprocess.run(
    [program, '--headless', '--no-sandbox', '--disable-gpu', *arguments],
    capture_output=True,
    text=True,
    timeout=120,
  )


def unfiltered_rows(path):
  """Rows of a PNG of 8 bits a channel, still filtered: enough to compare."""
  data = path.read_bytes()
  assert data[:8] == b'\x89PNG\r\n\x1a\n'
  position, packed = 8, b''
  while position < len(data):
    length, kind = struct.unpack('>I4s', data[position : position + 8])
    body = data[position + 8 : position + 8 + length]
    if kind == b'IHDR':
      width, height = struct.unpack('>II', body[:8])
    if kind == b'IDAT':
      packed += body
    position += length + 12
  raw = zlib.decompress(packed)
  line = len(raw) // height
  return width, height, [raw[i : i + line] for i in range(0, len(raw), line)]


@pytest.mark.system
def test_a_browser_shows_the_page_and_runs_nothing(tmp_path):
  folder = run_files.full_run(tmp_path / 'run')
  report = page.save(run_data.read(folder))
  picture = tmp_path / 'page.png'
  result = chromium(
    '--dump-dom',
    f'--user-data-dir={tmp_path / "profile"}',
    report.as_uri(),
  )
  assert result.returncode == 0, result.stderr
  elements = Elements(result.stdout)
  # As it was written: nothing of the text became an element.
  written = Elements(report.read_text(encoding='utf-8'))
  for tag in ('table', 'tr', 'td', 'details', 'svg', 'path'):
    assert len(elements.named(tag)) == len(written.named(tag)) > 0, tag
  success = Elements(part(result.stdout, 'results')).named('tr')
  assert len(success) == 1 + 3
  # Two steps and one, and that one under the failures; two methods.
  assert len(elements.of_class('track')) == (2 + 1 + 1) * 2
  assert len(elements.named('script')) == 1 and not elements.named('img')
  title = re.search(r'<title>(.*?)</title>', result.stdout).group(1)
  assert title == 'gigpo: run'

  result = chromium(
    f'--screenshot={picture}',
    '--window-size=1280,1600',
    f'--user-data-dir={tmp_path / "profile"}',
    report.as_uri(),
  )
  assert result.returncode == 0, result.stderr
  width, height, rows = unfiltered_rows(picture)
  assert (width, height) == (1280, 1600)
  # A blank page has one kind of row; table, curves and bars have hundreds.
  assert len(set(rows)) > 300


@pytest.mark.system
def test_a_browser_would_run_the_same_text_unescaped(tmp_path):
  # Else the test above could not fail.
  bare = tmp_path / 'bare.html'
  bare.write_text(f'<title>bare</title><body>{run_files.SCRIPT}')
  result = chromium(
    '--dump-dom', f'--user-data-dir={tmp_path / "profile"}', bare.as_uri()
  )
  assert '<title>broken in</title>' in result.stdout
