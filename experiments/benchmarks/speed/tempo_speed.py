"""Times TEMPO's credit: ours, and a dictionary of prefixes in plain Python.

  python -m experiments.benchmarks.speed.tempo_speed

From tokens to token advantages, values included; both must agree. Then longer
rows: at the same number of groups the time should grow like the length, and at
the same number of tokens (fewer groups) stay as it is. The fastest of the calls
stands beside the median: on a shared machine they differ.
"""

import time

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.references import plain_python_credit
from experiments.benchmarks.speed import method_batch
from jaxcredit import prefix_trees, tempo

_GROUPS = flags.DEFINE_integer('groups', 64, 'Groups (P).', 1)
_ROLLOUTS = flags.DEFINE_integer('rollouts', 8, 'Responses of a group (G).', 1)
_LENGTH = flags.DEFINE_integer('length', 1024, 'Tokens of a row (L).', 1)
_LONGEST = flags.DEFINE_integer(
  'longest', 16384, 'Rows are doubled up to this length; 0: not at all.', 0
)
_REPEATS = flags.DEFINE_integer('repeats', 30, 'Timed calls.', 1)


def plain_python(tokens, mask, rewards):
  """The slow reference of the tests, in the form of arrays."""
  out = np.zeros(mask.shape)
  for p, group in enumerate(mask):
    responses = [
      [(token, True) for token in tokens[p, g, valid].tolist()]
      for g, valid in enumerate(group)
    ]
    credit = plain_python_credit.tempo(responses, rewards[p].tolist())
    for g, (entries, _) in enumerate(credit):
      out[p, g, : len(entries)] = [total for total, _, _ in entries]
  return out


def milliseconds(call, repeats):
  """Median and fastest time of a call, compiled by a first one."""
  jax.block_until_ready(call())
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(call())
    times.append(1e3 * (time.perf_counter() - start))
  return float(np.median(times)), min(times)


def time_of(groups, length):
  arrays = jax.device_put(
    method_batch.responses(groups, _ROLLOUTS.value, length)
  )
  return milliseconds(
    lambda: tempo.advantages(*arrays), max(_REPEATS.value // 3, 1)
  )


def main(argv):
  del argv
  groups, rollouts, length = _GROUPS.value, _ROLLOUTS.value, _LENGTH.value
  tokens, mask, rewards = method_batch.responses(groups, rollouts, length)
  on_device = jax.device_put((tokens, mask, rewards))
  np.testing.assert_allclose(
    tempo.advantages(tokens, mask, rewards).total,
    plain_python(tokens, mask, rewards),
    atol=1e-4,
  )
  print(
    f'{groups} groups x {rollouts} responses x {length} tokens, '
    f'{int(mask.sum())} of them drawn; both agree\n'
    f'{"":34} median  fastest ms'
  )
  cases = (
    ('jaxcredit', lambda: tempo.advantages(*on_device)),
    (
      'jaxcredit, from NumPy arrays',
      lambda: tempo.advantages(tokens, mask, rewards),
    ),
    (
      'jaxcredit, common prefixes alone',
      lambda: prefix_trees.common_prefixes(*on_device[:2]),
    ),
  )
  times = [milliseconds(call, _REPEATS.value) for _, call in cases]
  for (name, _), (median, fastest) in zip(cases, times, strict=True):
    print(f'{name:34}{median:7.2f} {fastest:8.2f}')
  slow, fastest_slow = milliseconds(
    lambda: plain_python(tokens, mask, rewards), 3
  )
  print(
    f'{"dictionary of prefixes":34}{slow:7.0f} {fastest_slow:8.0f} '
    f'({slow / times[0][0]:.0f}x, {fastest_slow / times[0][1]:.0f}x)'
  )
  if _LONGEST.value:
    print(
      '\nlength   same groups: median  fastest   same tokens: median  fastest'
    )
  while length <= _LONGEST.value:
    (grown, grown_best), (same, same_best) = (
      time_of(number, length)
      for number in (groups, max(groups * _LENGTH.value // length, 1))
    )
    print(
      f'{length:6}{grown:22.2f} {grown_best:8.2f}{same:22.2f} {same_best:8.2f}'
    )
    length *= 2


if __name__ == '__main__':
  app.run(main)
