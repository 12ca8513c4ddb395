"""The parts of a run, and episodes that its environments lose."""

import dataclasses
import pathlib
import re
import types

import pytest

from experiments.text import policy_options
from experiments.text import settings as settings_lib
from experiments.text import training as training_lib
from jaxcredit import methods
from jaxcredit.networks import config as config_lib
from jaxcredit.rollouts import collector
from jaxcredit.rollouts import pool as pool_lib
from jaxcredit.training import critic, loop, policy_gradient

FOLDER = pathlib.Path(training_lib.__file__).parent


def options_of(kind):
  """Names of the fields that make flags."""
  return [f.name for f in dataclasses.fields(kind) if 'help' in f.metadata]


@pytest.mark.parametrize(
  ('name', 'kind'),
  [
    ('warm_start', settings_lib.WarmStartOptions),
    ('learner', settings_lib.LearnerOptions),
    ('overlap', settings_lib.OverlapOptions),
    ('run', settings_lib.RunOptions),
  ],
)
def test_every_option_of_the_settings_is_used(name, kind):
  source = ''.join(
    path.read_text('utf-8')
    for path in FOLDER.glob('*.py')
    if path.name not in ('settings.py', 'flags.py')
  )
  # Short names of a group within a file.
  source = re.sub(r'\boptions\.', f'settings.{name}.', source)
  source += (
    (FOLDER / 'settings.py').read_text('utf-8').replace('self.', 'settings.')
  )
  for field in options_of(kind):
    assert re.search(rf'settings\.{name}\.{field}\b', source), field


@pytest.mark.parametrize(
  'kind',
  [
    settings_lib.FormatOptions,
    settings_lib.WarmStartOptions,
    settings_lib.LearnerOptions,
    settings_lib.OverlapOptions,
    settings_lib.RunOptions,
    policy_options.SizeOptions,
    policy_options.PolicyOptions,
    loop.LoopOptions,
    policy_gradient.LossOptions,
    critic.CriticOptions,
    *dict.fromkeys(method.options for method in methods.TABLE.values()),
  ],
)
def test_numbers_that_make_no_sense_are_refused(kind):
  """NaN, infinities, and what lies below the least value."""
  refused = 0
  for field in dataclasses.fields(kind):
    if isinstance(field.default, bool) or 'help' not in field.metadata:
      continue
    if isinstance(field.default, float):
      for value in (float('nan'), float('inf')):
        with pytest.raises(ValueError, match=field.name):
          kind(**{field.name: value})
    low = field.metadata['low']
    if low is not None:
      with pytest.raises(ValueError, match=field.name):
        kind(**{field.name: low - 1})
      refused += 1
    if field.metadata['choices'] is not None:
      with pytest.raises(ValueError, match=field.name):
        kind(**{field.name: 'none such'})
      refused += 1
  assert refused or not dataclasses.fields(kind)


def make_settings(row_tokens=1024, **options):
  """Settings of their defaults, but for what is given."""
  return settings_lib.Settings(
    **{
      'seed': 0,
      'pretrained': None,
      'start_from': None,
      'vocabulary': 300,
      'evaluation_temperature': 0.4,
      'format': settings_lib.FormatOptions(),
      'sizes': policy_options.SizeOptions(),
      'policy': policy_options.PolicyOptions(),
      'warm_start': settings_lib.WarmStartOptions(),
      'loop': loop.LoopOptions(),
      'loss': policy_gradient.LossOptions(),
      'critic': critic.CriticOptions(),
      'limits': collector.RolloutLimits(row_tokens=row_tokens),
      'learner': settings_lib.LearnerOptions(),
      'overlap': settings_lib.OverlapOptions(),
      'run': settings_lib.RunOptions(),
      **options,
    }
  )


@pytest.mark.parametrize('longest', [16, 192, 193, 512, 1024, 2560])
def test_rows_are_padded_to_few_lengths(longest):
  lengths = make_settings(longest).lengths
  assert lengths[-1] == longest
  assert lengths == sorted(set(lengths))
  assert lengths[0] <= 192
  assert all(b <= 1.5 * a for a, b in zip(lengths, lengths[1:], strict=False))


def make_training(method='gigpo', stages=(), settings=None, **options):
  found = methods.TABLE[method]
  domain = types.SimpleNamespace(task_sentence=str)
  return training_lib.TextTraining(
    settings or make_settings(),
    domain,
    found,
    found.options(**options),
    stages,
    None,
    pathlib.Path('nowhere'),
  )


@pytest.fixture
def training():
  """A run whose pool has reported failures."""
  run = make_training()
  run.pool = types.SimpleNamespace(
    failures=[
      pool_lib.Failure(i, f'reason {i}', f'task {i}', i + 1) for i in range(6)
    ],
    count=4,
  )
  return run


def test_a_need_that_no_stage_meets_is_named():
  with pytest.raises(ValueError, match='--method=spa cannot be trained here: '):
    make_training('spa')
  stage = types.SimpleNamespace(provides=frozenset({'contributions'}))
  make_training('spa', [stage])
  make_training('spa', redistribution='leave_one_out')


def test_credit_of_tokens_needs_an_episode_as_one_text():
  rebuilt = make_settings(format=settings_lib.FormatOptions('think_action'))
  make_training('gigpo', settings=rebuilt)
  with pytest.raises(ValueError, match='--method=tempo needs an episode as on'):
    make_training('tempo', settings=rebuilt)


@pytest.mark.parametrize('opened', [False, True])
@pytest.mark.parametrize('name', ['plain', 'message', 'think_action'])
def test_a_template_that_opens_thoughts_sets_the_format(name, opened):
  options = settings_lib.FormatOptions(name, repeat_task=False)
  training = make_training(settings=make_settings(format=options))
  training.pool = types.SimpleNamespace(count=4)
  tokenizer = types.SimpleNamespace(
    vocab_size=300, eos_id=0, opens_thoughts=opened
  )
  training.prepare_policy(tokenizer, tiny_config(300))
  assert training.text_format.thoughts_opened is opened
  assert training.collector._format is training.text_format
  assert training.text_format.read('look', True).text == (
    '' if opened else 'look'
  )


def test_two_policies_to_start_from():
  with pytest.raises(ValueError, match='give it without --pretrained'):
    make_settings(pretrained='a', start_from='b')


def test_reasons_of_lost_episodes_are_shown(training, capsys):
  training.report_failures(6, False)
  assert capsys.readouterr().out == ''
  training.report_failures(4, False)
  assert capsys.readouterr().out.splitlines() == [
    "  an episode was lost: reason 4 (environment 4, step 5 of 'task 4')",
    "  an episode was lost: reason 5 (environment 5, step 6 of 'task 5')",
  ]
  # One cause can cost a whole batch: a few words are enough.
  training.report_failures(1, False)
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
    training.report_failures(4, True)


def tiny_config(vocabulary):
  return config_lib.DecoderConfig(
    vocab_size=vocabulary, width=8, layers=1, heads=1, kv_heads=1, head_dim=8,
    hidden=8,
  )  # fmt: skip


def test_a_tokenizer_of_another_policy(training):
  tokenizer = types.SimpleNamespace(vocab_size=500, opens_thoughts=False)
  with pytest.raises(
    ValueError, match='500 tokens, the model 499: they do not'
  ):
    training.prepare_policy(tokenizer, tiny_config(499))
  config = tiny_config(512)
  training.prepare_policy(tokenizer, config)
  assert training.tokenizer is tokenizer
  assert training.config == config.for_tokenizer(500)
