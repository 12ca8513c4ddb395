"""Which split of the outcome SPA's loss and its options select, exactly.

  python -m experiments.accuracy.progress_identification

An episode has as many steps as there are effects. At each the agent takes one
of two actions with even chances, and action 1 at step t adds effects[t] to the
outcome. All episodes together are the batch, so that means are expectations,
and the estimator is a table: an entry for each history (which actions were
taken up to the step), for each action of each step, or for each step of each
episode. Minima are computed, not approached: from zero, and from random tables,
each of which goes to the solution that is nearest to it.

For each loss the script prints how many dimensions the set of its minima has,
the loss itself there (the paper's part), and by how much it is wrong about what
action 1 adds at a step, given the history: root mean square.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxcredit import spa

_EFFECTS = flags.DEFINE_list(
  'effects', ['0.4', '0', '0.4', '0.2'], 'What action 1 adds at each step.'
)
_STARTS = flags.DEFINE_integer('starts', 20, 'Random tables to begin from.', 1)
_SMALL = flags.DEFINE_float(
  'small', 1e-4, 'Weight of an option that is only to select a solution.', 0
)

MODELS = ('history', 'action', 'episode')


def episodes(steps: int) -> np.ndarray:
  """int [2^steps, steps], every sequence of two actions."""
  return np.array(list(itertools.product((0, 1), repeat=steps)))


def entries(actions: np.ndarray, model: str) -> np.ndarray:
  """Which entry of the table each step of each episode reads.

  Args:
    actions: int [E, S].
    model: one of MODELS.

  Returns:
    int [E, S].
  """
  count, steps = actions.shape
  if model == 'episode':
    return np.arange(count * steps).reshape(count, steps)
  if model == 'action':
    return 2 * np.arange(steps) + actions
  # The actions so far as the digits of a number that begins with a 1.
  place = np.ones(count, int)
  numbers = []
  for t in range(steps):
    place = 2 * place + actions[:, t]
    numbers.append(place - 2)
  return np.stack(numbers, axis=1)


def objective(effects: np.ndarray, model: str, **options):
  """The loss as a function of the table, and the table's size."""
  actions = episodes(len(effects))
  outcome = actions @ effects
  index = entries(actions, model)

  def loss(table):
    return spa.progress_loss_parts(table[index], outcome, **options)

  return loss, int(index.max()) + 1


def minima(loss, starts: np.ndarray) -> np.ndarray:
  """The minima of a quadratic function that are nearest to points [N, size]."""
  hessian = np.asarray(jax.hessian(loss)(starts[0]))
  gradients = np.asarray(jax.vmap(jax.grad(loss))(starts))
  return starts - gradients @ np.linalg.pinv(hessian, rcond=1e-9)


def descend(loss, starts: np.ndarray, iterations: int = 20_000) -> np.ndarray:
  """Minima of a convex function, by accelerated gradient descent."""
  # The curvature where every term counts: all contributions are negative there.
  bound = np.linalg.norm(np.asarray(jax.hessian(loss)(starts[0] - 10)), ord=2)
  slopes = jax.vmap(jax.grad(loss))

  def step(carry, k):
    here, last = carry
    ahead = here + k / (k + 3) * (here - last)
    return (ahead - slopes(ahead) / bound, here), None

  carry = (jnp.asarray(starts), jnp.asarray(starts))
  (here, _), _ = jax.lax.scan(step, carry, jnp.arange(iterations))
  return np.asarray(here)


def free_dimensions(loss, size: int) -> int:
  """Dimensions of the set of minima of a quadratic function."""
  hessian = np.asarray(jax.hessian(loss)(np.zeros(size)))
  return size - np.linalg.matrix_rank(hessian, tol=1e-9)


def effect_error(contributions: np.ndarray, effects: np.ndarray) -> float:
  """How wrong contributions are about what each action adds.

  Args:
    contributions: float [E, S], of all episodes in the order of `episodes`.
    effects: float [S].

  Returns:
    Root mean square over steps and histories.
  """
  steps = len(effects)
  squares = []
  for t in range(steps):
    # [histories, action, what follows]; what follows is averaged.
    of_step = contributions[:, t].reshape(2**t, 2, -1).mean(axis=-1)
    squares.append(((of_step[:, 1] - of_step[:, 0] - effects[t]) ** 2).mean())
  return float(np.sqrt(np.mean(squares)))


def measure(effects, model, starts, **options) -> dict[str, float]:
  """Minima of one loss from zero and from random tables.

  Returns:
    'free' (NaN where the loss is not quadratic), 'loss' (the paper's part, the
    largest), 'error' from zero, 'error_random' (mean) and 'spread' (largest
    distance of an entry from the solution that begins at zero).
  """
  loss, size = objective(effects, model, **options)
  index = entries(episodes(len(effects)), model)
  rng = np.random.default_rng(0)
  begin = np.stack(
    [np.zeros(size), *(rng.normal(size=size) / 2 for _ in range(starts))]
  )
  quadratic = not options.get('monotone_weight')
  tables = (minima if quadratic else descend)(lambda t: loss(t).loss, begin)
  errors = [effect_error(table[index], effects) for table in tables]
  return {
    'free': (
      free_dimensions(lambda t: loss(t).loss, size)
      if quadratic
      else float('nan')
    ),
    'loss': max(float(loss(table).regression) for table in tables),
    'error': errors[0],
    'error_random': float(np.mean(errors[1:])),
    'spread': max(float(abs(t - tables[0]).max()) for t in tables),
  }


def main(argv):
  del argv
  effects = np.array([float(effect) for effect in _EFFECTS.value])
  small = _SMALL.value
  print(f'effects {effects.tolist()}, {_STARTS.value} random tables')
  last = np.zeros((2 ** len(effects), len(effects)))
  last[:, -1] = episodes(len(effects)) @ effects
  print(f'all credit on the last step: error {effect_error(last, effects):.3f}')
  print('| table of | options | free | loss | error | random | spread |')
  print('| --- | --- | --- | --- | --- | --- | --- |')
  for model in MODELS:
    for options in (
      {},
      {'prefix_weight': small},
      {'prefix_weight': 1.0},
      {'smoothness_weight': small},
      {'smoothness_weight': 1.0},
      {'monotone_weight': 1.0},
      {'prefix_weight': 1.0, 'monotone_weight': 1.0},
    ):
      with jax.enable_x64(True):
        result = measure(effects, model, _STARTS.value, **options)
      told = ', '.join(f'{k}={v:g}' for k, v in options.items()) or 'none'
      print(
        f'| {model} | {told} | {result["free"]:g} | {result["loss"]:.1e} | '
        f'{result["error"]:.3f} | {result["error_random"]:.3f} | '
        f'{result["spread"]:.3f} |',
        flush=True,
      )


if __name__ == '__main__':
  app.run(main)
