"""Times GiGPO's credit: ours, vectorised NumPy, and plain Python.

  python -m experiments.benchmarks.speed.credit_speed

From anchors (fingerprints) to step advantages. Besides the standard batch of
128 groups x 8 rollouts x 50 steps it times 100 times that many steps, which
should cost 100 times as much and not more. All three must agree.
"""

import time

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.references import numpy_gigpo, plain_python_credit
from jaxcredit import gigpo

_GROUPS = flags.DEFINE_integer('groups', 128, 'Groups (P).', 1)
_ROLLOUTS = flags.DEFINE_integer('rollouts', 8, 'Rollouts of a group (G).', 1)
_STEPS = flags.DEFINE_integer('steps', 50, 'Steps of a rollout (S).', 1)
_STATES = flags.DEFINE_integer('states', 60, 'States of a task.', 1)
_FACTOR = flags.DEFINE_integer(
  'factor', 100, 'How many times more groups the large batch has; 0: none.', 0
)
_REPEATS = flags.DEFINE_integer('repeats', 30, 'Timed calls; the median.', 1)


def batch(groups, rollouts, steps, states, seed=0):
  """Rewards, mask and 64-bit anchors of episodes of uneven length."""
  rng = np.random.default_rng(seed)
  shape = (groups, rollouts, steps)
  length = rng.integers(1, steps + 1, shape[:2])
  mask = np.arange(steps) < length[..., None]
  rewards = np.zeros(shape, np.float32)
  won = rng.random(shape[:2]) < 0.5
  last = np.arange(steps) == length[..., None] - 1
  rewards[last & won[..., None]] = 10
  names = rng.integers(0, 2**63, (groups, states), np.uint64)
  state = rng.integers(0, states, shape)
  anchors = np.take_along_axis(names[:, None], state, axis=2)
  return rewards, mask, anchors


def words(anchors):
  """uint64 [...] -> uint32 [..., 2], the form of `jaxcredit.fingerprints`."""
  return anchors[..., None].view(np.uint32)


def median_seconds(call, repeats):
  """Median time of a call, compiled by a first one."""
  jax.block_until_ready(call())
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(call())
    times.append(time.perf_counter() - start)
  return float(np.median(times))


def plain_python(rewards, mask, anchors):
  """The slow reference of the tests, in the form of arrays."""
  out = np.zeros(mask.shape)
  for p, group in enumerate(mask):
    rollouts = [
      [
        (float(rewards[p, g, s]), int(anchors[p, g, s]), 0.0)
        for s in np.flatnonzero(valid)
      ]
      for g, valid in enumerate(group)
    ]
    for g, credit in enumerate(plain_python_credit.gigpo(rollouts)):
      out[p, g, : len(credit)] = [total for total, _, _ in credit]
  return out


def main(argv):
  del argv
  shape = (_GROUPS.value, _ROLLOUTS.value, _STEPS.value, _STATES.value)
  rewards, mask, anchors = batch(*shape)
  fingerprints = words(anchors)

  def ours():
    return gigpo.advantages(rewards, mask, fingerprints).total

  def vectorised():
    return numpy_gigpo.advantages(rewards, mask, anchors)

  def slow():
    return plain_python(rewards, mask, anchors)

  expected = slow()
  np.testing.assert_allclose(ours(), expected, atol=1e-4)
  np.testing.assert_allclose(vectorised(), expected, atol=1e-4)
  print(
    f'{_GROUPS.value} groups x {_ROLLOUTS.value} rollouts x {_STEPS.value} '
    f'steps, {int(mask.sum())} of them taken; all three agree'
  )
  mine = median_seconds(ours, _REPEATS.value)
  print(f'jaxcredit:        {1e3 * mine:9.2f} ms')
  for name, call, repeats in (
    ('vectorised NumPy', vectorised, max(_REPEATS.value // 3, 1)),
    ('plain Python', slow, 3),
  ):
    seconds = median_seconds(call, repeats)
    print(f'{name + ":":<18}{1e3 * seconds:9.2f} ms ({seconds / mine:.1f}x)')
  if _FACTOR.value:
    rewards, mask, anchors = batch(shape[0] * _FACTOR.value, *shape[1:])
    fingerprints = words(anchors)
    large = median_seconds(ours, 5)
    print(
      f'{_FACTOR.value} times the steps: {1e3 * large:9.2f} ms '
      f'({large / mine:.1f} times the time)'
    )


if __name__ == '__main__':
  app.run(main)
