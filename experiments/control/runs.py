"""Runs of a method over several seeds, in chunks, with checkpoints.

The seeds are an axis of one compiled program, shared out among the devices of
all processes. A checkpoint holds all that training changes and the curves so
far, so that a run that is resumed gives the numbers of one that never stopped.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from experiments.control import settings
from experiments.run import console, interruption, seed_shards
from jaxcredit.distributed import processes
from jaxcredit.rollouts import functional_episodes
from jaxcredit.training import checkpoints


class Program(Protocol):
  """A learner as pure functions, such as `ippo.Ippo`."""

  def init(self, key: jax.Array) -> Any:
    """The state before the first iteration."""

  def iterate(self, state: Any) -> tuple[Any, dict[str, jax.Array]]:
    """One iteration: the state after it, and metrics, float [] each."""

  def evaluate(self, state: Any, key: jax.Array, episodes: int) -> Any:
    """Episodes of the policy as it is."""


@dataclasses.dataclass(frozen=True)
class Result:
  """What a method gave.

  Attributes:
    iterations: int [R], done at each record.
    curves: name -> float [N, R], of N seeds.
    source: state of the source of rewards of the first seed.
    episode: plays an episode of the likeliest actions of the first seed.
  """

  iterations: np.ndarray
  curves: dict[str, np.ndarray]
  source: Any
  episode: Callable[[], functional_episodes.Episodes]


def _is_key(x) -> bool:
  return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def to_save(tree) -> dict[str, jax.Array]:
  """Leaves by number: keys as integers; without what has no element at all.

  Orbax takes neither keys nor arrays of size 0, such as the features of a
  method that looks at none.
  """
  return {
    str(i): jax.random.key_data(leaf) if _is_key(leaf) else leaf
    for i, leaf in enumerate(jax.tree.leaves(tree))
    if leaf.size
  }


def restored(saved: dict[str, jax.Array], like):
  """The tree of which `to_save` made leaves."""
  leaves, structure = jax.tree.flatten(like)
  for i, leaf in enumerate(leaves):
    if leaf.size:
      value = saved[str(i)]
      leaves[i] = jax.random.wrap_key_data(value) if _is_key(leaf) else value
  return jax.tree.unflatten(structure, leaves)


def check(label: str, returns: np.ndarray, iterations: int) -> None:
  """Raises FloatingPointError if a return is not finite."""
  if not np.isfinite(returns).all():
    raise FloatingPointError(
      f'{label}: the return is not finite after {iterations} iterations; a '
      'smaller --learning_rate or --decoder_learning_rate may help'
    )


def train(
  label: str,
  program: Program,
  schedule: settings.Settings,
  folder: pathlib.Path,
  stop=lambda: False,
) -> Result:
  """Trains a method with every seed, from its newest checkpoint on.

  Args:
    label: of the progress bar.
    program: the learner.
    schedule: seeds, one run each, and how long.
    folder: of the checkpoints.
    stop: says whether the user wants to stop.

  Raises:
    interruption.InterruptedRunError: the user wants to stop.
    FloatingPointError: a return is not finite.
    ValueError: the processes cannot all have as many seeds.
  """
  seeds = schedule.seed
  mesh = seed_shards.make_mesh(len(seeds))
  episode_key = jax.random.key(2**31 - 1)

  def begin(seeds):
    return jax.vmap(lambda seed: program.init(jax.random.key(seed)))(seeds)

  def chunk(state):
    def one(state):
      state, metrics = jax.lax.scan(
        lambda state, _: program.iterate(state),
        state,
        length=schedule.record_every,
      )
      played = program.evaluate(
        state, episode_key, schedule.evaluation_episodes
      )
      metrics = jax.tree.map(jnp.mean, metrics)
      return state, {'evaluation': played.team_return.mean(), **metrics}

    return jax.vmap(one)(state)

  begin = seed_shards.over_runs(begin, mesh, (0,), 0)
  chunk = seed_shards.over_runs(chunk, mesh, (0,), 0)
  state = jax.jit(begin)(seed_shards.place(np.array(seeds, np.uint32), mesh))
  names = jax.eval_shape(chunk, state)[1]
  history = {
    name: np.full((schedule.records, len(seeds)), np.nan, np.float32)
    for name in names
  }
  advance = jax.jit(chunk, donate_argnums=0)
  kept = checkpoints.Checkpoints(folder, report=console.console.print)

  def save(done):
    # Written while training goes on, which fills the history further.
    curves = {name: values.copy() for name, values in history.items()}
    kept.save(done, (to_save(state), curves), force=True)

  with kept, console.bar(label, schedule.records) as bar:
    done = 0
    if kept.latest is not None:
      saved = kept.restore((to_save(state), history))
      state = restored(saved[0], state)
      history = jax.tree.map(np.array, saved[1])
      done = kept.latest
    bar(done, 'compiling' if done < schedule.records else '')
    while done < schedule.records:
      if stop():
        save(done)
        raise interruption.InterruptedRunError
      state, metrics = advance(state)
      for name, values in metrics.items():
        history[name][done] = processes.to_host(values)
      now = history['evaluation'][done]
      done += 1
      check(label, now, done * schedule.record_every)
      if done == schedule.records or not done % schedule.checkpoint_every:
        save(done)
      bar(1, f'return {now.mean():.1f}')
  first = seed_shards.first(state, mesh)
  return Result(
    schedule.recorded,
    {k: v.T for k, v in history.items()},
    first.source,
    lambda: jax.jit(
      lambda state: program.evaluate(state, jax.random.key(0), 1)
    )(first),
  )
