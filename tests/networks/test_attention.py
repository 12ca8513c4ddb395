"""Attention: the implementations agree; kernels that cannot run here lower."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxcredit.networks import attention, sharding
from jaxcredit.networks import config as config_lib

# Several blocks of the TPU kernel, the last of them partly padding.
L = 300


def make(n=1, l=L, heads=2, kv_heads=1, d=8, dtype=np.float32):
  rng = np.random.default_rng(0)
  q = rng.normal(size=(n, l, heads, d)).astype(dtype)
  k, v = rng.normal(size=(2, n, l, kv_heads, d)).astype(dtype)
  runs = np.sort(rng.integers(0, 3, (n, l)), axis=1).astype(np.int32)
  return q, k, v, runs


def attend_by(name):
  if name == 'splash':
    # The kernel itself, interpreted.
    return functools.partial(attention._splash, interpret=True)

  def attend(q, k, v, window, runs):
    return attention.attend(
      q, k, v, window=window, runs=runs, implementation=name
    )

  return attend


@pytest.mark.parametrize(
  ('name', 'packed', 'window'),
  [
    ('xla', False, None),
    ('xla', True, None),
    ('xla', False, 70),
    ('xla', True, 70),
    # Interpreting takes a while.
    ('splash', False, None),
    ('splash', True, 70),
  ],
)
def test_implementations_agree(name, packed, window):
  q, k, v, runs = make()
  runs = runs if packed else None
  weights = np.random.default_rng(1).normal(size=q.shape).astype(np.float32)

  def both(name):
    def total(q, k, v):
      mixed = attend_by(name)(q, k, v, window, runs)
      return jnp.sum(weights * mixed), mixed

    return jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(q, k, v)

  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=2e-5, rtol=1e-4),
    both(name),
    both('blocks'),
  )


def test_the_tpu_kernel_on_a_mesh():
  q, k, v, runs = make(n=2, l=128, heads=4, kv_heads=2)
  expected = attend_by('blocks')(q, k, v, None, runs)
  with jax.set_mesh(sharding.make_mesh(2, 1, 2)):
    given = jax.jit(attend_by('splash'), static_argnums=3)(q, k, v, None, runs)
  np.testing.assert_allclose(given, expected, atol=2e-5)


def gradient_of(name, window, runs):
  def total(q, k, v):
    mixed = attention.attend(
      q, k, v, window=window, runs=runs, implementation=name
    )
    return jnp.sum(mixed.astype(jnp.float32))

  return jax.jit(jax.grad(total, argnums=(0, 1, 2)))


@pytest.mark.parametrize('window', [None, 70])
@pytest.mark.parametrize('packed', [False, True])
def test_the_tpu_kernel_lowers(packed, window):
  q, k, v, runs = make(heads=4, kv_heads=2, d=64, dtype=jnp.bfloat16)
  program = export.export(
    gradient_of('splash', window, runs if packed else None), platforms=['tpu']
  )(q, k, v)
  assert 'tpu_custom_call' in program.mlir_module()


@pytest.mark.parametrize('window', [None, 70])
@pytest.mark.parametrize('packed', [False, True])
def test_the_gpu_kernel_lowers(packed, window, monkeypatch):
  # As on an H100 with a cuDNN of today.
  monkeypatch.setattr(attention, '_capability', lambda: 9.0)
  module = pytest.importorskip('jax._src.cudnn.fused_attention_stablehlo')
  monkeypatch.setattr(module, 'check_cudnn_version', lambda: 91000)
  q, k, v, runs = make(heads=4, kv_heads=2, d=64, dtype=jnp.bfloat16)
  program = export.export(
    gradient_of('cudnn', window, runs if packed else None),
    platforms=['cuda'],
    disabled_checks=[
      export.DisabledSafetyCheck.custom_call('__cudnn$fmhaSoftmax'),
      export.DisabledSafetyCheck.custom_call('__cudnn$fmhaSoftmaxBackward'),
      export.DisabledSafetyCheck.custom_call('__cudnn$fmhaScaleBiasSoftmax'),
      export.DisabledSafetyCheck.custom_call(
        '__cudnn$fmhaScaleBiasSoftmaxBackward'
      ),
    ],
  )(q, k, v)
  text = program.mlir_module()
  assert 'Backward' in text
  assert ('ScaleBiasSoftmax' in text) == packed
  assert f'"sliding_window_length": {window or 0}' in text.replace('\\22', '"')


def shape(length=128, head_dim=64, dtype=jnp.bfloat16):
  return jax.ShapeDtypeStruct((2, length, 4, head_dim), dtype)


def test_the_platform_chooses(monkeypatch):
  assert attention.choose(shape()) == 'blocks'
  assert attention.choose(shape(), platform='tpu') == 'splash'
  assert attention.choose(shape(length=64), platform='tpu') == 'xla'
  # A GPU without cuDNN's kernel.
  assert attention.choose(shape(), platform='gpu') == 'xla'
  for capability, head_dim, name in (
    (8.0, 128, 'cudnn'), (8.0, 256, 'xla'), (9.0, 256, 'cudnn'),
    (9.0, 60, 'xla'),
  ):  # fmt: skip
    monkeypatch.setattr(attention, '_capability', lambda c=capability: c)
    queries = shape(head_dim=head_dim)
    assert attention.choose(queries, platform='gpu') == name
  assert attention.choose(shape(dtype=jnp.float32), platform='gpu') == 'xla'
  odd = shape(length=129)
  assert attention.choose(odd, platform='gpu') == 'cudnn'
  assert attention.choose(odd, platform='gpu', packed=True) == 'xla'


def test_what_cannot_be_says_why(monkeypatch):
  q, k, v, _ = make(l=8)
  with pytest.raises(ValueError, match="must be one of .* not 'flash'"):
    attention.attend(q, k, v, implementation='flash')
  with pytest.raises(ValueError, match='bfloat16 or float16, not float32'):
    attention.attend(q, k, v, implementation='cudnn')
  q, k, v = (x.astype(jnp.bfloat16) for x in (q, k, v))
  with pytest.raises(ValueError, match='no NVIDIA GPU'):
    attention.attend(q, k, v, implementation='cudnn')
  q, k, v, _ = make(l=8, d=12, dtype=jnp.bfloat16)
  with pytest.raises(ValueError, match='multiples of 8 up to 128 .* not 12'):
    attention.attend(q, k, v, implementation='cudnn')
  with pytest.raises(ValueError, match="one of .* not 'flash'"):
    config_lib.DecoderConfig.tiny(10, attention='flash')
