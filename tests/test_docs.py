"""The documentation: its code runs, its names exist, and it builds."""

import importlib.util
import pathlib
import pkgutil
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

import jaxcredit
from jaxcredit import methods
from tests import distribution, readme
from tests.algorithms import test_docstrings

DOCS = readme.DOCS
PAGES = readme.pages()
COMING_FROM = DOCS / 'coming_from.md'


def variables_of(block: str, folder: pathlib.Path) -> dict:
  script = folder / 'example.py'
  script.write_text(block, encoding='utf-8')
  return runpy.run_path(str(script))


def blocks(page: pathlib.Path) -> list[str]:
  return readme.python_blocks_of(page.read_text(encoding='utf-8'))


def test_code_runs_and_shapes_are_as_claimed(tmp_path):
  assert len(blocks(COMING_FROM)) == 4
  for block in blocks(COMING_FROM):
    variables = variables_of(block, tmp_path)
    claims = readme.shape_claims(block)
    assert claims
    for name, shape in claims.items():
      assert np.shape(readme.value(variables, name)) == shape, name


def test_verls_batch_gets_verls_advantages(tmp_path):
  """Mean and unbiased deviation over the rows of one uid, 1e-6 added."""
  here = variables_of(blocks(COMING_FROM)[0], tmp_path)
  scores = here['token_level_rewards'].sum(axis=-1)
  expected = np.zeros_like(scores)
  for uid in set(here['uid']):
    rows = [i for i, name in enumerate(here['uid']) if name == uid]
    group = scores[rows]
    expected[rows] = (group - group.mean()) / (group.std(ddof=1) + 1e-6)
  expected = expected[:, None] * here['response_mask']
  np.testing.assert_allclose(here['advantages'], expected, atol=1e-5)


def test_verl_agents_steps_get_its_advantages(tmp_path):
  """By hand: returns 10 and 0, statistics over the steps; three doors."""
  here = variables_of(blocks(COMING_FROM)[1], tmp_path)
  episode = np.array([10.0, 10, 0, 0])
  episode = (episode - 5) / episode.std(ddof=1)
  returns = np.array([9.5, 10, 0, 0])
  doors = [0, 2, 3]
  step = np.zeros(4)
  step[doors] = returns[doors] - returns[doors].mean()
  step[doors] /= returns[doors].std(ddof=1)
  np.testing.assert_allclose(here['advantages'], episode + step, atol=1e-4)


def test_rows_in_order_get_the_advantages_of_their_groups(tmp_path):
  here = variables_of(blocks(COMING_FROM)[2], tmp_path)
  groups = np.asarray(here['rewards']).reshape(2, 4)
  relative = groups - groups.mean(axis=1, keepdims=True)
  deviation = groups.std(axis=1, ddof=1, keepdims=True)
  np.testing.assert_allclose(
    here['advantages'], (relative / (deviation + 1e-6)).ravel(), atol=1e-5
  )
  np.testing.assert_allclose(
    here['leave_one_out'], relative.ravel() * 4 / 3, atol=1e-6
  )


def test_questions_are_scored_as_the_page_says(tmp_path):
  page = DOCS / 'questions.md'
  here = variables_of(blocks(page)[0], tmp_path)
  claims = re.findall(r'^(\w+\..*)  # (.+)$', blocks(page)[0], re.M)
  assert len(claims) == 2
  for expression, result in claims:
    # The attempt of the block was the first; its claim is of one like it.
    here['environment'].reset(here['question'])
    assert eval(expression, here) == eval(result), expression  # noqa: S307


def test_bandits_run_as_the_page_says(tmp_path):
  (block,) = blocks(DOCS / 'bandits.md')
  # Shorter, and fewer of them: each is compiled and played the same way.
  short = block.replace('100_000', '1_000').replace(', 50)', ', 3)')
  here = variables_of(short, tmp_path)
  regret = here['history'].offline_regret[:, -1]
  assert regret.shape == (3,) and np.isfinite(regret).all()


def test_the_first_page_shows_code_that_runs(tmp_path):
  (block,) = blocks(DOCS / 'index.md')
  variables_of(block, tmp_path)


def test_commands_write_to_folders_of_their_own():
  """Over all pages, where the same command may be shown more than once."""
  shown = []
  for text in [readme.text(), *(p.read_text('utf-8') for p in PAGES)]:
    shown += readme.commands(text)
  assert len({command.folder() for command in shown}) > 10
  assert readme.collisions(shown) == {}


def test_collisions_are_found():
  flagfile = '--flagfile=experiments/flagfiles/gigpo/quick.cfg'
  text = f"""
    python -m experiments.gigpo {flagfile}
    .venv/bin/python -m experiments.gigpo {flagfile} \\
        --run=runs/other  # as it should be
    python -m experiments.gigpo --run=runs/overridden {flagfile}
    python -m experiments.tools.launch --processes=2 -- experiments.gigpo
"""
  shown = readme.commands(text)
  assert [command.folder() for command in shown] == [
    'runs/quick',
    'runs/other',
    # What stands behind overrides what stands before.
    'runs/quick',
    'runs/gigpo',
  ]
  assert readme.collisions(shown) == {'runs/quick': {shown[0], shown[2]}}


def test_modules_and_flagfiles_of_commands_exist():
  shown = []
  for text in [readme.text(), *(p.read_text('utf-8') for p in PAGES)]:
    shown += re.findall(r'(?<!-)-m\s+((?:experiments|jaxcredit)[\w.]*)', text)
    for path in re.findall(r'experiments/flagfiles/[\w/]+\.cfg', text):
      if 'NAME' not in path:
        assert (distribution.REPOSITORY / path).exists(), path
  assert len(shown) > 20
  for module in set(shown):
    assert importlib.util.find_spec(module), module


def test_every_page_is_in_the_index():
  for folder in {page.parent for page in PAGES}:
    if not (folder / 'index.md').exists():
      continue
    index = (folder / 'index.md').read_text(encoding='utf-8')
    listed = re.findall(r'^([\w/]+)$', index, re.M)
    for page in PAGES:
      if page.parent == folder and page.stem != 'index':
        assert page.stem in listed, page
  index = (DOCS / 'index.md').read_text(encoding='utf-8')
  for part in ('results', 'launching', 'reference'):
    assert f'\n{part}/index\n' in index


def test_the_reference_lists_the_public_modules():
  text = (DOCS / 'reference' / 'index.md').read_text(encoding='utf-8')
  rows = re.findall(r'^\| (`[^|]*) \|', text, re.M)
  named = [name for row in rows for name in re.findall(r'`(\w+)`', row)]
  assert sorted(named) == sorted(jaxcredit.__all__)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_functions_named_on_a_page_exist(page):
  modules = '|'.join(jaxcredit.__all__)
  text = page.read_text(encoding='utf-8')
  for module, name in re.findall(rf'`({modules})\.(\w+)', text):
    if name not in {'cfg', 'html', 'json', 'jsonl', 'md', 'py'}:
      assert hasattr(getattr(jaxcredit, module), name), f'{module}.{name}'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
  text = page.read_text(encoding='utf-8')
  for link in re.findall(r'\]\((?!http|#)([^)#\s]+)', text):
    assert (page.parent / link).exists(), link


def test_the_papers_page_has_every_method():
  """What computes credit has a row of the table of methods."""
  text = (DOCS / 'from_the_papers.md').read_text(encoding='utf-8')
  table = text[: text.index('\n## ')]
  # What brings data into shape has no paper.
  without = {'fingerprints', 'packing', 'returns', 'step_tokens', 'types'}
  without |= {'credit_quality'}  # judges credit
  without |= {'dynlin_ucb_epochs'}  # another way to run dynlin_ucb
  for module in set(jaxcredit.__all__) - without:
    assert f'`{module}`' in table, module


def test_picture_of_the_readme_is_drawn_from_its_example(tmp_path):
  pytest.importorskip('matplotlib', reason='an extra: train')
  drawn = runpy.run_path(str(DOCS / 'draw_credit.py'))
  anchors, mask, arrays = drawn['credits']()
  example = variables_of(readme.python_blocks()[0], tmp_path)
  np.testing.assert_array_equal(anchors * mask, example['anchors'] * mask)
  grpo_part, total = arrays.values()
  np.testing.assert_allclose(grpo_part, example['credit'].episode)
  np.testing.assert_allclose(total, example['credit'].total)
  drawn['draw'](tmp_path / 'credit.svg')
  shown = re.compile('<!-- (.*?) -->')
  texts = shown.findall((tmp_path / 'credit.svg').read_text())
  assert texts == shown.findall((DOCS / 'credit.svg').read_text())
  assert any(f'{float(total[1, 1]):+.2f}' in text for text in texts)


def test_reference_has_every_module():
  text = ''.join(
    page.read_text(encoding='utf-8')
    for page in (DOCS / 'reference').glob('*.md')
  )
  modules = re.findall(r'automodule:: (\S+)', text)
  assert len(modules) == len(set(modules))
  # MODULES leaves out what nobody imports from outside, algorithms/internal.
  expected = {module.__name__ for module in test_docstrings.MODULES.values()}
  assert not any('.internal' in name for name in expected)
  expected |= {'jaxcredit.types', 'jaxcredit.integrations.rows_in_order'}
  files = pkgutil.iter_modules(methods.__path__, 'jaxcredit.methods.')
  expected |= {'jaxcredit.methods', *(file.name for file in files)}
  assert set(modules) == expected


@pytest.mark.slow
@pytest.mark.parametrize('broken', [False, True])
def test_builds_without_warnings(broken, tmp_path):
  """As `make docs` does; and a warning is an error there."""
  for name in ('sphinx', 'myst_parser', 'furo'):
    if importlib.util.find_spec(name) is None:
      pytest.skip(f'{name} is not installed: make docs')
  source = tmp_path / 'docs'
  source.mkdir()
  for path in DOCS.rglob('*'):
    if path.is_file() and '_build' not in path.parts:
      target = source / path.relative_to(DOCS)
      target.parent.mkdir(exist_ok=True)
      target.write_bytes(path.read_bytes())
  if broken:
    index = source / 'index.md'
    index.write_text(index.read_text() + '\n[nowhere](nowhere.md)\n')
  result = subprocess.run(
    [sys.executable, '-m', 'sphinx', '--fail-on-warning', '-q', '-b', 'html']
    + [str(source), str(tmp_path / 'built')],
    capture_output=True,
    text=True,
    cwd=distribution.REPOSITORY,
    timeout=500,
  )
  if broken:
    assert result.returncode != 0 and 'nowhere' in result.stderr
    return
  assert result.returncode == 0, result.stderr
  groups = (tmp_path / 'built' / 'reference' / 'groups.html').read_text()
  assert 'gigpo.advantages' in groups and 'episode_statistics' in groups
