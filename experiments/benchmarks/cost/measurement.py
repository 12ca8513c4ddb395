"""The cost model's formulas against this machine's processor.

Simulated devices share the machine's cores. So the model takes them for one
chip: what all of them compute together takes as long on one, and what they
exchange is copied in memory. Speeds of products and copies are measured between
the steps that are predicted, since a machine has its moods.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from experiments.benchmarks.cost import formulas as cost_formulas

# Devices -> mesh.
MESHES = {1: (1, 1, 1), 2: (1, 2, 1), 4: (1, 4, 1), 8: (1, 8, 1)}
# The learner's batch, and the sampler's.
ROWS, LENGTH, CONTEXT = 16, 128, 128


def small_policy():
  """A policy whose products fill the cores."""
  from jaxcredit.networks import config as config_lib

  return config_lib.DecoderConfig(
    vocab_size=512, width=256, layers=4, heads=8, kv_heads=8, head_dim=32,
    hidden=1024,
  )  # fmt: skip


def _seconds(call, calibrate, repeats: int) -> tuple[float, dict[str, float]]:
  """Median seconds of a call, and of what is timed between the calls."""
  import jax

  times, between = [], []
  for attempt in range(repeats + 1):
    start = time.perf_counter()
    jax.block_until_ready(call())
    end = time.perf_counter()
    if attempt:
      times.append(end - start)
      between.append(calibrate())
  return statistics.median(times), {
    name: statistics.median(b[name] for b in between) for name in between[0]
  }


def _calibration():
  """Returns a function that measures FLOP/s and bytes/s of one device."""
  import jax
  import jax.numpy as jnp

  size = 1024
  square = jnp.ones((size, size), jnp.float32)
  long = jnp.ones((2**24,), jnp.float32)
  product = jax.jit(lambda x: x @ x)
  copy = jax.jit(lambda x: x + 1)
  jax.block_until_ready((product(square), copy(long)))

  def once(call, argument):
    start = time.perf_counter()
    jax.block_until_ready(call(argument))
    return time.perf_counter() - start

  def calibrate():
    # What is copied is read and written.
    return {
      'flops': 2 * size**3 / once(product, square),
      'bandwidth': 2 * long.nbytes / once(copy, long),
    }

  return calibrate


def measure_learner(devices: int, repeats: int) -> dict[str, Any]:
  """Times `Learner.update` on a mesh, in this process."""
  import jax
  import numpy as np

  from jaxcredit import types
  from jaxcredit.networks import decoder, sharding
  from jaxcredit.training import learner as learner_lib
  from jaxcredit.training import policy_gradient

  config = small_policy()
  rng = np.random.default_rng(0)
  step = np.where(np.arange(LENGTH) < LENGTH // 2, -1, 0)
  rows = types.Rows(
    tokens=rng.integers(2, config.vocab_size, (ROWS, LENGTH), np.int32),
    step_of_token=np.tile(step, (ROWS, 1)).astype(np.int32),
    trajectory=np.arange(ROWS, dtype=np.int32),
    length=np.full(ROWS, LENGTH, np.int32),
    log_probs=np.full((ROWS, LENGTH), -6.0, np.float32),
  )
  mesh = None if devices == 1 else sharding.make_mesh(*MESHES[devices])
  learner = learner_lib.Learner(
    policy_gradient.make_loss(config, policy_gradient.LossOptions()),
    policy_gradient.make_denominator('token-mean'),
    learner_lib.make_optimizer(learning_rate=1e-5),
    micro_batch_tokens=ROWS * LENGTH,
    lengths=[LENGTH],
    mesh=mesh,
  )
  state = learner.init(decoder.init(jax.random.key(0), config))
  advantages = rng.normal(size=(ROWS, 1)).astype(np.float32)

  def update():
    nonlocal state
    state, _ = learner.update(state, rows, advantages)
    return state.params

  seconds, speeds = _seconds(update, _calibration(), repeats)
  return {'devices': devices, 'seconds': seconds, **speeds}


def measure_sampler(rows: int, repeats: int) -> dict[str, Any]:
  """Times tokens that are drawn one by one, on one device."""
  import jax
  import numpy as np

  from jaxcredit.networks import decoder
  from jaxcredit.networks.sampling import cache as cache_lib
  from jaxcredit.networks.sampling import sampler
  from jaxcredit.networks.sampling import sampling_params as sampling

  config, drawn = small_policy(), 32
  params = sampler.decoding_params(decoder.init(jax.random.key(0), config))
  keys = jax.random.split(jax.random.key(1), rows)
  ones = np.ones((rows,), np.int32)

  def draw():
    cache = cache_lib.init_cache(config, rows, CONTEXT + drawn)
    cache = dataclasses.replace(cache, length=CONTEXT * ones)
    return sampler.decode(
      params, config, cache, keys, ones, 0 * ones, drawn * ones, 0 * ones,
      steps=drawn, stop_tokens=(), sampling_params=sampling.SamplingParams(),
    ).cache.length  # fmt: skip

  seconds, speeds = _seconds(draw, _calibration(), repeats)
  return {'rows': rows, 'seconds': seconds / drawn, **speeds}


def predicted_update(record: dict[str, Any]) -> float:
  """Seconds of the learner's step: products, exchange, optimizer.

  Args:
    record: of `measure_learner`, of which the speeds are used.
  """
  config, devices = small_policy(), record['devices']
  size = cost_formulas.parameters(config)
  tokens = ROWS * LENGTH
  flops = cost_formulas.learner_flops(config, tokens, LENGTH)
  # Each device receives the parameters twice and hands on a gradient. What is
  # received is read and written.
  received = devices * cost_formulas.ring_bytes(
    3 * cost_formulas.SINGLE * size, devices
  )
  optimizer = 7 * cost_formulas.SINGLE * size
  return (
    flops / record['flops'] + (2 * received + optimizer) / record['bandwidth']
  )


def predicted_token(record: dict[str, Any]) -> float:
  """Seconds of one token of each row.

  Args:
    record: of `measure_sampler`, of which the speeds are used.
  """
  config, rows = small_policy(), record['rows']
  context = CONTEXT + 16
  flops = cost_formulas.forward_flops(config, rows, 2 * context)
  read = cost_formulas.decoding_bytes(
    config, rows, context, cost_formulas.SINGLE
  )
  return max(flops / record['flops'], read / record['bandwidth'])


def measure(repeats: int) -> dict[str, list[dict[str, Any]]]:
  """Measures all, each number of devices in a process of its own."""

  def child(code: str, devices: int):
    flag = f'--xla_force_host_platform_device_count={devices}'
    done = subprocess.run(
      [
        sys.executable,
        '-c',
        'import json; from experiments.benchmarks import cost_measurement as m;'
        f'print(json.dumps(m.{code}))',
      ],
      env={**os.environ, 'XLA_FLAGS': flag, 'JAX_PLATFORMS': 'cpu'},
      capture_output=True,
      text=True,
      check=False,
    )
    if done.returncode:
      raise RuntimeError(f'{code} failed: {done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])

  return {
    'cores': len(os.sched_getaffinity(0)),
    # What others did on the machine meanwhile shows in the numbers.
    'load': round(os.getloadavg()[0], 1),
    'learner': [
      child(f'measure_learner({devices}, {repeats})', devices)
      for devices in MESHES
    ],
    'sampler': [
      child(f'measure_sampler({rows}, {repeats})', 1) for rows in (1, 8, 64)
    ],
  }
