"""A stored function is read as data, and taken only if it is the same."""

import json

import pytest

from jaxcredit.latent_rewards import (
  examination,
  examples,
  language,
  stored,
  tasks,
  verification,
)

TASK = tasks.named('reacher')
RECORDED = TASK.random_transitions(0, 32)
SOURCE = examples.source('reacher', 'partial')


@pytest.fixture(scope='module')
def process():
  process = verification.make_process()
  yield process
  process.close()


@pytest.fixture
def path(tmp_path):
  program = language.check(SOURCE)
  reward = stored.LatentReward(
    program,
    examination.examine(program, RECORDED, whole_batch=False),
    'reacher',
    {'model': 'nobody', 'date': '2024-01-01', 'messages': [{'role': 'user'}]},
  )
  stored.save(reward, tmp_path / 'folder' / 'reward.json')
  return tmp_path / 'folder' / 'reward.json'


def change(path, **changes):
  record = json.loads(path.read_text())
  path.write_text(json.dumps({**record, **changes}))


def test_it_comes_back(path, process):
  reward = stored.load(path, TASK, RECORDED, process=process)
  assert reward.program.source == SOURCE
  assert reward.provenance['model'] == 'nobody'
  assert reward.report.rows == 32
  record = json.loads(path.read_text())
  assert record['sha256'] == language.sha256(SOURCE)
  assert record['verification']['rows'] == 32
  assert sorted(p.name for p in path.parent.iterdir()) == ['reward.json']
  hashes = {record['sha256']}
  stored.load(path, TASK, RECORDED, approved=hashes, process=process)


def test_a_file_is_not_written_over(path):
  with pytest.raises(FileExistsError, match='choose another name'):
    stored.save(None, path)


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'source': SOURCE + ' '}, 'not the one that was accepted'),
    ({'sha256': '0' * 64}, 'not the one that was accepted'),
    ({'task': 'walker2d'}, 'is for walker2d'),
    ({'parameters': ['observation']}, 'is for reacher with'),
    ({'format': 'other'}, 'no latent reward of the format'),
    ({'source': 3}, 'source is missing, or no str'),
    ({'provenance': None}, 'provenance is missing'),
    ({'source': '\ud800'}, 'source is no text'),
  ],
)
def test_what_was_changed_is_refused(path, changes, words):
  change(path, **changes)
  with pytest.raises(ValueError, match=words) as caught:
    stored.load(path, TASK, RECORDED)
  assert str(path) in str(caught.value)


def test_with_a_hash_that_fits_it_is_still_checked(path, process):
  for source, words in (
    ('import os', 'line 1: import'),
    ('def factors(observation, action):\n  return []', 'no list of factors'),
  ):
    change(path, source=source, sha256=language.sha256(source))
    with pytest.raises(ValueError, match=words):
      stored.load(path, TASK, RECORDED, process=process)


def test_only_what_was_approved(path):
  with pytest.raises(ValueError, match='nobody approved'):
    stored.load(path, TASK, RECORDED, approved=())


@pytest.mark.parametrize('text', ['', '[]', '[' * 100_000, '{', '"x"'])
def test_files_that_are_none(tmp_path, text):
  path = tmp_path / 'x.json'
  path.write_text(text)
  with pytest.raises(ValueError, match='x.json is no'):
    stored.load(path, TASK, RECORDED)
