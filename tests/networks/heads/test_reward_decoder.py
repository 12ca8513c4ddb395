"""The network of return decomposition, against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.networks.heads import reward_decoder


def slow(params, features):
  """One entry after the other."""
  out = np.zeros(features.shape[:-1])
  for index in np.ndindex(out.shape):
    x = np.asarray(features[index], float)
    for i in range(len(params)):
      layer = params[f'layer_{i}']
      x = np.maximum(x, 0) if i else x
      x = x @ np.asarray(layer['kernel']) + np.asarray(layer['bias'])
    out[index] = x[0]
  return out


@pytest.mark.parametrize('layers', [1, 2, 5])
def test_against_numpy(layers):
  config = reward_decoder.RewardDecoderConfig(3, hidden=4, layers=layers)
  with jax.enable_x64(True):
    params = reward_decoder.init(jax.random.key(0), config)
    features = np.random.default_rng(0).normal(size=(2, 5, 3))
    mask = np.arange(5) < np.array([[5], [2]])
    poisoned = np.where(mask[..., None], features, np.nan)
    result = reward_decoder.step_rewards(params, config, poisoned, mask)
    assert result.dtype == jnp.float64
    expected = np.where(mask, slow(params, features), 0)
    np.testing.assert_allclose(result, expected, atol=1e-12)
    # Agents are one axis more.
    agents = features[:, None].repeat(3, axis=1)
    result = reward_decoder.step_rewards(params, config, agents)
    np.testing.assert_allclose(
      result, slow(params, features)[:, None].repeat(3, axis=1), atol=1e-12
    )


def test_sizes_are_those_of_the_release():
  # Parameters as counted in the released networks.
  for config, count in (
    (reward_decoder.RewardDecoderConfig.mujoco(5), 67_585),
    (reward_decoder.RewardDecoderConfig.mujoco(17 + 6 + 17), 76_545),
    (reward_decoder.RewardDecoderConfig.particles(5), 12_929),
  ):
    params = reward_decoder.init(jax.random.key(0), config)
    assert reward_decoder.count_parameters(params) == count


def test_draws_are_uniform_and_differ():
  config = reward_decoder.RewardDecoderConfig.mujoco(16)
  params = reward_decoder.init(jax.random.key(0), config)
  for i, inputs in enumerate((16, 256, 256)):
    for x in map(np.asarray, params[f'layer_{i}'].values()):
      assert x.dtype == np.float32
      assert abs(x).max() <= inputs**-0.5
    kernel = np.asarray(params[f'layer_{i}']['kernel']) * inputs**0.5
    assert abs(kernel).max() > 0.95
    assert kernel.var() == pytest.approx(1 / 3, rel=0.15)
  again = reward_decoder.init(jax.random.key(0), config)
  jax.tree.map(np.testing.assert_array_equal, params, again)
  other = reward_decoder.init(jax.random.key(1), config)
  assert (params['layer_1']['kernel'] != other['layer_1']['kernel']).all()


def test_masked_entries_do_no_harm_to_gradients():
  config = reward_decoder.RewardDecoderConfig(2, hidden=3, layers=2)
  params = reward_decoder.init(jax.random.key(0), config)
  features = np.array([[1.0, 2.0], [np.nan, np.inf]], np.float32)

  def total(params, features, mask=None):
    return reward_decoder.step_rewards(params, config, features, mask).sum()

  given = jax.grad(total)(params, features, np.array([True, False]))
  expected = jax.grad(total)(params, features[:1])
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), given, expected
  )


def test_half_precision_features_give_float32():
  config = reward_decoder.RewardDecoderConfig(2)
  params = reward_decoder.init(jax.random.key(0), config)
  features = jnp.ones((3, 2), jnp.bfloat16)
  result = reward_decoder.step_rewards(params, config, features)
  assert result.dtype == jnp.float32


def test_transition_features():
  s, a, after = np.ones((4, 3)), np.zeros((4, 2)), np.full((4, 3), 3.0)
  assert reward_decoder.transition_features(s, a).shape == (4, 5)
  full = reward_decoder.transition_features(s, a, after)
  np.testing.assert_array_equal(full[0], [1, 1, 1, 0, 0, -2, -2, -2])


def test_what_cannot_be():
  with pytest.raises(ValueError, match='layers must'):
    reward_decoder.RewardDecoderConfig(3, layers=0)
  config = reward_decoder.RewardDecoderConfig(3)
  params = reward_decoder.init(jax.random.key(0), config)
  with pytest.raises(ValueError, match=r'takes \[..., 3\]'):
    reward_decoder.step_rewards(params, config, np.zeros((2, 4)))
  with pytest.raises(ValueError, match='mask has shape'):
    reward_decoder.step_rewards(params, config, np.zeros((2, 3)), np.ones(3))
