"""Many bandit runs in one compiled call, in chunks that show progress.

Settings (systems and configurations of one structure) and seeds become two
batch axes, of which the seeds are shared out among the devices of all
processes. What a finished call gives is saved, and read again by the next
start of the same command.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run import console, interruption, seed_shards
from experiments.run import folder as run_folder
from jaxcredit.algorithms.bandits import play
from jaxcredit.distributed import processes


@dataclasses.dataclass(frozen=True)
class Curves:
  """Regrets of V settings and N seeds at R records.

  Attributes:
    rounds: int [R].
    offline: float [V, N, R], steady-state regret.
    reward: float [V, N, R], reward regret.
    plays: int [V, N, K], how often each action was taken in all.
  """

  rounds: np.ndarray
  offline: np.ndarray
  reward: np.ndarray
  plays: np.ndarray


def stack(trees):
  """Pytrees of one structure with a leading axis."""
  return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def simulate(
  label: str,
  algorithm: play.Algorithm,
  systems: list,
  configs: list,
  *,
  horizon: int,
  seeds: int,
  seed: int,
  record_every: int,
  stop=lambda: False,
) -> Curves:
  """Plays every setting with every seed.

  Args:
    label: of the progress bar.
    algorithm: its functions.
    systems, configs: one of each for a setting.
    horizon: rounds.
    seeds: how many runs of a setting; run i has the same key in all settings.
    seed: of the keys.
    record_every: rounds between records.
    stop: says whether the user wants to stop.

  Raises:
    interruption.InterruptedRunError: the user wants to stop.
    FloatingPointError: a regret is not finite.
    ValueError: the processes cannot all have as many seeds.
  """
  record_every = play.check(systems[0], configs[0], horizon, record_every)
  step = int(np.lcm(record_every, play.BLOCK))
  chunk = min(step * -(-horizon // (20 * step)), horizon)
  mesh = seed_shards.make_mesh(seeds)
  keys = np.asarray(
    jax.random.key_data(jax.random.split(jax.random.key(seed), seeds))
  )
  keys = jax.random.wrap_key_data(seed_shards.place(keys, mesh))
  # As numpy, the same in each process.
  system, config = jax.tree.map(np.asarray, (stack(systems), stack(configs)))

  def over_runs(function):
    over_seeds = jax.vmap(function, in_axes=(0, None, None, 0))
    over_settings = jax.vmap(over_seeds, in_axes=(None, 0, 0, 0))
    return seed_shards.over_runs(over_settings, mesh, (0, None, None, 1), 1)

  def begin(key, system, config, unused):
    del key, unused
    return play.begin(algorithm, system, config)

  def advance(rounds):
    def one(key, system, config, progress):
      return play.advance(
        algorithm,
        key,
        system,
        config,
        progress,
        rounds,
        record_every,
        getattr(config, 'comparator', None),
      )

    return jax.jit(over_runs(one))

  nothing = np.zeros((len(systems), seeds), np.float32)
  progress = jax.jit(over_runs(begin))(keys, system, config, nothing)
  whole, parts, done = advance(chunk), [], 0
  runs = len(systems) * seeds
  with console.bar(label, horizon) as bar:
    bar(0, f'{runs} runs side by side; compiling')
    while done < horizon:
      if stop():
        raise interruption.InterruptedRunError
      rounds = min(chunk, horizon - done)
      function = whole if rounds == chunk else advance(rounds)
      progress, part = function(keys, system, config, progress)
      parts.append(jax.tree.map(processes.to_host, part))
      done += rounds
      bar(rounds, f'{runs} runs side by side')
  joined = jax.tree.map(lambda *x: np.concatenate(x, axis=2), *parts)
  curves = Curves(
    joined.rounds[0, 0],
    np.cumsum(joined.steady_shortfall, axis=-1, dtype=np.float64),
    np.cumsum(joined.shortfall, axis=-1, dtype=np.float64),
    joined.plays.sum(axis=2),
  )
  if not (
    np.isfinite(curves.offline).all() and np.isfinite(curves.reward).all()
  ):
    raise FloatingPointError(
      f'{label}: regrets that are not finite; the system or its bounds are '
      'too extreme for this precision'
    )
  return curves


def save(curves: Curves, path: pathlib.Path) -> None:
  """Writes curves whole or not at all; of several processes, the first does."""
  if processes.is_first():
    path.parent.mkdir(parents=True, exist_ok=True)
  arrays = dataclasses.asdict(curves)
  run_folder.write_bytes(path, lambda f: np.savez_compressed(f, **arrays))


def load(path: pathlib.Path) -> Curves | None:
  """Reads curves; None where there are none.

  Raises:
    ValueError: the file is damaged.
  """
  if not path.exists():
    return None
  try:
    with np.load(path, allow_pickle=False) as file:
      return Curves(
        **{f.name: file[f.name] for f in dataclasses.fields(Curves)}
      )
  except (OSError, KeyError, ValueError, EOFError) as error:
    raise ValueError(
      f'{path} cannot be read ({error}): delete it, and it is made again'
    ) from None
