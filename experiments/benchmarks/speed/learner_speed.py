"""Times the learner's step on the shape that peers are timed on.

  python -m experiments.benchmarks.speed.learner_speed
  python -m experiments.benchmarks.speed.learner_speed \
      --peer_script=peer_bench.py --peer_python=tunix=tunix-env/bin/python \
      --peer_python=hf=torch-env/bin/python

A step is that of GRPO: 16 rows of 64 prompt and 64 drawn tokens through a
decoder of 4 layers, width 256 and 512 tokens; clipped loss with a divergence
from stored log-probabilities; AdamW. Beside it stands the floor: the products
that the step cannot do without, at the speed that this machine multiplies
large matrices. Times are medians of calls one after the other; peers are timed
by their own script, each with its own Python, in between.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags

from jaxcredit import types
from jaxcredit.algorithms import losses
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import packed_rows, policy_gradient

_ROWS = flags.DEFINE_integer('rows', 16, 'Rows of the batch.', 1)
_PROMPT = flags.DEFINE_integer('prompt', 64, 'Prompt tokens of a row.', 1)
_DRAWN = flags.DEFINE_integer('drawn', 64, 'Drawn tokens of a row.', 1)
_REPEATS = flags.DEFINE_integer('repeats', 7, 'Timed steps; the median.', 1)
_DTYPE = flags.DEFINE_enum(
  'compute_dtype', 'float32', ['float32', 'bfloat16'], 'Of activations.'
)
_SHAPE = flags.DEFINE_enum(
  'shape',
  'small',
  ['small', 'qwen2.5-0.5b', 'qwen2.5-1.5b'],
  'Sizes of the policy; peers are timed on the small one alone.',
)
_ATTENTION = flags.DEFINE_enum(
  'attention', 'auto', config_lib.ATTENTIONS, 'How rows attend.'
)
_PEER_SCRIPT = flags.DEFINE_string(
  'peer_script', None, 'Script that times a peer: --which=NAME --out=FILE.'
)
_PEERS = flags.DEFINE_multi_string(
  'peer_python', [], "A peer's name and its Python, as in tunix=env/bin/python."
)


def make_config() -> config_lib.DecoderConfig:
  """The small Qwen3 that all are timed on, or a model for accelerators."""
  sizes = {
    'qwen2.5-0.5b': config_lib.DecoderConfig.qwen2_5_0_5b,
    'qwen2.5-1.5b': config_lib.DecoderConfig.qwen2_5_1_5b,
  }
  if _SHAPE.value in sizes:
    return sizes[_SHAPE.value](
      compute_dtype=_DTYPE.value, attention=_ATTENTION.value
    )
  return config_lib.DecoderConfig(
    vocab_size=512,
    width=256,
    layers=4,
    heads=4,
    kv_heads=2,
    head_dim=64,
    hidden=1024,
    rope_base=1_000_000.0,
    qk_norm=True,
    compute_dtype=_DTYPE.value,
    attention=_ATTENTION.value,
  )


def make_batch(config):
  """Random rows, and advantages and reference log-probabilities for them."""
  rng = np.random.default_rng(0)
  count, length = _ROWS.value, _PROMPT.value + _DRAWN.value
  step = np.where(np.arange(length) < _PROMPT.value, -1, 0)
  sampler = np.where(step < 0, 0, -np.log(config.vocab_size))
  rows = types.Rows(
    tokens=rng.integers(2, config.vocab_size, (count, length), np.int32),
    step_of_token=np.tile(step, (count, 1)).astype(np.int32),
    trajectory=np.arange(count, dtype=np.int32),
    length=np.full(count, length, np.int32),
    log_probs=np.tile(sampler, (count, 1)).astype(np.float32),
  )
  extra = {
    'advantages': rng.normal(size=count).astype(np.float32),
    'reference': rows.log_probs,
  }
  return rows, extra


def make_loss(config):
  """The loss of the peers: clip 0.2, and 0.04 times the divergence."""

  def loss(params, reference, rows, extra, weight):
    del reference
    log_probs, entropy = packed_rows.log_probs(params, config, rows)
    mask = rows.step_of_token >= 0
    options = {'mask': mask, 'aggregation': 'seq-mean-token-mean'}
    episode = jnp.maximum(rows.trajectory, 0)
    advantages = jnp.broadcast_to(
      extra['advantages'][episode][:, None], log_probs.shape
    )
    policy = losses.policy_loss(
      log_probs, rows.log_probs, advantages, clip=0.2, **options
    )
    kl = losses.kl(log_probs, extra['reference'][episode])
    total = policy.loss + 0.04 * losses.aggregate(kl, **options)
    return weight * total, {
      'entropy': weight * losses.aggregate(entropy, **options)
    }

  return loss


def step_flops(config) -> float:
  """Operations of the products of a step, forward and backward."""
  c = config
  heads = c.heads * c.head_dim
  block = 2 * c.width * heads + 2 * c.width * c.kv_heads * c.head_dim
  block += 3 * c.width * c.hidden
  tokens = _ROWS.value * (_PROMPT.value + _DRAWN.value)
  weights = c.layers * block + c.width * c.vocab_size
  # A query meets half of the row on average, once for scores, once for values.
  attention = c.layers * heads * (_PROMPT.value + _DRAWN.value)
  return 3 * 2 * tokens * (weights + attention)


def product_speed(dtype) -> float:
  """Operations per second in large products."""
  size = 2048
  x = jnp.ones((size, size), dtype)
  product = jax.jit(lambda x: x @ x)
  return 2 * size**3 / median_seconds(lambda: product(x), 5)


def median_seconds(call, repeats: int) -> float:
  """Median time of a call, after two that compile and warm up."""
  for _ in range(2):
    jax.block_until_ready(call())
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(call())
    times.append(time.perf_counter() - start)
  return statistics.median(times)


def our_seconds(config) -> float:
  """Median seconds of `Learner.update`, transfers and figures included."""
  rows, extra = make_batch(config)
  length = rows.tokens.shape[1]
  learner = learner_lib.Learner(
    make_loss(config),
    policy_gradient.make_denominator('seq-mean-token-mean'),
    learner_lib.make_optimizer(learning_rate=1e-5),
    micro_batch_tokens=rows.tokens.size,
    lengths=[length],
  )
  state = learner.init(decoder.init(jax.random.key(0), config))

  def step():
    nonlocal state
    state, figures = learner.update(state, rows, extra)
    if not np.isfinite(figures['loss']):
      raise FloatingPointError(f'the loss is {figures["loss"]}')
    return state.params

  return median_seconds(step, _REPEATS.value)


def parts_of_a_step(config) -> dict[str, float]:
  """Seconds of the parts of a step, each compiled and timed alone."""
  rows, extra = make_batch(config)
  rows, extra = jax.device_put((rows, extra))
  params = jax.device_put(decoder.init(jax.random.key(0), config))
  loss = make_loss(config)
  optimizer = learner_lib.make_optimizer(learning_rate=1e-5)
  state = optimizer.init(params)

  def of_params(params):
    return loss(params, None, rows, extra, 1.0)[0]

  def hidden(params):
    return decoder.hidden_states(params, config, rows.tokens).sum()

  @jax.jit
  def apply(gradients, state, params):
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), state

  forward, trunk = jax.jit(of_params), jax.jit(hidden)
  trunk_gradient = jax.jit(jax.grad(hidden))
  gradient = jax.jit(jax.grad(of_params))
  calls = {
    'blocks, forward': lambda: trunk(params),
    'blocks, forward and backward': lambda: trunk_gradient(params),
    'loss, forward': lambda: forward(params),
    'loss, forward and backward': lambda: gradient(params),
    'optimizer': lambda: apply(params, state, params),
  }
  return {
    name: median_seconds(call, _REPEATS.value) for name, call in calls.items()
  }


def peer_seconds(name: str, python: str) -> float:
  """Median seconds of a peer's step, timed by the peer script."""
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'times.json')
    command = [
      python, _PEER_SCRIPT.value, f'--which={name}', f'--out={path}',
      f'--batch={_ROWS.value}', f'--prompt_len={_PROMPT.value}',
      f'--new_tokens={_DRAWN.value}', f'--repeats={_REPEATS.value}',
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(path, encoding='utf-8') as file:
      return json.load(file)['train']['median_s']


def main(argv):
  del argv
  peers = [peer.partition('=') for peer in _PEERS.value]
  if peers and not _PEER_SCRIPT.value:
    raise app.UsageError('--peer_python needs --peer_script')
  if peers and _SHAPE.value != 'small':
    raise app.UsageError('peers are timed with --shape=small alone')
  for name, _, python in peers:
    if not name or not python:
      raise app.UsageError('--peer_python is NAME=PYTHON')
  config = make_config()
  tokens = _ROWS.value * (_PROMPT.value + _DRAWN.value)
  # Before and after the peers, since a machine has its moods.
  ours = [our_seconds(config)]
  times = {name: peer_seconds(name, python) for name, _, python in peers}
  if peers:
    ours.append(our_seconds(config))
  times = {'jaxcredit': min(ours), **times}
  flops = step_flops(config)
  speed = product_speed(jnp.dtype(_DTYPE.value))
  print(
    f'{jax.devices()[0].device_kind}, {_DTYPE.value}, {tokens} tokens a step, '
    f'{flops / 1e9:.1f} GFLOP'
  )
  print(
    f'floor      {flops / speed:8.4f} s a step at {speed / 1e9:.0f} GFLOP/s'
  )
  for name, seconds in times.items():
    print(
      f'{name:10} {seconds:8.4f} s a step {tokens / seconds:10,.0f} tokens/s '
      f"{flops / seconds / speed:6.1%} of the floor's speed "
      f'{times["jaxcredit"] / seconds:6.2f} ours / its'
    )
  print('our parts, each alone:')
  for name, seconds in parts_of_a_step(config).items():
    print(f'  {name:30} {seconds:8.4f} s')


if __name__ == '__main__':
  app.run(main)
