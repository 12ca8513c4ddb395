"""The decoder against a slow reference, and its sharding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.networks import attention, decoder, sharding
from jaxcredit.networks import config as config_lib
from tests.networks import tiny_decoder


def slow_logits(params, config, tokens):
  """One row, one position and one head at a time, in NumPy."""
  p = jax.tree.map(np.asarray, params)

  def norm(x, scale):
    return x / np.sqrt((x * x).mean() + config.norm_eps) * scale

  def frequency_of(i):
    plain = config.rope_base ** (-2 * i / config.head_dim)
    scaling = config.rope_scaling
    if scaling is None:
      return plain
    if scaling.kind == 'linear':
      return plain / scaling.factor
    # In the words of Llama 3.1: long waves, short waves, and those between.
    wave = 2 * np.pi / plain
    longest = scaling.original_positions / scaling.low_frequency
    shortest = scaling.original_positions / scaling.high_frequency
    if wave > longest:
      return plain / scaling.factor
    if wave < shortest:
      return plain
    smooth = (longest / wave - 1) / (longest / shortest - 1)
    return (1 - smooth) * plain / scaling.factor + smooth * plain

  def rotate(x, position):
    half = config.head_dim // 2
    out = x.copy()
    for i in range(half):
      angle = position * frequency_of(i)
      a, b = x[i], x[i + half]
      out[i] = a * np.cos(angle) - b * np.sin(angle)
      out[i + half] = b * np.cos(angle) + a * np.sin(angle)
    return out

  xs = [p['embedder']['embedding'][t] for t in tokens]
  for layer in range(config.layers):
    w = jax.tree.map(lambda x, layer=layer: x[layer], p['layers'])

    def project(name, x, w=w):
      y = x @ w[name]['kernel']
      return y + w[name]['bias'] if w[name].get('bias') is not None else y

    queries, keys, values = [], [], []
    for position, x in enumerate(xs):
      h = norm(x, w['attention_norm']['scale'])
      q = project('q', h).reshape(config.heads, -1)
      k = project('k', h).reshape(config.kv_heads, -1)
      if config.qk_norm:
        q = np.stack([norm(a, w['q_norm']['scale']) for a in q])
        k = np.stack([norm(a, w['k_norm']['scale']) for a in k])
      queries.append(np.stack([rotate(a, position) for a in q]))
      keys.append(np.stack([rotate(a, position) for a in k]))
      values.append(project('v', h).reshape(config.kv_heads, -1))
    new = []
    for position, x in enumerate(xs):
      mixed = []
      for head in range(config.heads):
        kv = head // (config.heads // config.kv_heads)
        window = config.windows[layer] or len(tokens)
        sees = range(max(0, position - window + 1), position + 1)
        scores = np.array(
          [
            queries[position][head] @ keys[s][kv] / np.sqrt(config.head_dim)
            for s in sees
          ]
        )
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        mixed.append(
          sum(a * values[s][kv] for s, a in zip(sees, weights, strict=True))
        )
      x = x + project('o', np.concatenate(mixed))
      h = norm(x, w['unit_norm']['scale'])
      gate = project('gate', h)
      x = x + project('down', gate / (1 + np.exp(-gate)) * project('up', h))
      new.append(x)
    xs = new
  final = [norm(x, p['final_norm']['scale']) for x in xs]
  head = (
    p['embedder']['embedding'].T
    if config.tie_embeddings
    else p['head']['kernel']
  )
  return np.stack(final) @ head


def log_softmax(x):
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize('variant', tiny_decoder.VARIANTS)
def test_slow_reference(variant):
  config, params = tiny_decoder.build(variant)
  rng = np.random.default_rng(0)
  tokens = rng.integers(0, 40, (3, 9)).astype(np.int32)
  length = np.array([9, 5, 1], np.int32)
  log_probs, entropy = decoder.log_probs(
    params, config, tokens, length, temperature=0.7, chunk=4
  )
  for n in range(3):
    expected = log_softmax(
      slow_logits(params, config, tokens[n]).astype(np.float64) / 0.7
    )
    for t in range(9):
      if 1 <= t < length[n]:
        np.testing.assert_allclose(
          log_probs[n, t], expected[t - 1, tokens[n, t]], atol=2e-5
        )
        np.testing.assert_allclose(
          entropy[n, t],
          -(np.exp(expected[t - 1]) * expected[t - 1]).sum(),
          atol=2e-5,
        )
      else:
        assert log_probs[n, t] == 0 == entropy[n, t]


def test_padding_changes_nothing():
  config, params = tiny_decoder.build()
  tokens = np.arange(12, dtype=np.int32).reshape(1, 12)
  length = np.array([7], np.int32)
  other = tokens.copy()
  other[:, 7:] = 39
  first, _ = decoder.log_probs(params, config, tokens, length)
  second, _ = decoder.log_probs(params, config, other, length)
  longer, _ = decoder.log_probs(
    params, config, np.pad(tokens, ((0, 0), (0, 9))), length
  )
  np.testing.assert_array_equal(first, second)
  np.testing.assert_allclose(longer[:, :12], first, atol=5e-6)


@pytest.mark.parametrize('variant', ['plain', 'windows'])
def test_packed_rows_are_the_sequences_alone(variant):
  config, params = tiny_decoder.build(variant)
  rng = np.random.default_rng(0)
  a, b, c = (rng.integers(1, 40, size).tolist() for size in (5, 4, 3))
  # Padding at the left, in the middle and at the right; the third row's last
  # sequence has the number of its first one.
  rows = [
    [0, 0, *a, *b, 0],
    [*c, 0, *b, 0, 0, 0, 0],
    [*b, *a, *c],
    [0] * 8 + b,
  ]
  ids = [
    [0, 0, *[1] * 5, *[2] * 4, 0],
    [*[1] * 3, 0, *[5] * 4, 0, 0, 0, 0],
    [*[1] * 4, *[2] * 5, *[1] * 3],
    [0] * 8 + [7] * 4,
  ]
  places = [
    (0, 2, a), (0, 7, b), (1, 0, c), (1, 4, b), (2, 0, b), (2, 4, a),
    (2, 9, c), (3, 8, b),
  ]  # fmt: skip
  packed = decoder.log_probs(
    params,
    config,
    np.array([r[:12] for r in rows], np.int32),
    segment_ids=np.array([r[:12] for r in ids], np.int32),
  )
  alone = {}
  tokens = np.zeros((3, 12), np.int32)
  for i, sequence in enumerate((a, b, c)):
    tokens[i, : len(sequence)] = sequence
    alone[len(sequence)] = i
  expected = decoder.log_probs(params, config, tokens, np.array([5, 4, 3]))
  for given, wanted in zip(packed, expected, strict=True):
    left = np.array(given)
    for row, start, sequence in places:
      part = slice(start, start + len(sequence))
      np.testing.assert_allclose(
        given[row, part],
        wanted[alone[len(sequence)], : len(sequence)],
        atol=1e-5,
      )
      left[row, part] = 0
    # First tokens and padding have no log-probability.
    assert not left.any()


def test_packed_rows_have_finite_gradients():
  config, params = tiny_decoder.build()
  ids = jnp.array([[0, 0, 1, 1, 2, 2, 0, 0]])
  gradient = jax.grad(
    lambda p: decoder.log_probs(
      p, config, jnp.arange(8)[None], segment_ids=ids
    )[0].sum()
  )(params)
  assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_windows():
  sizes = {**tiny_decoder.SIZES, 'layers': 3}
  config = config_lib.DecoderConfig(**sizes, window=4)
  assert config.windows == (4, 4, 4)
  config = config_lib.DecoderConfig(
    **sizes, window=4, window_layers=(True, False, True)
  )
  assert config.windows == (4, None, 4)
  assert config_lib.DecoderConfig(**sizes).windows == (None, None, None)


@pytest.mark.parametrize('window', [None, 1, 70, 100])
@pytest.mark.parametrize('packed', [False, True])
def test_attention_in_blocks(window, packed):
  # 150 positions are three blocks of queries.
  rng = np.random.default_rng(0)
  q = rng.normal(size=(2, 150, 4, 2)).astype(np.float32)
  k, v = rng.normal(size=(2, 2, 150, 2, 2)).astype(np.float32)
  runs = np.sort(rng.integers(0, 3, (2, 150)), axis=1)
  given = attention.attend(
    q, k, v, window=window, runs=jnp.array(runs) if packed else None
  )
  distance = np.arange(150)[:, None] - np.arange(150)
  seen = (distance >= 0) & (distance < (window or 150))
  seen = np.broadcast_to(seen, (2, 150, 150))
  if packed:
    seen = seen & (runs[:, :, None] == runs[:, None])
  k, v = k.repeat(2, axis=2), v.repeat(2, axis=2)
  scores = np.einsum('nqhd,nkhd->nhqk', q, k) / np.sqrt(2)
  weights = np.exp(scores) * seen[:, None]
  weights /= weights.sum(-1, keepdims=True)
  expected = np.einsum('nhqk,nkhd->nqhd', weights, v)
  np.testing.assert_allclose(given, expected, atol=1e-5)


@pytest.mark.parametrize('chunk', [1, 3, 128])
def test_chunks_change_nothing(chunk):
  config, params = tiny_decoder.build()
  tokens = np.arange(12, dtype=np.int32).reshape(2, 6)
  length = np.array([6, 6], np.int32)

  def total(params, chunk):
    log_probs, entropy = decoder.log_probs(
      params, config, tokens, length, chunk=chunk
    )
    return log_probs.sum() + entropy.sum()

  expected = jax.value_and_grad(total)(params, 5)
  result = jax.value_and_grad(total)(params, chunk)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    result,
    expected,
  )


def test_vocabulary_never_meets_all_positions():
  config, params = tiny_decoder.build(vocab_size=5000)
  tokens = jnp.zeros((4, 257), jnp.int32)

  def loss(params):
    return decoder.log_probs(
      params, config, tokens, jnp.full((4,), 257), chunk=16
    )[0].sum()

  text = str(jax.make_jaxpr(jax.grad(loss))(params))
  # Rows of one device, of a chunk's positions: [D, N * 16, V].
  assert '1,64,5000' in text
  for shape in ('4,256,5000', '4,257,5000', '16,1,64,5000', '1,1028,5000'):
    assert shape not in text


def test_remat_changes_nothing():
  config, params = tiny_decoder.build()
  again = config_lib.DecoderConfig(**tiny_decoder.SIZES, remat=True)
  tokens = jnp.arange(10, dtype=jnp.int32)[None]

  def gradient(config):
    return jax.grad(
      lambda p: decoder.log_probs(p, config, tokens, jnp.array([10]))[0].sum()
    )(params)

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    gradient(config),
    gradient(again),
  )


def test_bfloat16_is_near():
  config, params = tiny_decoder.build()
  low = config_lib.DecoderConfig(**tiny_decoder.SIZES, compute_dtype='bfloat16')
  tokens, length = jnp.arange(8, dtype=jnp.int32)[None], jnp.array([8])
  exact, _ = decoder.log_probs(params, config, tokens, length)
  near, _ = decoder.log_probs(params, low, tokens, length)
  assert near.dtype == jnp.float32
  np.testing.assert_allclose(near, exact, atol=0.15)


@pytest.mark.parametrize('mesh_shape', [(8, 1, 1), (2, 2, 2), (1, 4, 2)])
def test_sharded_equals_unsharded(mesh_shape):
  config, params = tiny_decoder.build('qwen2')
  tokens = jax.random.randint(jax.random.key(2), (8, 12), 0, 40)
  length = jnp.full((8,), 12)

  def loss(params, tokens, length):
    log_probs, _ = decoder.log_probs(params, config, tokens, length)
    return log_probs.mean()

  expected = jax.value_and_grad(loss)(params, tokens, length)
  mesh = sharding.make_mesh(*mesh_shape)
  placed = jax.device_put(params, sharding.shardings(params, mesh))
  rows = jax.sharding.NamedSharding(
    mesh, jax.sharding.PartitionSpec(('data', 'fsdp'))
  )
  with jax.set_mesh(mesh):
    result = jax.jit(jax.value_and_grad(loss))(
      placed, jax.device_put(tokens, rows), jax.device_put(length, rows)
    )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    jax.device_get(result),
    expected,
  )
  if mesh_shape[2] > 1:
    q = placed['layers']['q']['kernel']
    assert q.addressable_shards[0].data.shape != q.shape


def test_every_parameter_has_a_rule():
  mesh = sharding.make_mesh(2, 2, 2)
  for variant in tiny_decoder.VARIANTS:
    config, _ = tiny_decoder.build(variant)
    shapes = jax.eval_shape(lambda c=config: decoder.init(jax.random.key(0), c))
    sharding.shardings(shapes, mesh)
  with pytest.raises(ValueError, match="no sharding rule fits .*'new/thing'"):
    sharding.spec_of('new/thing', (2,), mesh)
  with pytest.raises(
    ValueError,
    match=r"'tensor' \(2 devices\) does not divide dimension 2 \(7\) of the "
    r"parameter 'layers/q/kernel' \[3, 4, 7\]",
  ):
    sharding.spec_of('layers/q/kernel', (3, 4, 7), mesh)
  assert sharding.spec_of(
    'layers/q/kernel', (3, 4, 7), mesh, strict=False
  ) == jax.sharding.PartitionSpec(None, 'fsdp', None)
  rules = ((r'q/kernel$', (('data', 'fsdp'), None)),)
  assert sharding.spec_of(
    'layers/q/kernel', (3, 4, 7), mesh, rules
  ) == jax.sharding.PartitionSpec(None, ('data', 'fsdp'), None)
  with pytest.raises(ValueError, match='needs 16 devices'):
    sharding.make_mesh(4, 2, 2)


def test_presets():
  tiny = config_lib.DecoderConfig.tiny(1000)
  assert (
    decoder.count_parameters(decoder.init(jax.random.key(0), tiny)) == 718_720
  )
  qwen = config_lib.DecoderConfig.qwen2_5_1_5b()
  shapes = jax.eval_shape(lambda: decoder.init(jax.random.key(0), qwen))
  # The model card: 1.54 billion.
  assert decoder.count_parameters(shapes) == 1_543_714_304


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'kv_heads': 3}, 'must divide heads'),
    ({'head_dim': 7}, 'head_dim must be even'),
    ({'layers': 0}, 'layers must be positive'),
    ({'window': 0}, 'window must be positive'),
    ({'window_layers': (True, True)}, 'window_layers .* needs a window'),
    ({'window': 4, 'window_layers': (True,)}, 'entry for each of 2 layers'),
  ],
)
def test_wrong_configurations(change, message):
  with pytest.raises(ValueError, match=message):
    config_lib.DecoderConfig(**{**tiny_decoder.SIZES, **change})


def test_wrong_arguments():
  config, params = tiny_decoder.build()
  tokens = jnp.zeros((2, 4), jnp.int32)
  with pytest.raises(ValueError, match=r'tokens must be \[N, L\]'):
    decoder.log_probs(params, config, tokens[0], jnp.array([4]))
  with pytest.raises(ValueError, match='temperature must be positive'):
    decoder.log_probs(params, config, tokens, jnp.array([4, 4]), temperature=0)
  with pytest.raises(ValueError, match='either length or segment_ids'):
    decoder.log_probs(params, config, tokens)
  with pytest.raises(ValueError, match='either length or segment_ids'):
    decoder.log_probs(
      params, config, tokens, jnp.array([4, 4]), segment_ids=tokens
    )
  with pytest.raises(ValueError, match='segment_ids must both be'):
    decoder.log_probs(params, config, tokens, segment_ids=tokens[:, 1:])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'kind': 'yarn', 'factor': 2.0}, "not 'yarn'"),
    ({'kind': 'linear', 'factor': 0.5}, 'at least 1'),
    ({'kind': 'llama3', 'factor': 2.0, 'low_frequency': 4.0}, 'needs 0 <'),
  ],
)
def test_wrong_rope_scaling(options, message):
  with pytest.raises(ValueError, match=message):
    config_lib.RopeScaling(**options)
