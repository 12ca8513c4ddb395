"""The engine against transcripts of ALFWorld's own."""

import functools
import json
import lzma

import pytest

from jaxcredit.environments import household
from tests.shared_data import shared_data


@functools.cache
def transcripts():
  path = shared_data('alfworld_games') / 'golden_transcripts.jsonl.xz'
  with lzma.open(path, 'rt', encoding='utf-8') as file:
    return [json.loads(line) for line in file]


@functools.cache
def games():
  return household.load_games(
    shared_data('alfworld_games') / 'valid_unseen.jsonl.xz'
  )


@pytest.mark.parametrize('number', range(48))
def test_transcript(number):
  transcript = transcripts()[number]
  environment = household.HouseholdEnvironment(wording=transcript['engine'])
  seen = environment.reset(games()[transcript['index']])
  assert seen.observation == transcript['obs0']
  assert list(seen.admissible) == transcript['adm0']
  for step in transcript['steps']:
    seen = environment.step(step['a'])
    assert seen.observation == step['obs'], step['a']
    assert list(seen.admissible) == step['adm'], step['a']
    assert seen.reward == step['r']
    assert seen.terminated == step['done']
  assert seen.terminated == transcript['won']
