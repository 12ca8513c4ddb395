"""The cost model: formulas by hand, against the compiler, and its page."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from experiments.benchmarks.cost import chips as chips_lib
from experiments.benchmarks.cost import formulas as cost_formulas
from experiments.benchmarks.cost import measurement as cost_measurement
from experiments.benchmarks.cost import model as cost_model
from jaxcredit import types
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import policy_gradient

TOY = config_lib.DecoderConfig(
  vocab_size=10, width=4, layers=3, heads=2, kv_heads=1, head_dim=2, hidden=5
)
CHIP = chips_lib.Chip('toy', 1e3, 1e9, 100.0, 10.0, 4, 1.0, 4)


def test_counts_by_hand():
  # q and o: 4 x 4; k and v: 4 x 2; three of 4 x 5.
  assert cost_formulas.block_weights(TOY) == 2 * 16 + 2 * 8 + 3 * 20
  # Two norms a block, one at the end; embeddings of 10 x 4.
  assert cost_formulas.parameters(TOY) == 3 * (108 + 8) + 40 + 4
  # A query meets 6 of 12 tokens on average: 4 multiplications and additions
  # each, for scores and for values, over 3 layers.
  assert cost_formulas.attention_flops(TOY, 12) == 3 * 6 * (2 * 4 + 2 * 4)
  forward = 2 * (3 * 108 + 40) + 288
  assert cost_formulas.forward_flops(TOY, 7, 12) == 7 * forward
  blocks = 2 * 3 * 108 + 288
  assert cost_formulas.learner_flops(TOY, 7, 12) == 7 * (3 * blocks + 8 * 40)
  again = dataclasses.replace(TOY, remat=True)
  assert cost_formulas.learner_flops(again, 7, 12) == 7 * (
    4 * blocks - 2 * 3 * 20 + 8 * 40
  )
  # Keys and values of 3 layers, one head of 2, two bytes a number.
  assert cost_formulas.cache_bytes(TOY, 5) == 2 * 3 * 2 * 2 * 5
  assert cost_formulas.decoding_bytes(TOY, 6, 5) == 2 * 364 + 6 * 120
  assert cost_formulas.state_bytes(TOY) == 16 * 392
  assert cost_formulas.checkpoint_bytes(TOY) == 12 * 392
  assert cost_formulas.checkpoint_bytes(TOY, overlap=True) == 16 * 392


@pytest.mark.parametrize(
  ('name', 'count'),
  [
    ('Qwen2.5-1.5B', 1_543_714_304),
    ('Qwen2.5-7B', 7_615_616_512),
    ('Llama-3.1-70B', 70_553_706_496),
  ],
)
def test_parameters_are_those_of_the_published_models(name, count):
  assert cost_formulas.parameters(cost_model.POLICIES[name]) == count


@pytest.mark.parametrize('name', [*cost_model.POLICIES, 'toy'])
def test_parameters_are_those_of_the_decoder(name):
  config = {**cost_model.POLICIES, 'toy': TOY}[name]
  shapes = jax.eval_shape(
    functools.partial(decoder.init, config=config), jax.random.key(0)
  )
  count = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(shapes))
  assert cost_formulas.parameters(config) == count


@pytest.mark.parametrize('remat', [False, True])
def test_flops_are_those_of_the_compiled_step(remat):
  # One layer: the compiler counts the body of a loop once.
  config = config_lib.DecoderConfig(
    vocab_size=512, width=128, layers=1, heads=4, kv_heads=2, head_dim=32,
    hidden=512, remat=remat,
  )  # fmt: skip
  rows, length = 4, 64
  learner = learner_lib.Learner(
    policy_gradient.make_loss(config, policy_gradient.LossOptions()),
    policy_gradient.make_denominator('token-mean'),
    learner_lib.make_optimizer(learning_rate=1e-3),
    micro_batch_tokens=rows * length,
    lengths=[length],
  )
  params = decoder.init(jax.random.key(0), config)
  batch = types.Rows(
    tokens=np.ones((rows, length), np.int32),
    step_of_token=np.zeros((rows, length), np.int32),
    trajectory=np.arange(rows, dtype=np.int32),
    length=np.full(rows, length, np.int32),
    log_probs=np.zeros((rows, length), np.float32),
  )
  compiled = learner._accumulate.lower(
    params, params, None, batch, np.ones((rows, 1), np.float32), 1.0
  ).compile()
  counted = compiled.cost_analysis()['flops']
  expected = cost_formulas.learner_flops(config, rows * length, length)
  # Beside the products stand norms, softmax and the loss.
  assert 0.95 < counted / expected < 1.15


def test_exchange_by_hand():
  assert cost_formulas.ring_bytes(80, 4) == 60
  assert cost_formulas.ring_bytes(80, 1) == 0
  assert cost_formulas.link_speed(CHIP, 4) == 10
  # Four chips share out what comes in over four networks of 1 byte a second.
  assert cost_formulas.link_speed(CHIP, 8) == 4
  fast = dataclasses.replace(CHIP, network=5.0)
  assert cost_formulas.link_speed(fast, 8) == 10


WORK = cost_formulas.Workload(
  'toy', groups=2, group_size=4, steps=3, prompt=6, answer=2, longest=4,
  rebuilds=True, iterations=1, updates=2, environment_seconds=0.5,
  environment_workers=3,
)  # fmt: skip


def test_an_iteration_by_hand():
  layout = cost_formulas.Layout(1, 2, 1)
  cost = cost_formulas.iteration(TOY, CHIP, layout, WORK)
  speed, links = 0.4 * 1e3, 0.6 * 10
  # Four episodes a chip; a row has 8 tokens, of which a query meets half.
  assert cost.prefill == pytest.approx(3 * 4 * 6 * (2 * 324 + 192) / speed)
  flops = 4 * (2 * 364 + 2 * 192) / speed
  read = (2 * 364 + 4 * 8 * 24) / (0.6 * 100)
  assert cost.decoding == pytest.approx(3 * 4 * max(flops, read))
  # Eight steps, three at a time.
  assert cost.environment == 3 * 3 * 0.5
  # 24 rows of 8 tokens, half of them on a chip.
  assert cost.compute == pytest.approx(
    cost_formulas.learner_flops(TOY, 96, 8) / speed
  )
  # For each of two updates: weights twice in half precision, a gradient.
  assert cost.gathering == pytest.approx(2 * (4 + 4) * 392 / 2 / links)
  assert cost.reduction == cost.tensor == 0
  assert cost.collection == pytest.approx(2 * 392 / 2 / links)
  assert cost.optimizer == pytest.approx(2 * 7 * 4 * 392 / 2 / 60)
  assert cost.seconds == pytest.approx(cost.rollout + cost.learning)
  data = cost_formulas.iteration(TOY, CHIP, cost_formulas.Layout(2, 1, 1), WORK)
  assert data.gathering == 0
  # An all-reduce passes everything twice.
  assert data.reduction == pytest.approx(2 * 2 * 4 * 392 / 2 / links)
  tensor = cost_formulas.iteration(
    TOY, CHIP, cost_formulas.Layout(1, 1, 2), WORK
  )
  # Two sums a layer, forward and backward, of 192 tokens.
  assert tensor.tensor == pytest.approx(4 * 3 * 2 * 2 * 4 / 2 * 192 / links)


def test_more_chips_than_rows_are_of_no_use():
  config = cost_model.POLICIES['Qwen2.5-1.5B']
  chip = chips_lib.CHIPS[1]
  seconds = [
    cost_formulas.best(config, chip, count, cost_model.GIGPO)[1].seconds
    for count in cost_model.COUNTS
  ]
  assert seconds[1] < 0.5 * seconds[0]
  assert seconds[3] > 0.95 * seconds[2]


def test_what_does_not_fit_is_not_chosen():
  config = cost_model.POLICIES['Llama-3.1-70B']
  small, large = chips_lib.CHIPS[0], chips_lib.CHIPS[1]
  assert cost_formulas.best(config, small, 8, cost_model.GIGPO) is None
  layout, cost = cost_formulas.best(config, large, 64, cost_model.GIGPO)
  assert layout.chips == 64
  assert cost.memory <= 0.9 * large.memory
  assert config.kv_heads % layout.tensor == 0


def test_tables_of_the_page_are_those_of_the_script():
  page = cost_model.PAGE.read_text(encoding='utf-8')
  assert cost_model.placed(page, cost_model.tables()) == page
  assert 'does not fit' in page


def test_tables_are_put_into_a_page():
  page = 'a\n\n<!-- table: one -->\n\n| old |\n| --- |\n\nb\n'
  new = cost_model.placed(page, {'one': '| new |\n| --- |\n| 1 |'})
  assert new == 'a\n\n<!-- table: one -->\n\n| new |\n| --- |\n| 1 |\n\nb\n'
  # A table that is not there yet stands apart from what follows, too.
  first = page.replace('| old |\n| --- |\n\n', '')
  assert cost_model.placed(first, {'one': '| new |\n| --- |\n| 1 |'}) == new
  with pytest.raises(ValueError, match=r"\['one'\], and not \['two'\]"):
    cost_model.placed(page, {'two': ''})


def test_predictions_of_this_machine_by_hand():
  config = cost_measurement.small_policy()
  size = cost_formulas.parameters(config)
  record = {'devices': 4, 'flops': 1e9, 'bandwidth': 1e9}
  flops = cost_formulas.learner_flops(config, 16 * 128, 128)
  copied = 2 * 4 * 12 * size * 3 / 4 + 28 * size
  assert cost_measurement.predicted_update(record) == pytest.approx(
    (flops + copied) / 1e9
  )
  record = {'rows': 8, 'flops': 1e15, 'bandwidth': 1e9}
  read = cost_formulas.decoding_bytes(config, 8, 144, 4)
  assert cost_measurement.predicted_token(record) == pytest.approx(read / 1e9)


@pytest.mark.slow
def test_this_machine_is_measured():
  measured = cost_measurement.measure(repeats=1)
  assert [r['devices'] for r in measured['learner']] == [1, 2, 4, 8]
  for record in measured['learner'] + measured['sampler']:
    assert min(record['seconds'], record['flops'], record['bandwidth']) > 0
  assert json.loads(json.dumps(measured)) == measured
