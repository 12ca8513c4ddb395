"""Programs of the language, and what Python itself makes of them."""

import warnings

import numpy as np

PARAMETERS = ('observation', 'action')


def function(body: str) -> str:
  """A function of some lines; the last is its return."""
  lines = body.strip('\n').split('\n')
  return '\n'.join(
    ['def factors(observation, action):', *(f'  {line}' for line in lines)]
  )


def by_python(source: str, *arrays) -> np.ndarray:
  """Factors of a trusted source, executed by Python with NumPy in float64."""
  names = {'jnp': np}
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    exec(source, names)  # noqa: S102
    factors = names['factors'](*(array.astype(np.float64) for array in arrays))
  rows = arrays[0].shape[0]
  return np.concatenate(
    [np.asarray(factor, np.float64).reshape(rows, 1) for factor in factors], 1
  )


def arrays(rows: int = 12, seed: int = 0, sizes=(6, 2)) -> list[np.ndarray]:
  generator = np.random.default_rng(seed)
  return [
    generator.normal(size=(rows, size)).astype(np.float32) for size in sizes
  ]


# Every form of the language, in bodies whose factors vary.
FORMS = {
  'arithmetic': 'return [-observation[:, 0:1] * 2 + action[:, :1] / 3 - 1e-3]',
  'powers': 'return [observation[:, 0] ** 2, jnp.abs(action[:, 1]) ** 0.5]',
  'integers': """
k = 7 // 2 % 3 + 2 ** 2 - 4
return [observation[:, k], observation[:, -k:-k + 1] % 2 // 1]""",
  'tuple': 'return (observation[:, 0], observation[:, 1:2])',
  'unpacking': """
a, b = observation[:, 0:1], 2.5
return [a * b]""",
  'augmented': """
x = observation[:, 0:1]
x += action[:, 0:1]
x *= 3
return [x]""",
  'comparisons': """
a = (observation[:, 0:1] > 0) & ~(action[:, 0:1] <= 0.1)
b = (observation[:, 1:2] != 0) | (action == 0)[:, 1:2]
return [a, jnp.where(a | b, observation[:, 2:3], -1.0)]""",
  'loops': """
total = 0.0
for i in range(1, 6, 2):
  for sign in (1, -1):
    total = total + sign * observation[:, i] ** 2 * i
for (i, w) in ((0, 0.5), (3, 2.0)):
  total = total + w * observation[:, i]
return [total]""",
  'lists': """
parts = []
for i in range(3):
  parts.append(observation[:, i:i + 1])
more = [jnp.sin(p) for p in parts]
i = len(parts)
return [jnp.concatenate(more, axis=1).sum(axis=1), parts[-1], more[0] * i]""",
  'conditions': """
n = observation.shape[1]
scale = 2.0 if n > 4 and not n == 7 else 1.0
if n == 6 or n == 1:
  x = observation[:, 0]
else:
  x = observation[:, 1]
return [x * scale]""",
  'indices': """
a = observation[..., 0]
b = observation[:, None, 1:3][:, 0, 1]
c = observation[:, [0, 2, -1]]
d = observation[:, ::2][:, 1]
return [a, b, c[:, 2], d, c[:, 1:2]]""",
  'methods': """
a = observation.sum(axis=1, keepdims=True)
b = (observation > 0).astype(jnp.float32).mean(axis=-1)
c = observation.max(axis=1).reshape(-1, 1) - observation.min(axis=1)[:, None]
d = action.astype(observation.dtype).clip(-0.5, 0.5)[:, 0]
return [a, b, c, d, a.squeeze(axis=1)]""",
  'norms': """
a = jnp.linalg.norm(observation[:, :3], axis=-1, keepdims=True)
b = jnp.linalg.norm(action, ord=1, axis=1)
return [a, b, jnp.hypot(action[:, 0], action[:, 1])]""",
  'norms of matrices': """
m = observation.reshape(-1, 2, 3)
return [jnp.linalg.norm(m, ord=2, axis=(1, 2)),
        jnp.linalg.norm(m, ord=1, axis=(1, 2))]""",
  'arguments bound anew': """
action = jnp.clip(action, -1, 1)
observation, scale = observation * 2, 3
for action in (action, action * scale):
  action *= 2
return [observation[:, 0], action[:, 1]]""",
  'literals': """
w = jnp.array([0.5, -1.0, 2, 0, 1, 3])
m = jnp.array([[1, 2], [3, 4]])
return [jnp.dot(observation, w), jnp.sum(jnp.dot(action, m), axis=1)]""",
  'shapes': """
pairs = jnp.reshape(observation, (-1, 3, 2))
gaps = jnp.linalg.norm(pairs, axis=-1)
low = jnp.sort(gaps, axis=1)
s = jnp.stack([gaps[:, 0], gaps[:, 2]], axis=1)
return [low[:, 0], jnp.min(gaps, axis=1, keepdims=True), s[:, 0] + s[:, 1],
        jnp.squeeze(jnp.expand_dims(low[:, 1], axis=1), axis=1)]""",
  'functions': """
x = observation[:, 0:1]
y = jnp.clip(observation[:, 1:2], -1, 1)
return [jnp.tanh(x) + jnp.cos(y), jnp.exp(-x ** 2), jnp.arctan2(y, x),
        jnp.log1p(jnp.square(y)), jnp.sign(x) * jnp.pi, jnp.maximum(x, y),
        jnp.where(x > 0, x, jnp.zeros_like(x)), abs(x), jnp.arccos(y),
        jnp.minimum(
          jnp.min(jnp.where(observation > 0, observation, jnp.inf), axis=1), 9)]
""",
  'docstring': '"""Räume, \u2192 and \\d."""\n# 1 \u2264 2\n'
  'return [action[:, 0]]',
}
