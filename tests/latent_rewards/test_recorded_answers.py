"""Answers come back as they were recorded, and only to the same questions."""

import json

import pytest

from jaxcredit.latent_rewards import language_model, recorded_answers
from tests.latent_rewards import scripted_model

ASKED = [{'role': 'user', 'content': 'write'}]
MORE = [*ASKED, {'role': 'assistant', 'content': 'x\u00e9'}]


@pytest.fixture
def folder(tmp_path):
  model = recorded_answers.Recorder(
    scripted_model.ScriptedModel('a', 'b', 'c'), tmp_path / 'answers'
  )
  assert isinstance(model, language_model.LanguageModel)
  assert model.complete(ASKED, 2, 1.0, 0) == ['a', 'b']
  assert model.complete(MORE, 1, 0.3, 1) == ['c']
  return tmp_path / 'answers'


def test_they_come_back(folder):
  model = recorded_answers.RecordedAnswers(folder)
  assert isinstance(model, language_model.LanguageModel)
  assert model.name == 'recorded: scripted'
  assert model.complete(ASKED, 2, 1, 0) == ['a', 'b']
  assert model.complete(MORE, 1, 0.3, 1) == ['c']
  with pytest.raises(language_model.LanguageModelError, match='asks for more'):
    model.complete(MORE, 1, 0.3, 2)


@pytest.mark.parametrize(
  'request_',
  [(MORE, 2, 1.0, 0), (ASKED, 1, 1.0, 0), (ASKED, 2, 0.9, 0),
   (ASKED, 2, 1.0, 1)],
)  # fmt: skip
def test_another_request_is_refused(folder, request_):
  model = recorded_answers.RecordedAnswers(folder)
  with pytest.raises(
    language_model.LanguageModelError, match='another request'
  ):
    model.complete(*request_)


@pytest.mark.parametrize(
  'text', ['', '{}', '[]', '[' * 99_999, '{"answers": [1], "model": "m"}']
)
def test_files_that_are_none(folder, text):
  (folder / '001.json').write_text(text)
  model = recorded_answers.RecordedAnswers(folder)
  model.complete(ASKED, 2, 1.0, 0)
  with pytest.raises(language_model.LanguageModelError, match='001.json is no'):
    model.complete(MORE, 1, 0.3, 1)


def test_folders_that_are_none(folder, tmp_path):
  with pytest.raises(FileNotFoundError, match='no recorded answers'):
    recorded_answers.RecordedAnswers(tmp_path)
  with pytest.raises(FileExistsError, match='not an empty folder'):
    recorded_answers.Recorder(scripted_model.ScriptedModel('a'), folder)


def test_files_are_plain(folder):
  record = json.loads((folder / '000.json').read_text())
  assert record['answers'] == ['a', 'b'] and record['model'] == 'scripted'
