"""Our advantages in Tunix's own learner, on its own toy model."""

import runpy

import numpy as np
import pytest

pytest.importorskip(
  'tunix',
  reason="google-tunix is not installed: pip install '.[tunix]', Python 3.12",
)

import jax
import optax
from flax import nnx
from jax.interpreters import pxla
from tunix.rl import function_registry, rl_cluster
from tunix.rl.grpo import grpo_learner
from tunix.rl.rollout import base_rollout
from tunix.tests import test_common

from jaxcredit.integrations import rows_in_order, tunix_learner
from tests import distribution, readme

GENERATIONS = 4
PROMPTS = ['input string', 'hello world']


def cluster():
  vocabulary = test_common.MockVocab()

  def model():
    return test_common.ToyTransformer(
      config=test_common.ModelConfig(vocab_size=vocabulary.GetPieceSize()),
      rngs=nnx.Rngs(0),
    )

  actor = model()
  mesh = pxla.thread_resources.env.physical_mesh
  roles = rl_cluster.Role
  return actor, rl_cluster.RLCluster(
    actor=actor,
    reference=model(),
    tokenizer=vocabulary,
    cluster_config=rl_cluster.ClusterConfig(
      role_to_mesh={
        role: mesh for role in (roles.ACTOR, roles.REFERENCE, roles.ROLLOUT)
      },
      rollout_engine='vanilla',
      offload_to_cpu=False,
      training_config=rl_cluster.RLTrainingConfig(
        actor_optimizer=optax.sgd(0.1), eval_every_n_steps=10, max_steps=2
      ),
      rollout_config=base_rollout.RolloutConfig(
        max_tokens_to_generate=6, max_prompt_length=8, kv_cache_size=32
      ),
    ),
  )


def reward(prompts, completions, **kwargs):
  """Differs within each group, whatever was drawn."""
  del completions, kwargs
  return np.arange(len(prompts), dtype=np.float32) ** 2


def examples_of(learner):
  """The batches that the learner trains on, as it makes them."""
  made = []
  original = learner._generate_and_compute_advantage

  def recorded(*args, **kwargs):
    made.append(original(*args, **kwargs))
    return made[-1]

  learner._generate_and_compute_advantage = recorded
  return made


def trained(kind, estimator):
  actor, engine = cluster()
  before = jax.tree.map(np.asarray, nnx.state(actor, nnx.Param))
  config = grpo_learner.GRPOConfig(
    num_generations=GENERATIONS, advantage_estimator=estimator
  )
  learner = kind(rl_cluster=engine, algo_config=config, reward_fns=reward)
  made = examples_of(learner)
  learner.train([{'prompts': np.array(PROMPTS)}] * 2)
  after = jax.tree.map(np.asarray, nnx.state(actor, nnx.Param))
  moved = jax.tree.leaves(
    jax.tree.map(lambda x, y: np.abs(x - y).max(), before, after)
  )
  return made, max(moved)


@pytest.fixture(scope='module')
def names():
  return tunix_learner.register()


@pytest.mark.parametrize('theirs', ['grpo', 'drgrpo', 'rloo'])
def test_estimators_are_registered_and_equal_theirs(names, theirs):
  ours = f'jaxcredit-{theirs.replace("drgrpo", "dr_grpo")}'
  assert ours in names
  rewards = np.array([1.0, 0, 0, 1, 0.5, 0.25, 0, 0], np.float32)
  results = [
    np.asarray(
      function_registry.get_advantage_estimator(name)(
        rewards=rewards, num_generations=GENERATIONS
      )
    )
    for name in (ours, theirs)
  ]
  assert results[0].shape == (8,)
  np.testing.assert_allclose(*results, atol=1e-5)


def test_equal_rewards_get_nothing_where_theirs_get_rounding(names):
  rewards = np.full(7, 0.7, np.float32)
  theirs, ours = (
    np.asarray(
      function_registry.get_advantage_estimator(name)(
        rewards=rewards, num_generations=7
      )
    )
    for name in ('grpo', 'jaxcredit-grpo')
  )
  assert np.abs(theirs).max() > 0.01
  np.testing.assert_array_equal(ours, 0)


def test_their_learner_trains_with_our_estimator(names):
  made, moved = trained(grpo_learner.GRPOLearner, 'jaxcredit-rloo')
  assert len(made) == 2
  rewards = reward(PROMPTS * GENERATIONS, None).reshape(-1, GENERATIONS)
  others = (rewards.sum(1, keepdims=True) - rewards) / (GENERATIONS - 1)
  for example in made:
    np.testing.assert_allclose(
      example.advantages, (rewards - others).ravel(), rtol=1e-5
    )
  assert moved > 0


def test_their_learner_trains_with_credit_of_tokens(names):
  made, moved = trained(tunix_learner.TokenCreditLearner, 'grpo')
  assert len(made) == 2
  for example in made:
    assert example.advantages.shape == example.completion_ids.shape
    expected = rows_in_order.tempo_advantages(
      example.completion_ids,
      example.completion_mask,
      reward(PROMPTS * GENERATIONS, None),
      GENERATIONS,
    )
    np.testing.assert_allclose(example.advantages, expected, atol=1e-5)
    # Somewhere responses part, so that tokens of a row differ.
    drawn = np.asarray(example.completion_mask)
    advantages = np.asarray(example.advantages)
    assert any(
      np.ptp(a[m]) > 1e-3 for a, m in zip(advantages, drawn, strict=True)
    )
  assert moved > 0


def test_examples_of_the_page_run(tmp_path):
  page = distribution.REPOSITORY / 'docs' / 'tunix.md'
  blocks = readme.python_blocks_of(page.read_text(encoding='utf-8'))
  assert len(blocks) == 3
  for block in blocks:
    script = tmp_path / 'example.py'
    script.write_text(block, encoding='utf-8')
    runpy.run_path(str(script))
  assert function_registry.get_advantage_estimator('mine')
