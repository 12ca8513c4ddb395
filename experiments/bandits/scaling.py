"""How DynLin-UCB's regret grows with the horizon and with 1 / (1 - rho).

Random symmetric systems (so that Phi = 1) of one spectral radius each, whose
long-run rewards do not depend on it; the actions are the corners of a cube.
The scan over epochs plays all horizons and systems of a spectral radius in one
compiled call. Exponents are fitted by least squares to the mean of the
logarithm of the regret,

  log R = a + b log T + c log(1 / (1 - rho)),

with standard errors over systems (bootstrap). The theory, for one system and
growing T: at most b = 1/2 (times (log T)^{3/2} to (log T)^2) and c = 1 to 3/2;
at least b = 1/2 and c = 1/2.
"""

import dataclasses
import functools
import itertools
import pathlib

import jax
import numpy as np
from matplotlib import figure

from experiments.bandits import figures as bandit_figures
from experiments.bandits import runs as bandit_runs
from experiments.run import console, interruption, seed_shards
from experiments.run import folder as run_folder
from jaxcredit import dynlin_ucb_epochs, files
from jaxcredit.algorithms.bandits import action_sets, bounds, epochs
from jaxcredit.distributed import processes
from jaxcredit.environments import linear_dynamical_system


@dataclasses.dataclass(frozen=True)
class Study:
  """What is varied.

  Attributes:
    rhos: spectral radii.
    horizons: rounds.
    systems: random systems for each radius.
    states: n.
    dimension: d.
    sigma: standard deviation of the noises.
    seed: of the systems and runs.
  """

  rhos: tuple[float, ...]
  horizons: tuple[int, ...]
  systems: int
  states: int
  dimension: int
  sigma: float
  seed: int


def cube(dimension: int) -> np.ndarray:
  """The corners of a cube in the unit ball, [2^d, d]."""
  corners = list(itertools.product((-1.0, 1.0), repeat=dimension))
  return np.array(corners) / np.sqrt(dimension)


def simulate(study: Study, rho: float) -> np.ndarray:
  """Final regrets of one spectral radius, [horizons, systems]."""
  actions = action_sets.finite(cube(study.dimension))
  # Rounding may put a system's radius just above the one asked for.
  bound = min(rho * (1 + 1e-6), 1 - 1e-9)
  lengths = [epochs.lengths(bound, horizon) for horizon in study.horizons]
  fill = {
    'count': max(table.size for table in lengths),
    'longest': int(max(table.max() for table in lengths)),
  }
  systems, told = [], []
  for index in range(study.systems):
    system = linear_dynamical_system.random(
      study.seed + index,
      states=study.states,
      dimension=study.dimension,
      rho=rho,
      sigma=study.sigma,
      symmetric=True,
    )
    systems.append(system)
    told.append(bounds.of_system(system, actions, rho=bound))
  configs = bandit_runs.stack(
    [
      bandit_runs.stack(
        [
          dynlin_ucb_epochs.configure(s, actions, horizon, bounds=b, **fill)
          for s, b in zip(systems, told, strict=True)
        ]
      )
      for horizon in study.horizons
    ]
  )
  mesh = seed_shards.make_mesh(study.systems)
  keys = jax.random.split(
    jax.random.key(study.seed), (len(study.horizons), study.systems)
  )
  # As numpy, the same in each process.
  key_data, systems, configs = jax.tree.map(
    np.asarray,
    (jax.random.key_data(keys), bandit_runs.stack(systems), configs),
  )

  def final(key, system, config):
    return dynlin_ucb_epochs.run(key, system, config).offline_regret[-1]

  def over_all(key_data, systems, configs):
    keys = jax.random.wrap_key_data(key_data)
    over_systems = jax.vmap(final)
    return jax.vmap(over_systems, in_axes=(0, None, 0))(keys, systems, configs)

  shared = seed_shards.over_runs(over_all, mesh, (1, 0, 1), 1)
  return processes.to_host(jax.jit(shared)(key_data, systems, configs))


def run(study: Study, folder: pathlib.Path, stop) -> np.ndarray:
  """All regrets, [rhos, horizons, systems]; saved after each radius.

  Raises:
    interruption.InterruptedRunError: the user wants to stop.
  """
  parts = []
  with console.bar('scaling', len(study.rhos)) as bar:
    for rho in study.rhos:
      path = folder / 'scaling' / f'rho_{rho:g}.npy'
      if path.exists():
        regrets = np.load(path, allow_pickle=False)
      else:
        if stop():
          raise interruption.InterruptedRunError
        regrets = simulate(study, rho)
        if processes.is_first():
          path.parent.mkdir(parents=True, exist_ok=True)
        run_folder.write_bytes(path, functools.partial(np.save, arr=regrets))
      parts.append(regrets)
      bar(1, f'rho {rho:g}')
  return np.stack(parts)


def exponents(study: Study, regrets: np.ndarray) -> tuple[float, float]:
  """b and c of the fit to all cells."""
  logs = np.log(regrets).mean(axis=-1).reshape(-1)
  memory, horizon = np.meshgrid(
    -np.log1p(-np.array(study.rhos)), np.log(study.horizons), indexing='ij'
  )
  design = np.stack(
    [np.ones(logs.size), horizon.reshape(-1), memory.reshape(-1)], axis=1
  )
  _, b, c = np.linalg.lstsq(design, logs, rcond=None)[0]
  return float(b), float(c)


def fit(study: Study, regrets: np.ndarray, resamples: int = 500):
  """The exponents and their standard errors over systems."""
  rng = np.random.default_rng(0)
  again = [
    exponents(
      study, regrets[..., rng.integers(study.systems, size=study.systems)]
    )
    for _ in range(resamples)
  ]
  return exponents(study, regrets), np.std(again, axis=0, ddof=1)


def last(study: Study, regrets: np.ndarray, count: int):
  """The study and its regrets at the `count` longest horizons."""
  shorter = dataclasses.replace(study, horizons=study.horizons[-count:])
  return shorter, regrets[:, -count:]


def slopes(x: np.ndarray, regrets: np.ndarray) -> np.ndarray:
  """Slopes of the mean log regret [C, M, systems] over log x [M], [C]."""
  logs = np.log(regrets).mean(axis=-1)
  return np.array([np.polyfit(np.log(x), row, 1)[0] for row in logs])


def table(study: Study, regrets: np.ndarray) -> str:
  """Regrets and exponents as Markdown."""
  horizons, memory = np.array(study.horizons), 1 / (1 - np.array(study.rhos))
  lines = [
    f'Steady-state regret of DynLin-UCB on {study.systems} random systems '
    f'(n = {study.states}, d = {study.dimension}, sigma = {study.sigma:g}): '
    'mean (standard error over systems). Slopes are those of the mean '
    'logarithm: of a row over its last two horizons, of a column over all rho.',
    '',
    '| rho | 1 / (1 - rho) | '
    + ' | '.join(f'T = {h:,}' for h in study.horizons)
    + ' | slope in T |',
    '| ---: | ---: |' + ' ---: |' * (len(study.horizons) + 1),
  ]
  in_horizon = ['-'] * len(study.rhos)
  if horizons.size > 1:
    ends = slopes(horizons[-2:], regrets[:, -2:])
    in_horizon = [f'{slope:.2f}' for slope in ends]
  for i, rho in enumerate(study.rhos):
    cells = [
      f'{r.mean():,.0f} ({bandit_figures.mean_and_spread(r)[1]:,.0f})'
      for r in regrets[i]
    ]
    lines.append(
      f'| {rho:g} | {memory[i]:.4g} | {" | ".join(cells)} | {in_horizon[i]} |'
    )
  if memory.size > 1:
    columns = slopes(memory, regrets.swapaxes(0, 1))
    cells = ' | '.join(f'{slope:.2f}' for slope in columns)
    lines.append(f'| slope in 1 / (1 - rho) | | {cells} | |')
  lines.append('')
  if memory.size > 1 and horizons.size > 1:
    for words, (part, values) in {
      'all horizons': (study, regrets),
      'the three longest horizons': last(study, regrets, 3),
    }.items():
      (b, c), (b_error, c_error) = fit(part, values)
      lines.append(
        f'Fitted over {words}: R ~ T^{b:.2f} (standard error {b_error:.2f}), '
        f'(1 / (1 - rho))^{c:.2f} ({c_error:.2f}).'
      )
      lines.append('')
  lines += [
    'Theory: at most T^0.5 and (1 / (1 - rho))^1 to ^1.5, with powers of log '
    'T; at least T^0.5 and (1 / (1 - rho))^0.5.',
    '',
  ]
  return '\n'.join(lines)


def draw(study: Study, regrets: np.ndarray) -> figure.Figure:
  """Regret against the horizon, and against 1 / (1 - rho)."""
  picture = figure.Figure(figsize=(13, 4.8), layout='constrained')
  left, right = picture.subplots(1, 2)
  horizons, memory = np.array(study.horizons), 1 / (1 - np.array(study.rhos))
  center = np.exp(np.log(regrets).mean(axis=-1))
  low, high = np.quantile(regrets, (0.25, 0.75), axis=-1)
  for i, rho in enumerate(study.rhos):
    left.plot(horizons, center[i], 'o-', label=f'rho = {rho:g}', color=f'C{i}')
    left.fill_between(horizons, low[i], high[i], alpha=0.15, color=f'C{i}')
  for j, horizon in enumerate(horizons):
    right.plot(
      memory, center[:, j], 'o-', label=f'T = {horizon:,}', color=f'C{j}'
    )
  for axis, x, powers, y in (
    (left, horizons, (0.5,), center.min()),
    (right, memory, (0.5, 1.0, 1.5), center.min()),
  ):
    for power in powers:
      axis.plot(
        x, y * (x / x[0]) ** power, '--', color='0.5', linewidth=1,
        label=f'slope {power:g}',
      )  # fmt: skip
    axis.set_xscale('log')
    axis.set_yscale('log')
    axis.legend(fontsize=7, loc='center left', bbox_to_anchor=(1, 0.5))
    axis.grid(alpha=0.3)
  left.set_xlabel('horizon T')
  left.set_ylabel('steady-state regret: geometric mean, quartiles')
  right.set_xlabel('1 / (1 - rho)')
  right.set_xticks(memory, [f'{m:.4g}' for m in memory])
  right.minorticks_off()
  return picture


def write(study: Study, regrets: np.ndarray, folder: pathlib.Path) -> None:
  """Writes scaling.png, .pdf, .csv and table.md.

  Of several processes, the first does.
  """
  if not processes.is_first():
    return
  rows = [
    [study.rhos[i], study.horizons[j], k, f'{regrets[i, j, k]:.6g}']
    for i, j, k in np.ndindex(regrets.shape)
  ]
  header = ['rho', 'horizon', 'system', 'offline_regret']
  files.write_csv(folder / 'scaling.csv', header, rows)
  picture = draw(study, regrets)
  files.save_figure(picture, folder / 'scaling.png', dpi=150)
  # Without the date, equal numbers give equal files.
  metadata = {'CreationDate': None}
  files.save_figure(picture, folder / 'scaling.pdf', metadata=metadata)
  files.write_text(folder / 'table.md', table(study, regrets))
