"""Two and four real processes: the numbers of one."""

import json

import jax
import numpy as np
import pytest

pytest.importorskip('orbax.checkpoint', reason='an extra')
from jaxcredit import gigpo, types
from jaxcredit.methods import gigpo as gigpo_method
from jaxcredit.training import checkpoints as checkpoints_lib
from tests import process_group
from tests.rollouts import test_collector
from tests.training import test_learner_on_a_mesh

pytestmark = pytest.mark.system

SCHEDULES = [
  # Parameters are cut over devices of one process.
  pytest.param((2, 2, (2, 2, 1)), id='2'),
  # And over devices of several.
  pytest.param((4, 1, (1, 4, 1)), id='4', marks=pytest.mark.slow),
]


def make_trajectories() -> types.Trajectories:
  """Three groups, with ends of their own."""
  rng = np.random.default_rng(0)
  shape = (3, 4, 5)
  length = rng.integers(1, 6, shape[:2])
  return types.Trajectories(
    rewards=rng.normal(size=shape).astype(np.float32),
    mask=np.arange(5) < length[..., None],
    anchors=rng.integers(0, 3, (*shape, 2)).astype(np.uint32),
    penalties=np.zeros(shape, np.float32),
    terminated=np.ones(shape[:2], bool),
    truncated=np.zeros(shape[:2], bool),
    grounding=np.ones(shape, bool),
  )


def gigpo_credit(trajectories):
  return gigpo.advantages(
    trajectories.rewards, trajectories.mask, trajectories.anchors
  ).total


def state_of_one():
  """A state of one process, on eight devices."""
  learner = test_learner_on_a_mesh.make_learner((2, 4, 1))
  params, _ = test_learner_on_a_mesh.build()
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda x: jax.device_put(
      (10 * rng.normal(size=x.shape)).astype(x.dtype), x.sharding
    ),
    learner.init(jax.tree.map(np.array, params)),
  )


@pytest.fixture(scope='module', params=SCHEDULES)
def said(request, tmp_path_factory):
  """What processes say, by number, and the folder where their files lie."""
  count, devices, mesh = request.param
  folder = tmp_path_factory.mktemp('processes')
  with (
    jax.enable_x64(True),
    checkpoints_lib.Checkpoints(folder / 'by_one') as checkpoints,
  ):
    checkpoints.save(1, state_of_one())
  port, log = process_group.free_port(), folder / 'log'
  shape = 'x'.join(str(n) for n in mesh)
  started = [
    process_group.start(
      [
        '-m', 'tests.distributed.process_worker', str(port), str(count),
        str(index), str(folder), shape,
      ],
      index,
      log,
      devices=devices,
    )
    for index in range(count)
  ]  # fmt: skip
  process_group.finish(started, log)
  words = [
    json.loads((folder / f'said.{index}.json').read_text('utf-8'))
    for index in range(count)
  ]
  return words, folder


def test_they_talk(said):
  words, _ = said
  count = len(words)
  for index, of_one in enumerate(words):
    talk = of_one['talk']
    assert talk['first'] == (index == 0)
    assert not talk['any of none']
    assert talk['any of one']
    assert talk['as first'] == [True, False]
    assert talk['gathered'] == [
      [3000 * i, chr(65 + i) * 2 if i else ''] for i in range(count)
    ]
  shares = [of_one['talk']['share'] for of_one in words]
  assert sum(shares, []) == [0, 1, 2, 3, 4]
  largest = max(len(share) for share in shares)
  assert largest == words[0]['talk']['largest share'] == -(-5 // count)


def test_they_play_the_episodes_of_one(said):
  words, _ = said
  expected = test_collector.collect(
    [*test_collector.TASKS, 'room left'], group_size=2
  )
  for of_one in words:
    episodes = of_one['episodes']
    assert episodes == words[0]['episodes']
    for given, wanted in zip(episodes, expected, strict=True):
      assert given['task'] == wanted.task
      assert (given['group'], given['rollout']) == (
        wanted.group,
        wanted.rollout,
      )
      assert given['actions'] == [s.action for s in wanted.steps]
      assert given['tokens'] == [row.tokens for row in wanted.rows]
      for some, others in zip(given['log_probs'], wanted.rows, strict=True):
        np.testing.assert_allclose(some, others.log_probs, atol=1e-5)


def test_a_group_stays_on_one_device(said):
  words, _ = said
  trajectories = make_trajectories()
  expected = np.asarray(gigpo_credit(trajectories))
  groups = gigpo.anchor_groups(trajectories.anchors, trajectories.mask)
  metrics = gigpo_method.anchor_statistics(groups)
  assert np.abs(expected).max() > 0.5
  for of_one in words:
    shards, given, singletons = of_one['credit']
    # Three groups and an empty one, over four devices.
    assert shards == [[1, 4, 5]] * (4 // len(words))
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert singletons == pytest.approx(metrics['singleton_share'])


def test_they_learn_what_one_learns(said):
  words, folder = said
  with jax.enable_x64(True):
    state, figures = test_learner_on_a_mesh.on_one_device()
  with np.load(folder / 'state.npz') as file:
    given = [file[name] for name in file.files]
  for a, b in zip(given, jax.tree.leaves(state), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-9)
  for of_one in words:
    assert of_one['figures'] == words[0]['figures']
    for name, value in of_one['figures'].items():
      assert value == pytest.approx(figures[name], rel=1e-6), name


def test_they_read_what_one_wrote(said):
  _, folder = said
  with jax.enable_x64(True):
    expected = jax.tree.leaves(state_of_one())
  with np.load(folder / 'read.npz') as file:
    given = [file[name] for name in file.files]
  for a, b in zip(given, expected, strict=True):
    np.testing.assert_array_equal(a, np.asarray(b))


@pytest.mark.parametrize('mesh', [None, (1, 2, 1), (2, 4, 1)])
def test_one_reads_what_they_wrote(said, mesh):
  _, folder = said
  with np.load(folder / 'state.npz') as file:
    expected = [file[name] for name in file.files]
  with (
    jax.enable_x64(True),
    checkpoints_lib.Checkpoints(folder / 'by_processes') as checkpoints,
  ):
    learner = test_learner_on_a_mesh.make_learner(mesh)
    params, _ = test_learner_on_a_mesh.build()
    like = learner.init(jax.tree.map(jax.numpy.array, params))
    read = checkpoints.restore({'state': like, 'own': jax.numpy.float32(0)})
  assert float(read['own']) == 0.5
  for x, y, wanted in zip(
    jax.tree.leaves(read['state']),
    jax.tree.leaves(like),
    expected,
    strict=True,
  ):
    assert x.sharding == y.sharding
    np.testing.assert_array_equal(np.asarray(x), wanted)


def test_parameters_are_read_alone(said):
  _, folder = said
  with jax.enable_x64(True):
    read = checkpoints_lib.read_params(folder / 'alone')
  with np.load(folder / 'state.npz') as file:
    expected = file['arr_0']
  np.testing.assert_array_equal(np.asarray(jax.tree.leaves(read)[0]), expected)
