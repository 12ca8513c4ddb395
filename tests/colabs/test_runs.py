"""Every notebook runs from its first cell to its last, and what it says holds.

Each runs in a kernel of its own, in its reduced setting. What is asserted are
the statements of its text, by the notebook's own variables.
"""

import numpy as np
import pytest

pytest.importorskip(
  'nbclient', reason="nbclient is not installed: pip install '.[test]'"
)
pytest.importorskip(
  'ipykernel', reason="ipykernel is not installed: pip install '.[test]'"
)

from tests import distribution
from tests.colabs import notebooks

pytestmark = pytest.mark.system


def test_gigpo(tmp_path):
  found = notebooks.run(
    'gigpo',
    tmp_path,
    {
      'episode': 'np.asarray(toy.episode)[:, 0].tolist()',
      'by_hand_episode': 'by_hand_episode.tolist()',
      'step': 'np.asarray(toy.step)[:, 0].tolist()',
      'by_hand_step': 'by_hand_step.tolist()',
      'shared': 'float(shared)',
      'won': 'float(scores.mean())',
      'slip_credit': 'slip_credit',
      'other_credit': 'other_credit',
    },
  )
  np.testing.assert_allclose(
    found['episode'], found['by_hand_episode'], atol=1e-5
  )
  np.testing.assert_allclose(found['step'], found['by_hand_step'], atol=1e-5)
  assert 0 < found['won'] < 1
  assert found['shared'] > 0.5
  assert found['slip_credit'] < 0 < found['other_credit']
  assert found['pictures'] == 3


def test_tempo(tmp_path):
  found = notebooks.run(
    'tempo',
    tmp_path,
    {
      'td': 'np.asarray(toy.td).tolist()',
      'by_hand': 'by_hand.tolist()',
      'right': 'float(scores.mean())',
      'loss': 'float(np.mean(losses[-10:]))',
      'count': 'len(mistakes)',
      'td_of_mistakes': 'td_of_mistakes',
      'td_of_others': 'td_of_others',
      'page': 'page',
    },
  )
  np.testing.assert_allclose(found['td'], found['by_hand'], atol=1e-6)
  # It has learned to add, and still makes mistakes.
  assert 0.1 < found['right'] < 0.99
  assert found['count'] > 3
  assert found['td_of_mistakes'] < -0.1
  assert abs(found['td_of_others']) < 0.1 * abs(found['td_of_mistakes'])
  assert found['page'].lstrip().startswith('<!doctype html>')
  assert found['pictures'] == 2


@pytest.mark.skipif(
  not distribution.has_control(),
  reason="jaxmarl is not installed: pip install '.[control]'",
)
def test_lare(tmp_path):
  found = notebooks.run(
    'lare',
    tmp_path,
    {
      'loss': 'toy_loss',
      'exact': 'np.asarray(toy_exact).tolist()',
      'correlation': 'correlation',
      'gain': 'gain',
    },
  )
  assert found['loss'] == pytest.approx(1.0)
  assert found['exact'] == pytest.approx([4 / 3, 1 / 3, 4 / 3])
  by_factors, by_transition = found['correlation'].values()
  assert by_factors > 0.5
  assert by_factors > by_transition
  assert found['gain'].keys() == {'reward at the end', 'LaRe'}
  assert all(map(np.isfinite, found['gain'].values()))
  assert found['pictures'] == 2


def test_dynlin_ucb(tmp_path):
  found = notebooks.run(
    'dynlin_ucb',
    tmp_path,
    {
      'steady': 'np.asarray(steady).tolist()',
      'lengths': 'lengths[:-1].tolist()',
      'by_hand': 'by_hand[:-1]',
      'final': '{name: float(value) for name, value in final.items()}',
      'late_share': 'late_share',
    },
  )
  assert found['steady'] == pytest.approx([2.0, 1.5])
  assert found['lengths'] == found['by_hand']
  final = found['final']
  assert final['DynLin-UCB'] < 0.5 * min(final['LinUCB'], final['Exp3'])
  # It flattens: half the rounds have less than half of the regret.
  assert found['late_share'] < 0.45
  assert found['pictures'] == 1


def test_spa(tmp_path):
  found = notebooks.run(
    'spa',
    tmp_path,
    {
      'loss': 'toy_loss',
      'rewards': 'toy_rewards.tolist()',
      'won': 'float(won.mean())',
      'correlation': 'correlation',
      'outcome_error': 'outcome_error',
      'key_reward': 'key_reward',
      'other_reward': 'other_reward',
      'late': 'float(test.rewards[took_key].mean())',
    },
  )
  assert found['loss'] == pytest.approx(0.125)
  assert found['rewards'] == [[1.0, 0.0, 1.0], [1.0, 0.5, 0.5]]
  assert 0.1 < found['won'] < 0.9
  prefixes, paper = 'with prefixes', 'the paper'
  assert found['correlation'][prefixes] > 0.6
  assert found['correlation'][prefixes] > found['correlation'][paper] + 0.1
  # Both predict the outcome.
  variance = found['won'] * (1 - found['won'])
  assert max(found['outcome_error'].values()) < 0.5 * variance
  # Taking the key earns nothing, and is what matters.
  assert found['late'] == 0
  assert found['key_reward'] > 5 * abs(found['other_reward'])
  assert found['pictures'] == 1


def test_your_own_project(tmp_path):
  found = notebooks.run(
    'your_own_project',
    tmp_path,
    {
      'first': '{n: float(w[:, :3].mean()) for n, w in curves.items()}',
      'final': 'final',
      'devices': 'count',
      'groups_on_each': 'groups_on_each',
      'largest_difference': 'largest_difference',
      'mapped_difference': 'mapped_difference',
    },
    devices=8,
  )
  for method in ('GRPO', 'GiGPO'):
    assert found['first'][method] < 0.8
    assert found['final'][method] > 0.95
  assert (found['devices'], found['groups_on_each']) == (8, 1)
  assert found['largest_difference'] < 1e-5
  assert found['mapped_difference'] < 1e-5
  assert found['pictures'] == 1


@pytest.mark.parametrize(
  'devices', [8, pytest.param(1, marks=pytest.mark.slow)]
)
def test_qwen_on_a_tpu_slice(tmp_path, devices):
  found = notebooks.run(
    'qwen_on_a_tpu_slice',
    tmp_path,
    {
      'mesh': 'dict(mesh.shape)',
      'pieces': 'len({str(s.index) for s in '
      "state.params['layers']['q']['kernel'].addressable_shards})",
      'updates': 'int(state.updates)',
      'iterations': 'ITERATIONS',
      'curve': 'curve',
      'export_difference': 'export_difference',
      'files': "sorted(p.name for p in (work / 'trained').iterdir())",
    },
    devices=devices,
  )
  side = 2 if devices == 8 else 1
  assert found['mesh'] == {'data': side, 'fsdp': side, 'tensor': side}
  # A matrix is cut over "fsdp" and "tensor".
  assert found['pieces'] == side**2
  assert found['updates'] == found['iterations']
  assert np.mean(found['curve'][-3:]) > np.mean(found['curve'][:3]) + 0.1
  assert found['export_difference'] == 0
  assert {'config.json', 'model.safetensors'} <= set(found['files'])
  assert found['pictures'] == 1
