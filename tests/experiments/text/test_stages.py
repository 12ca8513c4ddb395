"""What a run is made of, and episodes that its environments lose."""

import dataclasses
import pathlib
import re
import types

import pytest

from experiments.text import build_loop as training_loop
from experiments.text import policy_options
from experiments.text import stages as text_training
from jaxcredit.rollouts import pool as pool_lib


def test_every_setting_is_used():
  source = ''.join(
    pathlib.Path(module.__file__).read_text('utf-8')
    for module in (text_training, training_loop)
  )
  for field in dataclasses.fields(text_training.Settings):
    assert re.search(rf'\bsettings\.{field.name}\b', source), field.name


@pytest.mark.parametrize('longest', [16, 192, 193, 512, 1024, 2560])
def test_rows_are_padded_to_few_lengths(longest):
  lengths = training_loop.row_lengths(longest)
  assert lengths[-1] == longest
  assert lengths == sorted(set(lengths))
  assert lengths[0] <= 192
  assert all(b <= 1.5 * a for a, b in zip(lengths, lengths[1:], strict=False))


@pytest.fixture
def training():
  """A run whose pool has reported failures."""
  settings = types.SimpleNamespace(
    run=pathlib.Path('nowhere'),
    text_format=None,
    limits=None,
    policy=policy_options.PolicyOptions(),
  )
  domain = types.SimpleNamespace(task_sentence=str)
  run = text_training.TextTraining(settings, domain, None, None)
  run.pool = types.SimpleNamespace(
    failures=[
      pool_lib.Failure(i, f'reason {i}', f'task {i}', i + 1) for i in range(6)
    ],
    count=4,
  )
  return run


def test_reasons_of_lost_episodes_are_shown(training, capsys):
  training._report_failures(6, False)
  assert capsys.readouterr().out == ''
  training._report_failures(4, False)
  assert capsys.readouterr().out.splitlines() == [
    "  an episode was lost: reason 4 (environment 4, step 5 of 'task 4')",
    "  an episode was lost: reason 5 (environment 5, step 6 of 'task 5')",
  ]
  # One cause can cost a whole batch: a few words are enough.
  training._report_failures(1, False)
  assert capsys.readouterr().out.splitlines() == [
    *(
      f'  an episode was lost: reason {i} (environment {i}, step {i + 1} of '
      f"'task {i}')"
      for i in (1, 2, 3)
    ),
    '  and 2 more',
  ]


def test_a_batch_that_is_lost_whole_ends_the_run(training):
  with pytest.raises(ValueError, match='all episodes were lost: reason 4'):
    training._report_failures(4, True)


def test_a_tokenizer_of_another_policy(training):
  tokenizer = types.SimpleNamespace(vocab_size=500)
  with pytest.raises(ValueError, match='500 tokens, the policy 499: they do n'):
    training._prepare_policy(tokenizer, types.SimpleNamespace(vocab_size=499))
  training._prepare_policy(tokenizer, types.SimpleNamespace(vocab_size=512))
  assert training.tokenizer is tokenizer
