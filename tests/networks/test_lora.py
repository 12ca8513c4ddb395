"""Low-rank adapters: a start at the base model, and equal forms after it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcredit.networks import decoder, lora
from tests.networks import tiny_decoder

OPTIONS = lora.LoraOptions(rank=3, alpha=5.0, targets=('q|v', 'down'))
TOKENS = np.arange(18, dtype=np.int32).reshape(2, 9)
LENGTH = np.array([9, 7], np.int32)


def build(options=OPTIONS, seed=None):
  """Configuration, base model and adapters; learned ones if a seed is given."""
  config, params = tiny_decoder.build('qwen2')
  adapters = lora.init(jax.random.key(3), params, options)
  if seed is not None:
    for number, factors in enumerate(adapters['layers'].values()):
      key = jax.random.fold_in(jax.random.key(seed), number)
      b = factors['lora_b']
      factors['lora_b'] = 0.3 * jax.random.normal(key, b.shape)
  return config, params, adapters


def log_probs(params, config):
  return decoder.log_probs(params, config, TOKENS, LENGTH)[0]


def test_the_start_is_the_base_model():
  config, params, adapters = build()
  expected = log_probs(params, config)
  np.testing.assert_array_equal(
    log_probs(lora.apply(params, adapters, OPTIONS), config), expected
  )
  merged = lora.merge(params, adapters, OPTIONS)
  jax.tree.map(np.testing.assert_array_equal, merged, params)


def test_merged_equals_adapted():
  config, params, adapters = build(seed=0)
  given = log_probs(lora.apply(params, adapters, OPTIONS), config)
  merged = lora.merge(params, adapters, OPTIONS)
  np.testing.assert_allclose(given, log_probs(merged, config), atol=1e-5)
  assert np.abs(given - log_probs(params, config)).max() > 0.1
  # In the form of the base model, whose other parts are as they were.
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a.shape, b.shape), merged, params
  )
  changed = [
    name
    for name, part in merged['layers'].items()
    if not jax.tree.all(
      jax.tree.map(jnp.array_equal, part, params['layers'][name])
    )
  ]
  assert sorted(changed) == ['down', 'q', 'v']


def test_the_update_by_hand():
  _, params, adapters = build(seed=0)
  merged = lora.merge(params, adapters, OPTIONS)
  a, b = (np.asarray(adapters['layers']['q'][f]) for f in ('lora_a', 'lora_b'))
  for layer in range(len(a)):
    np.testing.assert_allclose(
      merged['layers']['q']['kernel'][layer],
      params['layers']['q']['kernel'][layer] + 5 / 3 * a[layer] @ b[layer],
      atol=1e-5,
    )


def test_gradients_equal_those_of_the_merged_form():
  config, params, adapters = build(seed=0)

  def gradient(form):
    return jax.grad(
      lambda adapters: log_probs(form(params, adapters, OPTIONS), config).sum()
    )(adapters)

  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4),
    gradient(lora.apply),
    gradient(lora.merge),
  )


@pytest.mark.parametrize(
  ('targets', 'names'),
  [
    (('.*',), lora.PROJECTIONS),
    (('q|k|v', 'o'), ('q', 'k', 'v', 'o')),
    (('gate|up|down',), ('gate', 'up', 'down')),
    (('[qv]',), ('q', 'v')),
  ],
)
def test_targets(targets, names):
  options = lora.LoraOptions(rank=2, targets=targets)
  _, params, _ = build()
  adapters = lora.init(jax.random.key(0), params, options)
  assert tuple(adapters['layers']) == names == options.adapted
  for name, factors in adapters['layers'].items():
    layers, fan_in, fan_out = params['layers'][name]['kernel'].shape
    assert factors['lora_a'].shape == (layers, fan_in, 2)
    assert factors['lora_b'].shape == (layers, 2, fan_out)


def test_only_adapters_are_learned():
  config, params, adapters = build()
  optimizer = optax.adam(0.1)
  state = optimizer.init(adapters)
  count = sum(x.size for x in jax.tree.leaves(adapters))
  assert sum(x.size for x in jax.tree.leaves(state)) == 2 * count + 1

  def loss(params, reference, scale):
    # The reference is the base model, without adapters.
    difference = log_probs(params, config) - log_probs(reference, config)
    return scale * jnp.sum((difference - 1) ** 2)

  adapted = lora.adapted(loss, OPTIONS)
  assert float(adapted(adapters, params, 2.0)) == pytest.approx(
    2 * TOKENS.size, rel=1e-5
  )
  before = float(adapted(adapters, params, 1.0))
  of_adapters, of_base = jax.grad(adapted, argnums=(0, 1))(
    adapters, params, 1.0
  )
  assert not any(np.asarray(x).any() for x in jax.tree.leaves(of_base))
  updates, _ = optimizer.update(of_adapters, state)
  after = adapted(optax.apply_updates(adapters, updates), params, 1.0)
  assert float(after) < before


def test_no_gradient_of_a_whole_kernel_is_formed():
  config, params, adapters = build()

  def program(form):
    return str(
      jax.make_jaxpr(
        jax.grad(lambda a, p: log_probs(form(p, a, OPTIONS), config).sum())
      )(adapters, params)
    )

  layers, fan_in, fan_out = params['layers']['down']['kernel'].shape
  # Of the base model's kernel there is the argument, and no gradient.
  form = f'f32[{fan_in},{fan_out}]'
  assert program(lora.merge).count(form) > program(lora.apply).count(form)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'rank': 0}, 'rank must be positive, not 0'),
    ({'alpha': 0.0}, 'alpha must be positive'),
    ({'targets': ('q', 'w')}, "'w' of targets matches none of .*gate"),
    ({'targets': ()}, 'one or more patterns'),
    ({'targets': 'q'}, 'one or more patterns in a tuple'),
  ],
)
def test_wrong_options(change, message):
  with pytest.raises(ValueError, match=message):
    lora.LoraOptions(**change)


@pytest.mark.parametrize('form', [lora.apply, lora.merge])
def test_adapters_of_other_options(form):
  _, params, adapters = build()
  with pytest.raises(ValueError, match=r"of \['down', 'q', 'v'\], but .*'o'"):
    form(params, adapters, lora.LoraOptions(targets=('o',)))
  with pytest.raises(ValueError, match=r'layers/q/lora_a is .* rank 4 need'):
    form(params, adapters, lora.LoraOptions(rank=4, targets=('q|v|down',)))
