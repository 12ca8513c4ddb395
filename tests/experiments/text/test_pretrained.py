"""A run that starts from a model in Hugging Face form."""

import json

import numpy as np
import pytest

from tests.experiments import script, tiny_qwen

pytestmark = pytest.mark.system

FLAGFILE = 'experiments/flagfiles/gigpo/alfworld_qwen2_5_1_5b.cfg'
# The published settings, on a scale that two cores can bear.
SMALL = (
  f'--flagfile={FLAGFILE}', '--groups=1', '--group_size=2', '--max_steps=2',
  '--max_new_tokens=4', '--row_tokens=640', '--chunk=640', '--iterations=1',
  '--micro_batch_tokens=1280', '--generated_games=1', '--evaluation_count=2',
  '--notensorboard', '--compilation_cache=', '--save_episodes_every=1',
)  # fmt: skip


def test_the_published_settings_run(tmp_path):
  model = tiny_qwen.write(tmp_path / 'qwen')
  folder = tmp_path / 'run'
  done = script.run(*SMALL, f'--run={folder}', f'--pretrained={model}')
  assert done.returncode == 0, done.stdout + done.stderr
  words = done.stdout
  assert '512 tokens' in words
  assert 'before training: 0 of 2 games won' in words
  assert (folder / 'report.html').exists()
  records = [
    json.loads(line)
    for line in (folder / 'metrics.jsonl').read_text().splitlines()
  ]
  (train,) = [r for r in records if r['stage'] == 'train']
  assert train['failed_episodes'] == 0
  assert train['steps'] == 4
  # Its draws are noise, but entropy and divergence have gradients.
  assert train['gradient_norm'] > 0
  assert train['entropy'] == pytest.approx(np.log(512), rel=0.2)
  assert train['skipped_updates'] == 0
  episodes = [
    json.loads(line)
    for line in (folder / 'episodes.jsonl').read_text().splitlines()
  ]
  assert len(episodes) == 2
  # A step of a row each, with an answer that the format read.
  assert all(len(e['steps']) == 2 for e in episodes)
  assert not any(step['valid'] for e in episodes for step in e['steps'])
