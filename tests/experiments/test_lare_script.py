"""experiments.lare: end to end, resumed, and every flag has an effect."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.control import runs as lare_runs
from experiments.control import settings as lare_settings
from experiments.control import tasks as lare_tasks
from experiments.run import process_flags
from jaxcredit.latent_rewards import interpreter
from tests import distribution
from tests.experiments import script

needs_control = pytest.mark.skipif(
  not distribution.has_control(),
  reason="jaxmarl is missing (extra 'control')",
)
FLAGS = (
  '--method=episodic', '--method=lare', '--seed=0', '--seed=3',
  '--iterations=4', '--record_every=2', '--episodes=4', '--buffer=6',
  '--minibatch=50', '--epochs=1', '--hidden=8', '--decoder_hidden=8',
  '--decoder_updates=1', '--decoder_batch=2', '--evaluation_episodes=2',
  '--checkpoint_every=1',
)  # fmt: skip

# Stops after the first chunk of the first method, as Ctrl-C does.
_STOPPED = """
import sys
from absl import app
from experiments import lare
from experiments.run import interruption

class Stop(interruption.Interruption):
  looked = 0
  @property
  def requested(self):
    Stop.looked += 1
    self.exit_status = 130 if Stop.looked > 1 else 0
    return Stop.looked > 1

interruption.Interruption = Stop
app.run(lare.main)
"""


def rows(path):
  with open(path, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


@pytest.mark.system
@needs_control
def test_end_to_end_and_stopped(tmp_path):
  whole = script.run(
    f'--run={tmp_path / "whole"}', *FLAGS, module='experiments.lare'
  )
  assert whole.returncode == 0, whole.stderr
  for name, start in (('curves.png', b'\x89PNG'), ('curves.pdf', b'%PDF'),
                      ('episode_lare.png', b'\x89PNG')):  # fmt: skip
    assert (tmp_path / 'whole' / name).read_bytes().startswith(start)
  assert (tmp_path / 'whole' / 'table.md').read_text() in whole.stdout
  page = (tmp_path / 'whole' / 'report.html').read_text()
  assert '<svg' in page and 'episodic reward' in page
  assert not (tmp_path / 'whole' / 'episode_episodic.png').exists()
  values = rows(tmp_path / 'whole' / 'curves.csv')
  evaluated = [r for r in values if r['name'] == 'evaluation']
  # 2 methods, 2 seeds, 2 records.
  assert len(evaluated) == 8
  assert {r['seed'] for r in evaluated} == {'0', '3'}
  assert len({r['value'] for r in evaluated}) > 2
  assert {r['name'] for r in values if r['method'] == 'lare'} > {
    'decoder_loss', 'reward_correlation', 'entropy',
  }  # fmt: skip

  stopped = subprocess.run(
    [sys.executable, '-c', _STOPPED, f'--run={tmp_path / "part"}', *FLAGS],
    cwd=script.REPOSITORY,
    env=script.environment(),
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert stopped.returncode == 130, stopped.stderr
  assert not (tmp_path / 'part' / 'curves.csv').exists()
  again = script.run(
    f'--run={tmp_path / "part"}', *FLAGS, module='experiments.lare'
  )
  assert again.returncode == 0, again.stderr
  assert (tmp_path / 'part' / 'curves.csv').read_bytes() == (
    tmp_path / 'whole' / 'curves.csv'
  ).read_bytes()


# A process of its own, since flags of two scripts do not mix. Programs are
# compared as they are traced, not run.
_TELL = """
import json, re, sys
import jax
from absl import flags
from absl.testing import flagsaver
from experiments import lare
from experiments.run import script

flags.FLAGS(['test'])
changes = json.loads(sys.argv[1])

def told():
  parts = lare.build()
  program = parts.learners[flags.FLAGS.method[0]]
  if type(program).__name__ == 'Td3':
    # Robots take long to trace; their parts do not depend on the flags.
    return repr((program.options, vars(program.source),
                 program.environment.robot.backend, program.environment.name))
  state = jax.eval_shape(program.init, jax.random.key(0))
  return str(jax.make_jaxpr(program.iterate)(state)) + repr(
    (type(program.environment), program.source.features,
     getattr(program.source, 'options', 0), parts.settings))

result, bases = {}, []
for name, (base, value) in changes.items():
  outcomes = []
  for values in (base, {**base, name: value}):
    with flagsaver.flagsaver(**values):
      # Addresses differ from program to program.
      outcomes.append(re.sub(' at 0x[0-9a-f]+', '', told()))
  result[name] = outcomes[0] != outcomes[1]
  if base not in bases:
    bases.append(base)
    with flagsaver.flagsaver(**base):
      assert re.sub(' at 0x[0-9a-f]+', '', told()) == outcomes[0]
print(json.dumps([result, sorted(script.own_flags('experiments.lare'))]))
"""


@pytest.mark.slow
@needs_control
def test_every_flag_has_an_effect():
  small = {'episodes': 4, 'buffer': 6, 'minibatch': 50, 'method': ['lare']}
  rrd = {**small, 'method': ['rrd']}
  robot = {'task': 'reacher', 'method': ['rrd']}
  changes = {
    'task': (small, 'triangle_area'), 'agents': (rrd, 4),
    'reward': (small, 'standard'), 'method': (small, ['episodic']),
    'seed': (small, [5]), 'iterations': (small, 20),
    'latent': (small, 'poor'), 'record_every': (small, 20),
    'evaluation_episodes': (small, 3), 'checkpoint_every': (small, 3),
    'decoder_hidden': (small, 3), 'decoder_layers': (small, 2),
    'decoder_learning_rate': (small, 1e-2), 'decoder_l2': (small, 0.1),
    'decoder_updates': (small, 2), 'decoder_batch': (small, 3),
    'decoder_steps': (rrd, 3), 'unbiased': (rrd, False),
    'form': (rrd, 'mean'), 'variance_weight': (small, 0.5),
    'normalise_factors': (small, False), 'scaling': (small, 'length'),
    'share_rewards': (small, True), 'backend': (robot, 'positional'),
    'episodes': (small, 5), 'decay': (small, False), 'clip': (small, 0.1),
    'gae_lambda': (small, 0.5), 'entropy_coefficient': (small, 0.5),
    'value_coefficient': (small, 2.0), 'huber': (small, 0.1),
    'epochs': (small, 2), 'minibatch': (small, 25), 'clip_norm': (small, 0.1),
    'normalise_values': (small, False), 'buffer': (small, 7),
    'learning_rate': (small, 1e-2), 'discount': (small, 0.5),
    'hidden': (small, 9), 'environments': (robot, 2), 'block': (robot, 2),
    'updates': (robot, 4), 'blocks': (robot, 3), 'rounds': (robot, 9),
    'random_steps': (robot, 9), 'batch': (robot, 9), 'follow': (robot, 0.1),
    'noise': (robot, 0.5), 'target_noise': (robot, 0.5),
    'target_clip': (robot, 0.1), 'delay': (robot, 4),
  }  # fmt: skip
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
  # Flags of every script are tested with it.
  others = {'run', 'compilation_cache', *process_flags.NAMES}
  assert sorted({*changes, *others}) == flags


@needs_control
@pytest.mark.parametrize(
  ('task', 'agents', 'factors'),
  [
    ('cooperative_navigation', 6, 4), ('predator_prey', 6, 5),
    ('predator_prey', 15, 5), ('predator_prey', 3, 6),
  ],
)  # fmt: skip
def test_recorded_functions_fit_teams_of_every_size(task, agents, factors):
  environment = lare_tasks.environment(task, agents, 'released', 'spring')
  program = lare_tasks.latent_program(task, environment, 'good')
  arrays = lare_tasks.random_transitions(
    environment, program.parameters, episodes=2
  ).arrays
  found = interpreter.encode(program, *arrays)
  # The written description has the layout of the environment.
  assert [a.shape[-1] for a in arrays] == list(
    lare_tasks.described(task, environment).sizes
  )
  assert found.shape == (2 * 25 * agents, factors)
  assert np.isfinite(found).all()
  assert (np.std(found, axis=0) > 0)[:3].all()


@pytest.mark.system
@needs_control
def test_errors_for_people(tmp_path):
  def refused(*arguments):
    folder = tmp_path / 'run'
    result = script.run(
      f'--run={folder}', *arguments, module='experiments.lare'
    )
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    # The folder of a run that never began does not keep its flags.
    assert not (folder / 'config.json').exists()
    return result.stderr

  told = refused('--agents=4', '--method=lare')
  assert 'no example of cooperative_navigation for 4 agents' in told
  assert 'name a file with --latent' in told
  assert '--batch: no option of IPPO, which this task trains' in refused(
    '--batch=4'
  )


# brax takes long to compile; the next test has MuJoCo's robots in the suite.
@pytest.mark.slow
@needs_control
def test_a_robot_of_brax_learns_and_is_drawn(tmp_path):
  result = script.run(
    f'--run={tmp_path}', '--task=reacher', '--method=lare_rrd',
    '--method=dense', '--iterations=2', '--record_every=1',
    '--evaluation_episodes=1', '--environments=2', '--block=2', '--blocks=2',
    '--updates=2', '--rounds=2', '--random_steps=4', '--batch=4', '--hidden=4',
    '--decoder_hidden=4', '--decoder_updates=1', '--decoder_batch=2',
    '--decoder_steps=4', module='experiments.lare',
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  assert '| LaRe on RRD | 1 |' in result.stdout
  names = {row['name'] for row in rows(tmp_path / 'curves.csv')}
  # TD3 compares no rewards of steps: the figure does without.
  assert 'critic_loss' in names and 'reward_correlation' not in names
  for name in ('curves.png', 'episode_lare_rrd.png'):
    assert (tmp_path / name).read_bytes().startswith(b'\x89PNG')


@pytest.mark.system
@needs_control
def test_robots_on_the_host_stopped_and_resumed(tmp_path):
  flags = (
    '--task=reacher', '--backend=mujoco', '--method=lare_rrd', '--seed=0',
    '--seed=2', '--iterations=4', '--record_every=2', '--evaluation_episodes=2',
    '--environments=2', '--block=3', '--blocks=9', '--updates=2', '--rounds=3',
    '--random_steps=4', '--batch=4', '--hidden=4', '--decoder_hidden=4',
    '--decoder_updates=1', '--decoder_batch=2', '--decoder_steps=4',
  )  # fmt: skip
  whole = script.run(
    f'--run={tmp_path / "whole"}', *flags, module='experiments.lare'
  )
  assert whole.returncode == 0, whole.stderr
  values = rows(tmp_path / 'whole' / 'curves.csv')
  evaluated = [r for r in values if r['name'] == 'evaluation']
  assert [(r['seed'], r['iteration']) for r in evaluated] == [
    ('0', '2'), ('0', '4'), ('2', '2'), ('2', '4')
  ]  # fmt: skip
  assert len({r['value'] for r in evaluated}) == 4
  # Reacher's distances and costs of control.
  assert all(-1000 < float(r['value']) < -1 for r in evaluated)
  for name in ('curves.png', 'episode_lare_rrd.png'):
    assert (tmp_path / 'whole' / name).read_bytes().startswith(b'\x89PNG')

  # It stops in the midst of episodes, and between two records.
  stopped = subprocess.run(
    [
      sys.executable, '-c', _STOPPED.replace('looked > 1', 'looked > 3'),
      f'--run={tmp_path / "part"}', *flags,
    ],
    cwd=script.REPOSITORY,
    env=script.environment(),
    capture_output=True,
    text=True,
    timeout=500,
  )  # fmt: skip
  assert stopped.returncode == 130, stopped.stderr
  again = script.run(
    f'--run={tmp_path / "part"}', *flags, module='experiments.lare'
  )
  assert again.returncode == 0, again.stderr
  assert (tmp_path / 'part' / 'curves.csv').read_bytes() == (
    tmp_path / 'whole' / 'curves.csv'
  ).read_bytes()


@pytest.mark.parametrize(
  ('values', 'words'),
  [
    ({'iterations': 10, 'record_every': 3}, 'must be a multiple of'),
    ({'seed': (1, 1)}, '--seed: each seed is one run'),
    ({'seed': ()}, 'one method and one seed at least'),
    ({'agents': 10**9}, 'agents must be at most 1000'),
    ({'method': ('magic',)}, 'method must be one of dense,'),
  ],
)
def test_settings_that_are_refused(values, words):
  with pytest.raises(ValueError, match=words):
    lare_settings.Settings(**values)


def test_records_of_a_run():
  settings = lare_settings.Settings(iterations=12, record_every=3)
  assert settings.records == 4
  assert settings.recorded.tolist() == [3, 6, 9, 12]


def test_a_return_that_is_not_finite_stops_the_run(tmp_path):
  class Broken:
    def init(self, key):
      return key, np.zeros(0)

    def iterate(self, state):
      return state, {'team_return': np.float32('nan')}

    def evaluate(self, state, key, episodes):
      class Played:
        team_return = np.full(episodes, np.nan, np.float32)

      return Played

  with pytest.raises(FloatingPointError, match='after 2 iterations'):
    lare_runs.train(
      'broken',
      Broken(),
      lare_settings.Settings(iterations=4, record_every=2),
      tmp_path,
    )
