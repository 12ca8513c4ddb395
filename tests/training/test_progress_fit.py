"""The progress estimator learns, keeps its best, and resumes bit by bit."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcredit import types
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, sharding
from jaxcredit.networks.heads import progress_head
from jaxcredit.rollouts import stored_rollouts
from jaxcredit.training import checkpoints as checkpoints_lib
from jaxcredit.training import packed_rows, progress_estimator, progress_fit

LENGTH = 16
STEPS = 4
GOOD = 3
CONFIG = config_lib.DecoderConfig(
  vocab_size=8,
  width=16,
  layers=1,
  heads=2,
  kv_heads=1,
  head_dim=8,
  hidden=24,
  tie_embeddings=False,
)
BASE = decoder.init(jax.random.key(0), CONFIG)


def make_rollouts(tasks=24, rollouts=4, seed=0):
  """Episodes of two to four steps, each a good action or not.

  The outcome is the share of four that were good, and so is the true progress.
  """
  rng = np.random.default_rng(seed)
  count = tasks * rollouts
  steps = rng.integers(2, STEPS + 1, count)
  mask = np.arange(STEPS) < steps[:, None]
  good = (rng.random((count, STEPS)) < 0.5) & mask
  tokens = np.zeros((count, LENGTH), np.int32)
  step_of_token = np.full((count, LENGTH), -1, np.int32)
  for e in range(count):
    for s in range(steps[e]):
      # The observation, the action, and the stop token.
      tokens[e, 4 * s : 4 * s + 3] = 1, GOOD if good[e, s] else 4, 2
      step_of_token[e, 4 * s + 1 : 4 * s + 3] = s
  progress = np.where(mask, np.cumsum(good, -1) / STEPS, np.nan)
  return stored_rollouts.Rollouts(
    rows=types.Rows(
      tokens=tokens,
      step_of_token=step_of_token,
      trajectory=np.arange(count, dtype=np.int32),
      length=(4 * steps - 1).astype(np.int32),
      log_probs=np.zeros((count, LENGTH), np.float32),
    ),
    task=np.repeat(np.arange(tasks, dtype=np.int32), rollouts),
    outcome=(good.sum(-1) / STEPS).astype(np.float32),
    success=good.any(-1),
    mask=mask,
    grounding=mask,
    progress=progress.astype(np.float32),
    actions=[[''] * n for n in steps],
  )


ROLLOUTS = make_rollouts()
SMALL = make_rollouts(tasks=8)


def make_estimator(mesh=None, base=BASE, sequences_per_row=1, **options):
  options = {
    'steps': 30, 'batch': 16, 'learning_rate': 1e-2, 'evaluate_every': 10,
    'held_out': 0.25, 'lora_rank': 2, **options,
  }  # fmt: skip
  return progress_estimator.ProgressEstimator(
    CONFIG,
    progress_estimator.EstimatorOptions(**options),
    base,
    steps=STEPS,
    micro_batch_tokens=8 * LENGTH,
    lengths=[LENGTH],
    sequences_per_row=sequences_per_row,
    mesh=mesh,
  )


def fit(estimator, rollouts=ROLLOUTS, **options):
  """State, steps done, and what was seen of the held-out tasks."""
  seen = []

  def on_step(step, metrics, found):
    seen.append((step, metrics, found))

  state, done = progress_fit.fit(
    estimator, rollouts, **{'seed': 0, 'on_step': on_step, **options}
  )
  return state, done, seen


@pytest.mark.parametrize('train', progress_estimator.TRAINED)
def test_it_learns(train):
  before = jax.tree.map(np.array, BASE)
  rate = 3e-2 if train == 'head' else 1e-2
  estimator = make_estimator(train=train, learning_rate=rate, steps=60)
  state, done, seen = fit(estimator)
  assert done == 60
  looks = [found for _, _, found in seen if found]
  assert len(looks) == 7
  # Before it learns it says 0.
  held = progress_fit.split_by_task(ROLLOUTS.task, 0.25, 0)
  assert looks[0]['held_out_loss'] == pytest.approx(
    (ROLLOUTS.outcome[held] ** 2).mean(), rel=1e-5
  )
  assert looks[-1]['held_out_loss'] < 0.1 * looks[0]['held_out_loss']
  assert looks[-1]['rank_correlation'] > 0.8
  assert looks[-1]['within_tolerance'] > looks[0]['within_tolerance']
  assert float(state.best_loss) == pytest.approx(
    min(look['held_out_loss'] for look in looks)
  )
  # What is not learned has no part in the state, and stays as it was.
  jax.tree.map(np.testing.assert_array_equal, BASE, before)
  names = {'full': {'trunk', 'progress'}, 'lora': {'trunk', 'progress'}}
  learned = state.learner.params
  assert set(learned) == names.get(train, {'progress'})
  if train == 'lora':
    assert set(learned['trunk']) == {'layers'}
    assert all(
      'kernel' not in part for part in learned['trunk']['layers'].values()
    )
  if train == 'full':
    assert 'head' not in learned['trunk']
    assert (
      learned['trunk']['final_norm']['scale'] != BASE['final_norm']['scale']
    ).any()


def test_adapters_change_nothing_at_first():
  rows = ROLLOUTS.rows
  head = progress_head.init_head(jax.random.key(3), CONFIG)
  head['out']['kernel'] = jax.random.normal(jax.random.key(4), (CONFIG.width,))
  said = {}
  for train in progress_estimator.TRAINED:
    estimator = make_estimator(train=train)
    learned = {**estimator.init(jax.random.key(1)), 'progress': head}
    said[train] = estimator.contributions(learned, rows)
  assert np.abs(said['full']).max() > 0.1
  np.testing.assert_array_equal(said['lora'], said['head'])
  np.testing.assert_allclose(said['full'], said['head'], atol=1e-6)
  assert not said['full'][~ROLLOUTS.mask].any()


def test_packed_rows_learn_the_same():
  alone, _, _ = fit(make_estimator(steps=3))
  together, _, _ = fit(make_estimator(steps=3, sequences_per_row=2))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
    alone.learner.params,
    together.learner.params,
  )


def test_a_mesh_learns_the_same():
  mesh = sharding.make_mesh(2, 2, 2)
  alone, _, _ = fit(make_estimator(steps=2, train='lora'))
  base = sharding.place(BASE, mesh)
  apart, _, _ = fit(make_estimator(mesh, base, steps=2, train='lora'))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
    alone.learner.params,
    apart.learner.params,
  )


def test_resumed_is_bitwise_undisturbed(tmp_path):
  whole, _, seen = fit(make_estimator(evaluate_every=4, steps=10, train='head'))
  found = []
  for stop in (3, 6, 99):
    with checkpoints_lib.Checkpoints(tmp_path / 'a', keep=1, every=5) as saved:
      state, done, _ = fit(
        make_estimator(evaluate_every=4, steps=10, train='head'),
        checkpoints=saved,
        should_stop=lambda s=stop: _steps(found) >= s,
        on_step=lambda *given: found.append(given),
      )
  assert done == 10
  assert [f[0] for f in found] == [f[0] for f in seen]
  assert str(found) == str(seen)
  jax.tree.map(np.testing.assert_array_equal, whole, state)
  params = checkpoints_lib.read_params(tmp_path / 'a')
  jax.tree.map(np.testing.assert_array_equal, params, whole.params)


def _steps(found):
  return max([step for step, _, _ in found], default=0)


def test_it_stops_when_it_gets_no_better():
  # So large a rate leads away from where it began.
  options = {'learning_rate': 10.0, 'patience': 2, 'evaluate_every': 1}
  state, done, seen = fit(make_estimator(train='head', **options))
  best = int(np.argmin([found['held_out_loss'] for _, _, found in seen]))
  assert done < 30
  assert int(state.best_step) == best == done - 2
  assert progress_fit.finished(state, done, make_estimator(patience=2).options)
  held = progress_fit.split_by_task(ROLLOUTS.task, 0.25, 0)
  part = progress_fit.part(ROLLOUTS, held)
  said = make_estimator(train='head').contributions(state.params, part.rows)
  assert progress_fit.quality(said, part)['held_out_loss'] == pytest.approx(
    float(state.best_loss)
  )


def test_tasks_are_held_out_whole():
  task = np.repeat(np.arange(20), 3)
  held = progress_fit.split_by_task(task, 0.1, 0)
  assert len(set(task[held])) == 2
  assert not set(task[held]) & set(task[~held])
  assert (held != progress_fit.split_by_task(task, 0.1, 1)).any()
  assert progress_fit.split_by_task(np.array([4, 7]), 0.9, 0).sum() == 1
  with pytest.raises(ValueError, match='1 task cannot be cut'):
    progress_fit.split_by_task(np.array([4, 4]), 0.5, 0)


# Another value of each option, and what else it needs to matter.
EFFECTS = {
  'train': ('lora', {}),
  'head': ('linear', {}),
  'hidden': (5, {}),
  'lora_rank': (3, {'train': 'lora'}),
  'lora_alpha': (2.0, {'train': 'lora'}),
  'lora_targets': (('q',), {'train': 'lora'}),
  'steps': (2, {}),
  'batch': (8, {}),
  'learning_rate': (0.02, {}),
  'warmup': (2, {}),
  'weight_decay': (0.5, {}),
  'clip_norm': (1e-3, {}),
  'held_out': (0.5, {}),
  'prefix_weight': (1.0, {}),
  'smoothness_weight': (1.0, {}),
  'monotone_weight': (1.0, {'learning_rate': 0.3}),
}
ELSEWHERE = {'evaluate_every', 'patience'}


def test_every_option_has_an_effect():
  names = {
    f.name for f in dataclasses.fields(progress_estimator.EstimatorOptions)
  }
  assert names == EFFECTS.keys() | ELSEWHERE
  plain = {}

  def learned(**options):
    # Adam's first step tells signs alone, and the head's first layer moves
    # from the second on.
    options = {'steps': 3, 'train': 'head', **options}
    state, _, _ = fit(make_estimator(**options), SMALL)
    leaves, tree = jax.tree.flatten(state.learner.params)
    return str(tree), [np.asarray(x).tolist() for x in leaves]

  for name, (value, others) in EFFECTS.items():
    key = str(others)
    if key not in plain:
      plain[key] = learned(**others)
    assert plain[key] != learned(**{**others, name: value}), name


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'train': 'none'}, "train must be one of full, head, lora, not 'none'"),
    ({'head': 'none'}, "head must be one of mlp, linear, logits, not 'none'"),
    ({'steps': 0}, 'must be positive'),
    ({'held_out': 1.0}, 'held_out must be in'),
  ],
)
def test_wrong_options(options, message):
  with pytest.raises(ValueError, match=message):
    progress_estimator.EstimatorOptions(**options)


def test_too_few_rollouts():
  with pytest.raises(ValueError, match='rollouts to learn from are fewer than'):
    fit(make_estimator(batch=500))


def test_logits_need_the_output_projection():
  estimator = make_estimator(head='logits', steps=2)
  state, _, _ = fit(estimator)
  assert 'head' in state.learner.params['trunk']
  assert state.params['progress']['logits']['kernel'].shape == (8,)
  given = packed_rows.apply(
    progress_head.contributions,
    state.learner.params,
    CONFIG,
    ROLLOUTS.rows,
    steps=STEPS,
  )
  mask = packed_rows.step_ends(ROLLOUTS.rows, STEPS) >= 0
  np.testing.assert_allclose(
    estimator.contributions(state.learner.params, ROLLOUTS.rows),
    given,
    atol=1e-6,
  )
  assert lora.PROJECTIONS and (np.asarray(mask) == ROLLOUTS.mask).all()
