"""One of the processes of test_processes.py; writes what it saw.

python -m tests.distributed.process_worker PORT COUNT INDEX FOLDER
"""

import json
import pathlib
import sys

import jax

from jaxcredit.distributed import processes
from jaxcredit.networks import sharding


def talk() -> dict[str, object]:
  """What processes say to each other."""
  index, count = processes.index(), processes.count()
  return {
    'first': processes.is_first(),
    'any of none': processes.any_of(False),
    'any of one': processes.any_of(index == count - 1),
    'as first': [processes.as_first(x) for x in (index == 0, index > 0)],
    # One is empty, and one is longer than the room that all begin with.
    'gathered': [
      [len(x), x[:2].decode()]
      for x in processes.gather(bytes([65 + index]) * (3000 * index))
    ],
    'share': list(processes.share(5)),
    'largest share': processes.largest_share(5),
  }


def play() -> list[dict[str, object]]:
  """Episodes, of which each process plays a share."""
  from jaxcredit.rollouts import shared_collector
  from tests.rollouts import test_collector

  mesh = sharding.make_mesh_of_all()
  own = sharding.make_local_mesh(mesh)
  params = sharding.place(test_collector.build_params(), mesh)
  ended = []
  collector = shared_collector.SharedCollector(
    test_collector.make_collector(mesh=own), own
  )
  episodes = collector.collect(
    params,
    # Five, which two processes cannot share evenly.
    [*test_collector.TASKS, 'room left'],
    2,
    jax.random.key(0),
    on_episode=ended.append,
  )
  assert sum(ended) == len(episodes)
  return [
    {
      'task': e.task,
      'group': e.group,
      'rollout': e.rollout,
      'actions': [s.action for s in e.steps],
      'tokens': [row.tokens for row in e.rows],
      'log_probs': [row.log_probs for row in e.rows],
    }
    for e in episodes
  ]


def credit():
  """GiGPO of three groups, which four devices do not divide."""
  from jaxcredit import methods
  from jaxcredit.training import batch_credit
  from tests.distributed import test_processes

  trajectories = test_processes.make_trajectories()
  placed = batch_credit.place(trajectories)
  shards = [s.data.shape for s in placed.rewards.addressable_shards]
  method = methods.TABLE['gigpo']
  given = batch_credit.compiled(method, method.options())
  credit = given(methods.Batch(trajectories))
  summary = batch_credit.summary(credit)
  return shards, credit.total.tolist(), summary.metrics['singleton_share']


def learn(folder: pathlib.Path, mesh_shape, restored_from: str):
  """Two updates, whose state is saved; and one that is read."""
  import numpy as np

  from jaxcredit.training import checkpoints as checkpoints_lib
  from tests.training import test_learner, test_learner_on_a_mesh

  learner = test_learner_on_a_mesh.make_learner(mesh_shape)
  params, reference = test_learner_on_a_mesh.build()
  rows, advantages = test_learner.make_rows(21)
  state = learner.init(jax.tree.map(np.array, params))
  like = learner.init(jax.tree.map(np.array, params))
  with checkpoints_lib.Checkpoints(folder / restored_from) as checkpoints:
    read = checkpoints.restore(like)
  read = [processes.to_host(x) for x in jax.tree.leaves(read)]
  state, figures = learner.update(
    state, rows, advantages, reference=reference, minibatches=2
  )
  with checkpoints_lib.Checkpoints(folder / 'by_processes') as checkpoints:
    # Beside it something that each process has for itself.
    checkpoints.save(1, {'state': state, 'own': jax.numpy.float32(0.5)})
    own = checkpoints.restore({'state': state, 'own': jax.numpy.float32(0)})
  with checkpoints_lib.Checkpoints(folder / 'alone') as checkpoints:
    checkpoints.save(1, state)
  assert own['own'].is_fully_addressable
  assert float(own['own']) == 0.5
  whole = processes.of_this_process(state.params)
  assert all(x.is_fully_addressable for x in jax.tree.leaves(whole))
  if processes.is_first():
    np.savez(folder / 'read.npz', *read)
  leaves = [processes.to_host(x) for x in jax.tree.leaves(state)]
  for a, b in zip(jax.tree.leaves(whole), leaves, strict=False):
    np.testing.assert_array_equal(np.asarray(a), b)
  if processes.is_first():
    np.savez(folder / 'state.npz', *leaves)
  return figures


def main(port: str, count: str, index: str, folder: str, mesh: str) -> None:
  path = pathlib.Path(folder)
  processes.join(f'127.0.0.1:{port}', int(count), int(index))
  said = {'talk': talk(), 'episodes': play(), 'credit': credit()}
  with jax.enable_x64(True):
    shape = tuple(int(n) for n in mesh.split('x'))
    said['figures'] = learn(path, shape, 'by_one')
  (path / f'said.{index}.json').write_text(json.dumps(said))
  processes.wait()


if __name__ == '__main__':
  main(*sys.argv[1:])
