"""The learner on eight devices: one device's numbers, an eighth of the room."""

import re

import jax
import numpy as np
import pytest

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, lora, sharding
from jaxcredit.training import learner as learner_lib
from jaxcredit.training import policy_gradient
from tests.training import test_learner

LENGTH, VOCABULARY = test_learner.LENGTH, 16
# Three layers: nothing else has a first dimension of three.
CONFIG = config_lib.DecoderConfig(
  vocab_size=VOCABULARY, width=16, layers=3, heads=8, kv_heads=8, head_dim=2,
  hidden=24, qkv_bias=True,
)  # fmt: skip
# The first cuts everything; the others take as long to compile, each.
MESHES = [
  (2, 2, 2),
  *(
    pytest.param(shape, marks=pytest.mark.system)
    for shape in [(8, 1, 1), (1, 8, 1), (1, 1, 8), (4, 2, 1), (1, 2, 4)]
  ),
]


@pytest.fixture(autouse=True)
def wide():
  # In float32, Adam makes much of the rounding of small gradients.
  with jax.enable_x64(True):
    yield


def build(config=CONFIG):
  params = decoder.init(jax.random.key(0), config)
  return params, jax.tree.map(lambda x: 0.9 * x, params)


def make_learner(mesh_shape=None, config=CONFIG, adapt=None, **options):
  loss_options = policy_gradient.LossOptions(
    kl_coefficient=0.3, entropy_coefficient=0.1
  )
  loss = policy_gradient.make_loss(config, loss_options)
  return learner_lib.Learner(
    loss if adapt is None else lora.adapted(loss, adapt),
    policy_gradient.make_denominator(loss_options.aggregation),
    learner_lib.make_optimizer(learning_rate=0.1, weight_decay=0.1),
    micro_batch_tokens=8 * LENGTH,
    lengths=[LENGTH],
    mesh=None if mesh_shape is None else sharding.make_mesh(*mesh_shape),
    **options,
  )


def two_updates(learner, params, reference):
  rows, advantages = test_learner.make_rows(21)
  state = learner.init(jax.tree.map(np.array, params))
  before = None
  if learner._mesh is not None:
    before = jax.tree.map(lambda x: x.sharding, state)
  state, figures = learner.update(
    state, rows, advantages, reference=reference, minibatches=2
  )
  if before is not None:
    assert jax.tree.map(lambda x: x.sharding, state) == before
    # Nor was anything compiled again for where the first update left it.
    assert learner._accumulate._cache_size() == 1
    assert learner._apply._cache_size() == 1
  return jax.device_get(state), figures


_one_device = {}


def on_one_device(**options):
  key = str(options)
  if key not in _one_device:
    _one_device[key] = two_updates(make_learner(**options), *build())
  return _one_device[key]


def check_same(given, expected, atol=1e-9):
  (state, figures), (wanted, wanted_figures) = given, expected
  test_learner.check_close(state, wanted, atol=atol)
  for name in ('loss', 'gradient_norm', 'kl', 'entropy', 'clip_share'):
    assert figures[name] == pytest.approx(wanted_figures[name], rel=100 * atol)
  assert figures['gradient_norm'] > 1e-2


@pytest.mark.parametrize('mesh_shape', MESHES)
def test_every_mesh_gives_the_numbers_of_one_device(mesh_shape):
  given = two_updates(make_learner(mesh_shape), *build())
  check_same(given, on_one_device())
  assert int(given[0].updates) == 2


def test_packed_rows_on_a_mesh():
  given = two_updates(make_learner((2, 2, 2), sequences_per_row=3), *build())
  # Other micro-batches, whose weights are rounded to float32.
  check_same(given, on_one_device(), atol=1e-6)


def test_adapters_on_a_mesh():
  adapt = lora.LoraOptions(rank=2, targets=('q|v', 'o', 'down'))
  params, _ = build()
  adapters = lora.init(jax.random.key(1), params, adapt)
  expected = two_updates(make_learner(adapt=adapt), adapters, params)
  given = two_updates(make_learner((2, 2, 2), adapt=adapt), adapters, params)
  check_same(given, expected)
  assert set(given[0].params['layers']) == {'q', 'v', 'o', 'down'}


def shard_bytes(tree) -> int:
  """Bytes of a tree on the first device."""
  return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ('mesh_shape', 'parts'), [((1, 8, 1), 8), ((1, 2, 4), 8), ((4, 2, 1), 2)]
)
def test_memory_per_device_falls(mesh_shape, parts):
  params, _ = build()
  state = make_learner(mesh_shape).init(params)
  moments = [x for x in jax.tree.leaves(state.optimizer) if np.ndim(x)]
  assert len(moments) == 2 * len(jax.tree.leaves(params))
  for tree in (state.params, moments):
    # Norms are whole everywhere, biases cut over "tensor" alone.
    small = [x for x in jax.tree.leaves(tree) if x.ndim < 3 and x.size < 256]
    large = [x for x in jax.tree.leaves(tree) if x.ndim == 3 or x.size >= 256]
    assert sum(x.nbytes for x in large) > 10 * sum(x.nbytes for x in small)
    assert shard_bytes(large) * parts == sum(x.nbytes for x in large)
  for x, moment in zip(
    jax.tree.leaves(state.params), moments[: len(moments) // 2], strict=True
  ):
    assert x.sharding == moment.sharding


def program(config, mesh_shape) -> str:
  """The compiled gradient step of one device."""
  learner = make_learner(mesh_shape, config)
  params, _ = build(config)
  params = learner.place(params)
  # Neither as many rows a device as layers nor as many tokens as the width is:
  # arrays are told apart by their shapes.
  rows, advantages = test_learner.make_rows(40)
  with sharding.on(learner._mesh):
    return (
      learner._accumulate.lower(
        learner._zeros(params),
        params,
        params,
        learner._place_rows(rows),
        advantages,
        np.float32(1),
      )
      .compile()
      .as_text()
    )


def shapes_of(text: str, operation: str = '') -> set[tuple[int, ...]]:
  """Shapes of the arrays in a program, or of the results of an operation."""
  found = set()
  for line in text.splitlines():
    result, _, rest = line.partition(' = ')
    if not rest:
      continue
    if operation:
      match = re.match(rf'(.*?) {operation}(-start)?\(', rest)
      if not match:
        continue
      rest = match.group(1)
    for dimensions in re.findall(r'[a-z]+[0-9]+\[([0-9,]+)\]', rest):
      found.add(tuple(int(d) for d in dimensions.split(',')))
  return found


@pytest.mark.optimised
@pytest.mark.parametrize(
  'remat', [pytest.param(False, marks=pytest.mark.system), True]
)
def test_parameters_are_gathered_layer_by_layer(remat):
  config = config_lib.DecoderConfig(
    **{**CONFIG.__dict__, 'remat': remat, 'hidden': 40}
  )
  params, _ = build(config)
  whole = {x.shape for x in jax.tree.leaves(params['layers']) if x.ndim == 3}
  text = program(config, (1, 8, 1))
  gathered = shapes_of(text, 'all-gather')
  # Each layer's kernels are gathered inside the loop
  # (with or without an axis of one layer) ...
  of_one_layer = {s[1:] if s[0] == 1 else s for s in gathered}
  assert {(16, 40), (40, 16)} <= of_one_layer
  # ... and no stack of layers is.
  assert not {s for s in gathered if s[0] == config.layers}
  # Nor is one kept for the backward pass, or the gradient of one whole.
  assert not shapes_of(text) & whole
  assert (3, 16 // 8, 40) in shapes_of(text)


def test_a_mesh_that_does_not_divide_a_parameter():
  params, _ = build()
  with pytest.raises(
    ValueError,
    match=r"'tensor' \(5 devices\) does not divide dimension \d \(16\) of the "
    r"parameter 'embedder/embedding' \[16, 16\]",
  ):
    make_learner((1, 1, 5)).init(params)
