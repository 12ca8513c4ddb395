"""What the README shows works, and what it names exists."""

import re
import runpy

import numpy as np

import jaxcredit
from jaxcredit import methods
from tests import distribution, readme

# Of the table of methods, what gives no credit to a batch of trajectories.
OTHERS = {'DynLin-UCB', 'DAPO'}


def run(block: str, folder) -> dict:
  """Executes a block of the README and returns its variables."""
  script = folder / 'example.py'
  script.write_text(block, encoding='utf-8')
  return runpy.run_path(str(script))


def test_it_fits_on_a_page():
  assert len(readme.text().splitlines()) < 150


def test_blocks_run_and_shapes_are_as_claimed(tmp_path):
  blocks = readme.python_blocks()
  assert blocks
  claimed = 0
  for block in blocks:
    variables = run(block, tmp_path)
    for name, shape in readme.shape_claims(block).items():
      assert readme.value(variables, name).shape == shape, name
      claimed += 1
  assert claimed


def test_example_gives_the_credit_that_it_describes(tmp_path):
  text = readme.text()
  assert 'G = 4' in text and 'S = 3' in text
  variables = run(readme.python_blocks()[0], tmp_path)
  credit, mask = variables['credit'], np.asarray(variables['mask'])
  assert mask.shape == (4, 3)
  parts = (credit.total, credit.episode, credit.step, credit.anchor_group)
  assert [part.shape for part in parts] == [(4, 3)] * 4
  # Returns 10, 10, 0, 0: 5 away from their mean, deviation sqrt(100 / 3).
  against_companions = np.array([[1], [1], [-1], [-1]]) * np.sqrt(3) / 2
  np.testing.assert_allclose(
    credit.episode, against_companions * mask, atol=1e-5
  )
  np.testing.assert_allclose(
    credit.total, credit.episode + credit.step, atol=1e-6
  )
  # Equal anchors are one state, named by its first step.
  np.testing.assert_array_equal(
    credit.anchor_group, [[0, 1, 2], [0, 2, -1], [0, 1, 1], [0, 1, 2]]
  )
  # All four start in state 7: two win, the sooner one is worth more there.
  assert credit.step[1, 0] > credit.step[0, 0] > 0 > credit.step[2, 0]


def test_printed_output_is_what_the_example_prints(tmp_path, capsys):
  (block,) = readme.python_blocks()
  (shown,) = re.findall(r'^```text\n(.*?)^```$', readme.text(), re.M | re.S)
  run(block, tmp_path)
  assert capsys.readouterr().out == shown


def rows_of_methods() -> dict[str, list[str]]:
  """The cells of the table of methods, by label."""
  lines = re.findall(r'^\| (.*\]\(https://arxiv.*) \|$', readme.text(), re.M)
  rows = [line.split(' | ') for line in lines]
  found = {row[0]: row for row in rows}
  assert len(found) == len(rows)
  return found


def test_table_has_the_methods_as_they_are():
  """Label, paper and unit are those of the one table of methods."""
  rows = rows_of_methods()
  known = {method.label: method for method in methods.TABLE.values()}
  assert rows.keys() == known.keys() | OTHERS
  for label, method in known.items():
    _, paper, function, unit, *rest = rows[label]
    link = f'[{method.paper}](https://arxiv.org/abs/{method.paper})'
    assert paper == link, label
    assert unit == method.unit, label
    assert re.fullmatch(r'`\w+\.\w+`', function), label
    assert len(rest) == 2, label


def test_results_in_the_table_of_methods_are_in_results():
  """Each number stands in the section of docs/results that is linked."""
  sections = {}
  for page in (readme.DOCS / 'results').glob('*.md'):
    text = page.read_text(encoding='utf-8')
    for section in re.split(r'^##+ ', text, flags=re.M)[1:]:
      title = section.partition('\n')[0].lower().replace(' ', '-')
      sections[page.stem, re.sub(r'[^\w-]', '', title)] = section
  linked = re.findall(
    r'\[([^]]+)\]\(docs/results/(\w+)\.md#([\w-]+)\)', readme.text()
  )
  assert len(linked) >= 8
  for said, page, anchor in linked:
    mean = re.search(r'\d[\d.,]*\d', said)[0]
    if spread := re.search(r'\(sd ([\d.]+)\)', said):
      mean = f'{mean} ± {spread[1]}'
    assert mean in sections[page, anchor], said


def test_credit_accuracy_is_that_of_the_results():
  """Six of the rows, unchanged, and the number of all of them."""
  page = readme.DOCS / 'results' / 'credit_accuracy.md'
  pattern = re.compile(r'(?:^\| method \| key_door .*\n)(?:^\|.*\n)+', re.M)
  table = pattern.search(page.read_text(encoding='utf-8'))[0].splitlines()
  shown = pattern.search(readme.text())[0].splitlines()
  assert shown[:2] == table[:2]
  assert len(shown) == 2 + 6
  assert set(shown) <= set(table)
  assert f'[All {len(table) - 2} rows]' in readme.text()


def test_commands_write_to_folders_of_their_own():
  shown = readme.commands(readme.text())
  assert {command.module for command in shown} >= {
    'experiments.credit_accuracy'
  }
  # `make run` is one of them.
  makefile = (distribution.REPOSITORY / 'Makefile').read_text(encoding='utf-8')
  folder = re.search(r'^RUN \?= (.*)$', makefile, re.M)[1]
  folders = [command.folder() for command in shown] + [folder]
  assert len(set(folders)) == len(folders)
  assert f'`{folder}`' in readme.text()


def test_functions_in_the_text_exist():
  modules = '|'.join(jaxcredit.__all__)
  functions = re.findall(rf'`({modules})\.(\w+)`', readme.text())
  assert functions
  files = {'html', 'jsonl'}
  for module, function in functions:
    assert function in files or callable(
      getattr(getattr(jaxcredit, module), function)
    )


def test_links_and_paths_exist():
  text = readme.text()
  paths = set(re.findall(r'\]\((?!http)([^)#]+)\)', text))
  # In code, at a word's beginning and whole.
  paths |= set(
    re.findall(
      r'(?<![\w./-])((?:jaxcredit|experiments|tests|docs)/[\w./-]*)', text
    )
  )
  assert {'docs/results/index.md', 'jaxcredit/algorithms/'} <= paths
  for path in paths:
    assert (distribution.REPOSITORY / path).exists(), path


def test_extras_and_targets_exist():
  text = readme.text()
  named = [
    extra
    for listed in re.findall(r"'\.\[([\w,]+)\]'", text)
    for extra in listed.split(',')
  ]
  assert named
  assert set(named) <= distribution.extras().keys()
  makefile = (distribution.REPOSITORY / 'Makefile').read_text(encoding='utf-8')
  targets = re.findall(r'\bmake (\w[\w-]*)\b', text)
  assert {'run', 'test'} <= set(targets)
  for target in targets:
    assert re.search(rf'^{target}:', makefile, re.M), target
