"""Each head brings its sharding rules, and nothing else names it."""

import pathlib

import jax
import pytest

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, heads, sharding
from jaxcredit.networks.heads import (
  progress_head,
  reward_decoder,
  scalar_head,
  value_head,
)
from tests.networks import tiny_decoder

CONFIG = config_lib.DecoderConfig(**tiny_decoder.SIZES, tie_embeddings=False)
POLICY = jax.eval_shape(lambda: decoder.init(jax.random.key(0), CONFIG))


def of_progress(head):
  made = progress_head.init_head(jax.random.key(0), CONFIG, head=head)
  return {'trunk': progress_head.trunk_of(POLICY, made), 'progress': made}


MADE = {
  'value': lambda: jax.eval_shape(value_head.init, POLICY),
  'scalars': lambda: jax.eval_shape(lambda p: scalar_head.init(p, 2), POLICY),
  'mlp': lambda: of_progress('mlp'),
  'linear': lambda: of_progress('linear'),
  'logits': lambda: of_progress('logits'),
  'reward': lambda: reward_decoder.init(
    jax.random.key(0), reward_decoder.RewardDecoderConfig(3, 4, 3)
  ),
}


@pytest.mark.parametrize('name', MADE)
def test_every_parameter_of_a_head_has_a_rule(name):
  mesh = sharding.make_mesh(2, 2, 2)
  params = MADE[name]()
  placed = sharding.shardings(params, mesh, heads.RULES)
  jax.tree.map(lambda x, where: where.shard_shape(x.shape), params, placed)
  # The table of the decoder alone does not know the head.
  with pytest.raises(ValueError, match='no sharding rule fits'):
    sharding.shardings(params, mesh)
  if 'trunk' in params:
    trunk = sharding.shardings(params['trunk'], mesh)
    assert placed['trunk'] == trunk


def test_all_heads_are_in_the_table():
  folder = pathlib.Path(heads.__file__).parent
  with_rules = [
    path.stem
    for path in folder.glob('*.py')
    if '\nRULES = (' in path.read_text()
  ]
  assert len(with_rules) >= 3
  own = [rule for rule in heads.RULES if rule not in sharding.RULES]
  brought = [rule for name in with_rules for rule in getattr(heads, name).RULES]
  assert sorted(own) == sorted(brought)
  assert heads.RULES[: len(sharding.RULES)] == sharding.RULES
