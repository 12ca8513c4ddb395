"""What the README shows works, and what it names exists."""

import re
import runpy

import numpy as np

import jaxcredit
from tests import distribution, readme


def run(block: str, folder) -> dict:
  """Executes a block of the README and returns its variables."""
  script = folder / 'example.py'
  script.write_text(block, encoding='utf-8')
  return runpy.run_path(str(script))


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


def test_table_names_the_public_modules():
  rows = re.findall(r'^\| (`[^|]*) \|', readme.text(), re.M)
  named = [name for row in rows for name in re.findall(r'`(\w+)`', row)]
  assert sorted(named) == sorted(jaxcredit.__all__)
  for name in named:
    assert hasattr(jaxcredit, name), name


def test_results_in_the_table_of_methods_are_in_results():
  """Each number stands in the section of docs/results.md that is linked."""
  results = (distribution.REPOSITORY / 'docs' / 'results.md').read_text(
    encoding='utf-8'
  )
  sections = {}
  for section in re.split(r'^##+ ', results, flags=re.M)[1:]:
    title = section.partition('\n')[0].lower().replace(' ', '-')
    sections[re.sub(r'[^\w-]', '', title)] = section
  linked = re.findall(
    r'\[([^]]+)\]\(docs/results\.md#([\w-]+)\)', readme.text()
  )
  assert len(linked) >= 8
  for said, anchor in linked:
    mean = re.search(r'\d[\d.,]*\d', said)[0]
    if spread := re.search(r'\(sd ([\d.]+)\)', said):
      mean = f'{mean} ± {spread[1]}'
    assert mean in sections[anchor], said


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
  assert {'docs/results.md', 'jaxcredit/algorithms/'} <= paths
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
