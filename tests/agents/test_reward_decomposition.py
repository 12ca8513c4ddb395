"""Training of the network that redistributes returns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.references import numpy_return_decomposition
from jaxcredit import lare, running_statistics
from jaxcredit.agents import reward_decomposition as training
from jaxcredit.networks.heads import reward_decoder

CONFIG = reward_decoder.RewardDecoderConfig(3, hidden=8, layers=2)
KEY = jax.random.key(0)


def episodes(count=4, size=6, agents=0, seed=0, dtype=np.float32):
  """Episodes of random length whose masked features are NaN."""
  rng = np.random.default_rng(seed)
  lengths = rng.integers(3, size + 1, count)
  mask = np.arange(size) < lengths[:, None]
  if agents:
    mask = mask[:, None] & (rng.random((count, agents, size)) < 0.8)
  features = rng.normal(size=(*mask.shape, CONFIG.inputs)).astype(dtype)
  features = np.where(mask[..., None], features, np.nan).astype(dtype)
  returns = rng.normal(size=count).astype(dtype) * 3
  return training.Episodes(features, returns, mask)


def close(left, right, tolerance=1e-5):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(
      x, y, rtol=tolerance, atol=tolerance
    ),
    left,
    right,
  )


def copy(state):
  """The state, which a call donates."""
  return jax.tree.map(jnp.copy, state)


@pytest.mark.parametrize(('l2', 'unbiased'), [(0.0, True), (0.1, False)])
def test_updates_against_numpy(l2, unbiased):
  """Adam, its coupled penalty and all gradients, written out in float64."""
  with jax.enable_x64(True):
    batch = episodes(dtype=np.float64)
    optimizer = training.make_optimizer(3e-3, l2=l2)
    options = training.Options(k=3, unbiased=unbiased)
    update = training.make_update(CONFIG, optimizer, options)
    state = training.init(KEY, CONFIG, optimizer)
    reference = numpy_return_decomposition.ReturnDecomposition(
      [
        [np.asarray(layer['kernel']), np.asarray(layer['bias'])]
        for layer in (state.params[f'layer_{i}'] for i in range(CONFIG.layers))
      ],
      3e-3,
      l2,
    )
    for key in jax.random.split(KEY, 5):
      sample = lare.sample_steps(key, batch.mask, 3)
      expected = reference.update(
        np.nan_to_num(batch.features),
        batch.returns,
        batch.mask.sum(-1),
        np.asarray(sample.indices),
        unbiased,
      )
      state, metrics = update(state, batch, key)
      assert float(metrics['loss']) == pytest.approx(expected, rel=1e-9)
    assert int(state.updates) == 5
    for i in range(CONFIG.layers):
      layer = state.params[f'layer_{i}']
      close(layer['kernel'], reference.weights[2 * i], 1e-9)
      close(layer['bias'], reference.weights[2 * i + 1], 1e-9)


OPTIONS = {
  'rd': training.Options(k=None, form='sum', variance_weight=0.3),
  'all': training.Options(k=9),
  'replacement': training.Options(k=9, short='replacement', unbiased=False),
  'rrd': training.Options(k=2, form='sum'),
}


@pytest.mark.parametrize(
  ('name', 'agents'),
  [('rd', 3), ('all', 0), ('replacement', 3), ('rrd', 3)],
)
def test_loss_of_an_update(name, agents):
  """Put together from the functions, whole episodes evaluated first."""
  options, batch = OPTIONS[name], episodes(agents=agents)
  optimizer = training.make_optimizer()
  state = training.init(KEY, CONFIG, optimizer)
  rewards = training.step_rewards(state, CONFIG, batch.features, batch.mask)
  mask = batch.mask
  if agents:
    rewards = np.where(mask, rewards, 0).sum(axis=1)
    mask = mask.any(axis=1)
  if name in ('rd', 'all'):
    expected = lare.decomposition_loss(
      rewards, batch.returns, mask, form=options.form
    )
    expected += options.variance_weight * lare.temporal_variance(rewards, mask)
  else:
    sample = lare.sample_steps(KEY, mask, options.k, short=options.short)
    taken = np.take_along_axis(rewards, np.asarray(sample.indices), axis=-1)
    expected = lare.subsampled_loss(
      taken,
      batch.returns,
      sample.lengths,
      form=options.form,
      unbiased=options.unbiased,
    )
  update = training.make_update(CONFIG, optimizer, options)
  state, metrics = update(state, batch, KEY)
  assert float(metrics['loss']) == pytest.approx(float(expected), rel=1e-4)
  assert float(metrics['gradient_norm']) > 0
  assert int(state.updates) == 1
  assert int(state.skipped) == 0


def test_one_call_is_many_updates():
  buffer = episodes(count=7)
  optimizer = training.make_optimizer(1e-2)
  options = training.Options(k=3)
  state = training.init(KEY, CONFIG, optimizer)
  run = training.make_updates(CONFIG, optimizer, options, updates=4, batch=3)
  together, metrics = run(copy(state), buffer, KEY, 5)
  update = training.make_update(CONFIG, optimizer, options)
  losses = []
  for key in jax.random.split(KEY, 4):
    episode_key, step_key = jax.random.split(key)
    chosen = np.asarray(jax.random.randint(episode_key, (3,), 0, 5))
    batch = jax.tree.map(lambda x, chosen=chosen: x[chosen], buffer)
    state, one = update(state, batch, step_key)
    losses.append(float(one['loss']))
  close(together, state)
  np.testing.assert_allclose(metrics['loss'], losses, rtol=1e-5)


def test_the_part_of_a_buffer_that_is_empty_is_not_drawn():
  buffer = episodes(count=6)
  poisoned = dataclasses.replace(
    buffer,
    returns=np.where(np.arange(6) < 4, buffer.returns, np.nan),
  )
  optimizer = training.make_optimizer()
  run = training.make_updates(
    CONFIG, optimizer, training.Options(k=2), updates=20, batch=4
  )
  state, metrics = run(training.init(KEY, CONFIG, optimizer), poisoned, KEY, 4)
  assert np.isfinite(metrics['loss']).all()
  # No compilation for another size; from all of them, a NaN is drawn.
  state, metrics = run(state, poisoned, KEY, 6)
  assert run._cache_size() == 1
  assert np.isnan(metrics['loss']).any()
  assert int(state.skipped) == np.isnan(metrics['loss']).sum()
  assert int(state.updates) + int(state.skipped) == 40
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


def test_a_loss_that_is_not_finite_changes_nothing():
  batch = episodes()
  bad = batch.features.copy()
  bad[0, 0, 0] = np.nan
  optimizer = training.make_optimizer()
  state = training.init(KEY, CONFIG, optimizer)
  update = training.make_update(CONFIG, optimizer, training.Options(k=None))
  given = copy(state)
  after, metrics = update(given, dataclasses.replace(batch, features=bad), KEY)
  # What was given is donated.
  assert given.params['layer_1']['kernel'].is_deleted()
  assert np.isnan(metrics['loss'])
  assert int(after.skipped) == 1
  assert int(after.updates) == 0
  close((after.params, after.optimizer), (state.params, state.optimizer), 0)


def test_features_are_normalised_by_what_was_observed():
  batch = episodes()
  scaled = dataclasses.replace(batch, features=batch.features * 100 + 7)
  optimizer = training.make_optimizer()
  plain = training.init(KEY, CONFIG, optimizer)
  assert training.observe(plain, batch.features, batch.mask) is plain
  state = training.init(KEY, CONFIG, optimizer, normalise=True)
  state = training.observe(state, scaled.features, batch.mask)
  kept = batch.features[batch.mask].astype(np.float64)
  normal = (batch.features - kept.mean(axis=0)) / kept.std(axis=0)
  close(
    training.step_rewards(state, CONFIG, scaled.features, batch.mask),
    training.step_rewards(plain, CONFIG, normal, batch.mask),
    1e-4,
  )
  close(
    training.step_rewards(state, CONFIG, scaled.features, batch.mask),
    reward_decoder.step_rewards(
      state.params,
      CONFIG,
      running_statistics.apply(state.statistics, scaled.features, batch.mask),
      batch.mask,
    ),
  )
  update = training.make_update(CONFIG, optimizer, training.Options(k=2))
  _, given = update(state, scaled, KEY)
  _, expected = update(plain, dataclasses.replace(batch, features=normal), KEY)
  assert float(given['loss']) == pytest.approx(
    float(expected['loss']), rel=1e-3
  )


@pytest.mark.parametrize(('k', 'agents'), [(None, 2), (3, 0)])
def test_on_a_mesh_the_mean_is_that_of_all_episodes(k, agents):
  batch = episodes(count=16, agents=agents)
  optimizer = training.make_optimizer()
  update = training.make_update(CONFIG, optimizer, training.Options(k=k))
  state = training.init(KEY, CONFIG, optimizer)
  expected = update(copy(state), batch, KEY)
  mesh = jax.make_mesh(
    (8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  spec = jax.sharding.PartitionSpec
  placed = jax.tree.map(
    lambda x: jax.device_put(x, jax.NamedSharding(mesh, spec('data'))), batch
  )
  state = jax.device_put(state, jax.NamedSharding(mesh, spec()))
  close(update(state, placed, KEY), expected)


def test_a_linear_reward_is_found_from_returns():
  """Rewards of steps, of which only the sums were seen."""
  rng = np.random.default_rng(0)
  config = reward_decoder.RewardDecoderConfig(3, hidden=32, layers=2)

  def draw(count):
    features = rng.normal(size=(count, 10, 3)).astype(np.float32)
    mask = np.arange(10) < rng.integers(5, 11, (count, 1))
    rewards = np.where(mask, features @ [1.0, -0.5, 0.0] + 0.3, 0)
    return training.Episodes(
      features, rewards.sum(-1).astype(np.float32), mask
    ), rewards

  buffer, _ = draw(512)
  optimizer = training.make_optimizer(3e-3)
  run = training.make_updates(
    config, optimizer, training.Options(k=4), updates=1000, batch=32
  )
  state = training.init(KEY, config, optimizer)
  held_out, rewards = draw(64)

  def share_of_deviation(state):
    given = training.step_rewards(
      state, config, held_out.features, held_out.mask
    )
    error = (given - rewards)[held_out.mask]
    return np.sqrt(np.mean(error**2)) / rewards[held_out.mask].std()

  assert share_of_deviation(state) > 0.7
  state, metrics = run(state, buffer, jax.random.key(1))
  assert share_of_deviation(state) < 0.2
  assert metrics['loss'][-100:].mean() < 0.1 * abs(metrics['loss'][:20]).mean()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'form': 'x'}, 'form'),
    ({'short': 'x'}, 'short'),
    ({'k': 1}, 'at least 2'),
    ({'k': 0, 'unbiased': False}, 'at least 1'),
    ({'variance_weight': -1.0}, 'variance_weight'),
  ],
)
def test_options_that_cannot_be(options, message):
  with pytest.raises(ValueError, match=message):
    training.Options(**options)


def test_shapes_that_cannot_be():
  optimizer = training.make_optimizer()
  update = training.make_update(CONFIG, optimizer)
  batch, state = episodes(), training.init(KEY, CONFIG, optimizer)
  for change, message in (
    ({'features': np.zeros((4, 6, 2))}, r'must be \[M, S, 3\]'),
    ({'mask': batch.mask[:, :-1]}, 'mask has shape'),
    ({'returns': batch.returns[:-1]}, 'returns has shape'),
  ):
    with pytest.raises(ValueError, match=message):
      update(state, dataclasses.replace(batch, **change), KEY)
  with pytest.raises(ValueError, match='updates must'):
    training.make_updates(CONFIG, optimizer, updates=0, batch=1)
