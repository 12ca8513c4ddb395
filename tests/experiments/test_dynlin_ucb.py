"""The bandit experiment: end to end, resumed, and every flag has an effect."""

import csv
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.bandits import algorithms as bandit_algorithms
from experiments.bandits import figures as bandit_figures
from experiments.bandits import runs as bandit_runs
from experiments.bandits import scaling as bandit_scaling
from experiments.bandits import settings as bandit_settings
from experiments.run import interruption
from jaxcredit import dynlin_ucb
from jaxcredit.algorithms.bandits import bounds, exp3, play
from tests.experiments import script

FLAGS = (
  '--horizon=600', '--seeds=3', '--sigma=0.01', '--sigma=0.1',
  '--algorithm=dynlin_log', '--algorithm=optimum', '--record_every=100',
)  # fmt: skip


def run(*arguments):
  return script.run(*arguments, module='experiments.dynlin_ucb')


def rows(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


@pytest.mark.system
def test_end_to_end_and_again(tmp_path):
  folder = tmp_path / 'run'
  result = run(f'--run={folder}', *FLAGS)
  assert result.returncode == 0, result.stderr
  for name, start in (('regret.png', b'\x89PNG'), ('regret.pdf', b'%PDF')):
    assert (folder / name).read_bytes().startswith(start)
  assert (folder / 'table.md').read_text() in result.stdout
  assert '<svg' in (folder / 'report.html').read_text()
  curves, finals = rows(folder / 'curves.csv'), rows(folder / 'finals.csv')
  # 2 panels x 2 algorithms x 6 records, and x 3 runs.
  assert len(curves) == 24 and len(finals) == 12
  for row in curves:
    if row['round'] != '600':
      continue
    ends = np.array(
      [
        float(f['offline_regret'])
        for f in finals
        if (f['panel'], f['algorithm']) == (row['panel'], row['algorithm'])
      ]
    )
    assert float(row['offline_regret_mean']) == pytest.approx(ends.mean())
    deviation = float(row['offline_regret_standard_deviation'])
    error = float(row['offline_regret_standard_error'])
    assert deviation == pytest.approx(ends.std(ddof=1), abs=1e-3)
    assert error == pytest.approx(deviation / np.sqrt(3), rel=1e-4, abs=1e-6)
    if row['algorithm'] == 'optimum':
      assert ends.tolist() == [0, 0, 0]
    else:
      assert ends.min() > 10

  made = (folder / 'curves.csv').read_bytes()
  (folder / 'curves.csv').unlink()
  again = run(f'--run={folder}', *FLAGS)
  assert again.returncode == 0, again.stderr
  assert again.stdout.count('found in') == 2
  assert (folder / 'curves.csv').read_bytes() == made

  other = run(f'--run={folder}', *FLAGS, '--seeds=4')
  assert other.returncode == 1
  assert '--seeds: 3 then, 4 now' in other.stderr
  assert 'Traceback' not in other.stderr

  (folder / 'runs' / 'optimum.npz').write_bytes(b'not an archive')
  damaged = run(f'--run={folder}', *FLAGS)
  assert damaged.returncode == 1
  assert 'optimum.npz cannot be read' in damaged.stderr
  assert 'delete it' in damaged.stderr


@pytest.mark.system
def test_the_study_of_wrong_bounds(tmp_path):
  result = run(
    f'--run={tmp_path / "run"}', '--study=rho_bound', '--horizon=400',
    '--seeds=2', '--rho_bound=0.2', '--rho_bound=0',
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  assert 'epochs end before the system has settled' in result.stdout
  assert '| DynLin-UCB (log T), bound 0 |' in result.stdout
  assert '| Lin-UCB (log T) |' in result.stdout
  assert 'bound 0' in (tmp_path / 'run' / 'report.html').read_text()


# A process of its own, since flags of two scripts do not mix. It replaces what
# simulates by what tells the arguments, and changes one flag at a time.
_TELL = """
import hashlib, json, pathlib, sys, tempfile
import jax, numpy as np
from absl import flags
from absl.testing import flagsaver
from experiments import dynlin_ucb
from experiments.bandits import runs, scaling, studies
from experiments.run import interruption, script

told = []

def tell(*arguments, **options):
  options.pop('stop', None)
  parts = [
    (x.shape, np.asarray(x).tolist()) if hasattr(x, 'shape') else repr(x)
    for x in jax.tree.leaves((arguments[2:], options))
  ]
  structure = repr(jax.tree.structure(arguments[2:])) + repr(arguments[0])
  told.append(hashlib.sha1(repr((parts, structure)).encode()).hexdigest())
  raise interruption.InterruptedRunError

def tell_study(study, folder, stop):
  told.append(repr(study))
  raise interruption.InterruptedRunError

runs.simulate = tell
scaling.run = tell_study
flags.FLAGS(['test'])
changes = json.loads(sys.argv[1])
result = {}
own = flags.FLAGS.flags_by_module_dict()['experiments.dynlin_ucb']
for names in dynlin_ucb.SHORT.values():
  assert set(names) <= script.own_flags('experiments.dynlin_ucb').keys()
for name, (study, base, value) in changes.items():
  outcomes = []
  for values in (base, {**base, name: value}):
    folder = pathlib.Path(tempfile.mkdtemp())
    with flagsaver.flagsaver(**{'study': study, **values}):
      try:
        studies.run(dynlin_ucb.build(), folder, lambda: False)
      except interruption.InterruptedRunError:
        pass
    outcomes.append(told[-1])
  result[name] = outcomes[0] != outcomes[1]
print(json.dumps([result, sorted(flag.name for flag in own)]))
"""


@pytest.mark.system
def test_every_flag_has_an_effect():
  base = {'horizon': 500, 'algorithm': ['exp3_k'], 'system': 'advertising'}
  dynlin = {**base, 'algorithm': ['dynlin_log']}
  changes = {
    'seed': ('comparison', base, 1),
    'seeds': ('comparison', base, 7),
    'horizon': ('comparison', base, 501),
    'system': ('comparison', base, 'synthetic'),
    'sigma': ('comparison', base, [0.3]),
    'algorithm': ('comparison', base, ['exp3']),
    'record_every': ('comparison', base, 50),
    'start': ('comparison', dynlin, 'paper'),
    'state_bound': ('comparison', dynlin, 'derived'),
    'outputs': ('comparison', base, 1),
    'radius': ('comparison', base, 'released'),
    'rho_bound': ('rho_bound', base, [0.9]),
    'scaling_rho': ('scaling', base, [0.9]),
    'scaling_horizon': ('scaling', base, [77]),
    'scaling_systems': ('scaling', base, 3),
    'scaling_states': ('scaling', base, 5),
    'scaling_dimension': ('scaling', base, 2),
  }
  process = subprocess.run(
    [sys.executable, '-c', _TELL, json.dumps(changes)],
    cwd=script.REPOSITORY,
    env=script.environment(),
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert process.returncode == 0, process.stderr
  effects, flags = json.loads(process.stdout.splitlines()[-1])
  assert [name for name, effect in effects.items() if not effect] == []
  # The study, which the other tests vary.
  assert sorted([*changes, 'study']) == flags


def problem(sigma=0.01, horizon=1100, **options):
  system = bandit_algorithms.SYSTEMS['synthetic'](sigma, outputs=3)
  actions = bandit_algorithms.actions()
  told = bounds.of_system(system, actions, sigma=sigma, x='released')
  return bandit_algorithms.Problem(
    system, actions, told, horizon, bandit_algorithms.Options(**options)
  )


def test_chunks_of_many_settings_are_the_runs_of_each():
  parts = [problem(0.01), problem(0.2)]
  entry = bandit_algorithms.ALGORITHMS['exp3_k']
  configs = [entry.configure(p) for p in parts]
  curves = bandit_runs.simulate(
    'test', entry.algorithm, [p.system for p in parts], configs,
    horizon=1100, seeds=2, seed=3, record_every=250,
  )  # fmt: skip
  assert curves.rounds.tolist() == [250, 500, 750, 1000, 1100]
  assert (curves.plays.sum(axis=-1) == 1100).all()
  keys = jax.random.split(jax.random.key(3), 2)
  for v, p in enumerate(parts):
    history = play.run(
      exp3.ALGORITHM, keys[1], p.system, configs[v], 1100, record_every=250
    )
    np.testing.assert_allclose(
      curves.offline[v, 1], history.offline_regret, rtol=1e-5
    )
    np.testing.assert_allclose(
      curves.reward[v, 1], history.reward_regret, rtol=1e-4
    )
  with pytest.raises(interruption.InterruptedRunError):
    bandit_runs.simulate(
      'test', entry.algorithm, [parts[0].system], configs[:1],
      horizon=1100, seeds=2, seed=3, record_every=250, stop=lambda: True,
    )  # fmt: skip


@pytest.mark.parametrize('name', bandit_algorithms.ALGORITHMS)
def test_every_algorithm_can_be_configured(name):
  entry = bandit_algorithms.ALGORITHMS[name]
  config = entry.configure(problem())
  state = entry.algorithm.init(config)
  action, state = entry.algorithm.select(config, state, 0.999)
  assert 0 <= int(action) < 6
  entry.algorithm.update(config, state, action, np.float32(0.5))
  released = getattr(config, 'random_start', None)
  if released is not None:
    assert released
    assert not entry.configure(problem(start='paper')).random_start


def test_complex_arithmetic_of_the_script():
  system = bandit_algorithms.SYSTEMS['advertising']()
  actions = bandit_algorithms.actions()
  told = bounds.of_system(system, actions)
  batches = {}
  for radius in ('modulus', 'released'):
    p = bandit_algorithms.Problem(
      system, actions, told, 100_000,
      bandit_algorithms.Options(radius=radius),
    )  # fmt: skip
    entry = bandit_algorithms.ALGORITHMS['exp3_k']
    batches[radius] = int(entry.configure(p).batch)
  assert batches == {'modulus': 22, 'released': 12}


def test_fit_finds_the_exponents_of_a_power_law():
  study = bandit_scaling.Study((0.2, 0.5, 0.9), (100, 1000), 4, 2, 2, 0.1, 0)
  memory = 1 / (1 - np.array(study.rhos))
  scale = np.array([1.0, 1.5, 0.7, 1.2])
  regrets = (
    memory[:, None, None] ** 1.25
    * np.array(study.horizons)[:, None] ** 0.5
    * scale
  )
  (b, c), errors = bandit_scaling.fit(study, regrets, resamples=20)
  assert (b, c) == (pytest.approx(0.5), pytest.approx(1.25))
  assert (errors < 1e-6).all()
  assert 'R ~ T^0.50' in bandit_scaling.table(study, regrets)


def test_scaling_end_to_end(tmp_path):
  study = bandit_scaling.Study((0.2, 0.8), (150, 600), 2, 2, 2, 0.05, 0)
  regrets = bandit_scaling.run(study, tmp_path, lambda: False)
  assert regrets.shape == (2, 2, 2)
  assert np.isfinite(regrets).all() and (regrets > 0).all()
  assert (regrets[:, 1] > regrets[:, 0]).all()
  # What is there is read, and not played again.
  with pytest.raises(interruption.InterruptedRunError):
    bandit_scaling.run(study, tmp_path / 'elsewhere', lambda: True)
  again = bandit_scaling.run(study, tmp_path, lambda: True)
  np.testing.assert_array_equal(again, regrets)
  bandit_scaling.write(study, regrets, tmp_path)
  assert len(rows(tmp_path / 'scaling.csv')) == 8
  assert (tmp_path / 'scaling.png').stat().st_size > 1000
  assert (tmp_path / 'scaling.pdf').stat().st_size > 1000


def test_one_run_has_no_spread():
  mean, error, deviation = bandit_figures.mean_and_spread(np.ones((1, 3)))
  assert mean.tolist() == [1, 1, 1]
  assert error.tolist() == deviation.tolist() == [0, 0, 0]


def test_dynlin_of_the_experiment_is_that_of_the_library():
  p = problem()
  mine = bandit_algorithms.ALGORITHMS['dynlin_log'].configure(p)
  library = dynlin_ucb.configure(*p.arguments, bounds=p.told, start='released')
  jax.tree.map(np.testing.assert_array_equal, mine, library)


@pytest.mark.parametrize(
  ('values', 'words'),
  [
    ({'sigma': (-1.0,)}, 'sigma must be at least 0'),
    ({'algorithm': ('best',)}, 'algorithm must be one of'),
    ({'study': 'scaling', 'sigma': (0.1, 0.2)}, 'takes one --sigma'),
    ({'sigma': ()}, '--sigma: give one value at least'),
    ({'scaling_rho': (1.0,)}, '--scaling_rho must be below 1, not 1'),
    (
      {'seeds': 10**6, 'record_every': 1},
      r'need 22,352 GiB for their curves, and this machine has \d+: take fewer',
    ),
  ],
)
def test_settings_that_are_refused(values, words):
  with pytest.raises(ValueError, match=words):
    bandit_settings.Settings(**values)


@pytest.mark.system
def test_an_error_does_not_claim_the_folder(tmp_path):
  folder = tmp_path / 'run'
  wrong = run(f'--run={folder}', *FLAGS, '--rho_bound=2', '--study=rho_bound')
  assert wrong.returncode == 1
  assert wrong.stderr.startswith('error: --study=rho_bound takes one --sigma')
  assert 'Traceback' not in wrong.stderr
  assert not folder.exists()
