"""The decoder computes what transformers computes on torch, live.

`make test-torch` runs these and prints the largest differences.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

pytest.importorskip(
  'torch', reason='torch is in an environment of its own: make test-torch'
)
from jaxcredit.networks import decoder, weights
from tests.networks import greedy, reference_models, tiny_decoder

pytestmark = pytest.mark.torch

WIDTH = 48
ROWS = [
  np.random.RandomState(n).randint(0, 96, n).tolist() for n in (40, 17, 5)
]
families = pytest.mark.parametrize('name', reference_models.FAMILIES)


@functools.cache
def theirs(name):
  return reference_models.build(name)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
  """Name -> (transformers' model, our parameters and configuration)."""
  read = {}

  def model(name):
    if name not in read:
      folder = tmp_path_factory.mktemp('model')
      theirs(name).save_pretrained(folder)
      read[name] = weights.from_pretrained(
        folder, compute_dtype='float32', remat=False
      )
    return theirs(name), *read[name]

  return model


@functools.partial(jax.jit, static_argnums=1)
def logits(params, config, tokens, segment_ids=None):
  hidden = decoder.hidden_states(
    params, config, tokens, segment_ids=segment_ids
  )
  return decoder.logits(params, config, hidden)


def lay(rows, starts):
  """Rows at their places in [N, WIDTH], and which tokens are no padding."""
  tokens = np.full((len(rows), WIDTH), 3, np.int32)
  valid = np.zeros((len(rows), WIDTH), bool)
  for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
    tokens[i, start : start + len(row)] = row
    valid[i, start : start + len(row)] = True
  return tokens, valid


@families
def test_rows_with_padding_at_the_right(models, agree, name):
  model, params, config = models(name)
  tokens, valid = lay(ROWS, [0] * len(ROWS))
  ours = logits(params, config, tokens)
  expected = reference_models.padded_logits(model, tokens, valid)
  # Spread enough that 1e-4 means something.
  assert expected[valid].std() > 0.5
  agree(name, 'right', ours[valid], expected[valid])
  alone = np.concatenate(reference_models.logits(model, ROWS))
  agree(name, 'alone', ours[valid], alone)


@families
def test_rows_with_padding_at_the_left(models, agree, name):
  model, params, config = models(name)
  tokens, valid = lay(ROWS, [WIDTH - len(row) for row in ROWS])
  ours = logits(params, config, tokens, valid.astype(np.int32))
  expected = reference_models.padded_logits(model, tokens, valid)
  agree(name, 'left', ours[valid], expected[valid])


@families
def test_packed_rows(models, agree, name):
  model, params, config = models(name)
  a, b, c = ROWS
  texts = [a, c, b, b[:9], c, b, c[:1], a[:24]]
  # (row, where it starts, which of the texts)
  places = [(0, 0, 0), (0, 40, 1), (1, 2, 2), (1, 19, 3), (1, 28, 4)]
  places += [(2, 0, 5), (2, 17, 6), (2, 20, 7)]
  tokens = np.full((3, WIDTH), 3, np.int32)
  segment_ids = np.zeros((3, WIDTH), np.int32)
  for row, start, number in places:
    cut = slice(start, start + len(texts[number]))
    tokens[row, cut] = texts[number]
    segment_ids[row, cut] = number + 1
  ours = np.asarray(logits(params, config, tokens, segment_ids))
  for (row, start, number), expected in zip(
    places, reference_models.logits(model, texts), strict=True
  ):
    found = ours[row, start : start + len(texts[number])]
    agree(name, 'packed', found, expected)


@families
def test_models_written_here_are_read_there(models, agree, tmp_path, name):
  _, params, config = models(name)
  # Not the numbers that transformers wrote.
  params = jax.tree.map(lambda x: x * 1.1 - 0.01, params)
  weights.save_pretrained(tmp_path, params, config)
  tokens, valid = lay(ROWS, [0] * len(ROWS))
  expected = np.concatenate(
    reference_models.logits(reference_models.load(tmp_path), ROWS)
  )
  agree(name, 'written', logits(params, config, tokens)[valid], expected)


@pytest.mark.parametrize('variant', tiny_decoder.VARIANTS)
def test_configurations_of_ours_are_read_there(agree, tmp_path, variant):
  # A bias at the output of attention alone is in no family.
  changes = {'qkv_bias': True} if variant == 'llama3' else {}
  config, params = tiny_decoder.build(variant, **changes)
  # In several files, as large models are.
  weights.save_pretrained(tmp_path, params, config, file_bytes=4000)
  assert len(list(tmp_path.glob('model-*'))) > 1
  rows = [[token % config.vocab_size for token in row] for row in ROWS]
  tokens, valid = lay(rows, [0] * len(rows))
  expected = np.concatenate(
    reference_models.logits(reference_models.load(tmp_path), rows)
  )
  ours = logits(params, config, tokens)[valid]
  agree(f'our {variant}', 'written', ours, expected)


def test_models_written_in_bfloat16(models, agree, tmp_path):
  _, params, config = models('Qwen3')
  weights.save_pretrained(tmp_path, params, config, dtype='bfloat16')
  rounded = jax.tree.map(
    lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), params
  )
  tokens, valid = lay(ROWS, [0] * len(ROWS))
  expected = np.concatenate(
    reference_models.logits(reference_models.load(tmp_path), ROWS)
  )
  agree(
    'Qwen3', 'bfloat16 file', logits(rounded, config, tokens)[valid], expected
  )


@families
def test_greedy_tokens(models, agree, name):
  model, params, config = models(name)
  prompts, new = [ROWS[0][:14], ROWS[1][:9], ROWS[2][:3]], 24
  expected = [
    reference_models.greedy(model, prompt, new, eos_token_id=None)
    for prompt in prompts
  ]
  # Not one token over and over.
  assert len(set(sum(expected, []))) > 6

  rows = [list(prompt) for prompt in prompts]
  for _ in range(new):
    tokens, _ = lay(rows, [0] * len(rows))
    scores = logits(params, config, tokens)
    for row, of_row in zip(rows, scores, strict=True):
      row.append(int(of_row[len(row) - 1].argmax()))
  assert [r[len(p) :] for r, p in zip(rows, prompts, strict=True)] == expected

  answers, scores = greedy.decode(params, config, prompts, new)
  assert answers == expected
  last = [row[:-1] for row in rows]
  alone = [x[-1] for x in reference_models.logits(model, last)]
  agree(name, 'cache', scores, np.array(alone))


@pytest.mark.parametrize(
  'name', ['Llama 3.2', 'Qwen2.5, windows', 'Qwen3, windows, biases']
)
def test_log_probabilities_and_their_gradient(models, agree, tmp_path, name):
  model, params, config = models(name)
  tokens, valid = lay(ROWS, [0] * len(ROWS))
  lengths = valid.sum(axis=1)

  def objective(params):
    # Chunks, so that the gradient is added up over several.
    found, entropy = decoder.log_probs(
      params, config, tokens, jnp.asarray(lengths), chunk=20
    )
    both = found.sum() + 0.3 * entropy.sum()
    return both / (lengths - 1).sum(), (found, entropy)

  differentiate = jax.jit(jax.grad(objective, has_aux=True))
  gradient, (log_probs, entropy) = differentiate(params)
  for i, row in enumerate(ROWS):
    of_row, of_entropy = reference_models.scores(model, row)
    cut = np.s_[i, 1 : len(row)]
    agree(name, 'log p', log_probs[cut], of_row.detach())
    agree(name, 'entropy', entropy[cut], of_entropy.detach())

  # Written as if they were parameters, gradients get the names of tensors.
  weights.save_pretrained(tmp_path, gradient, config)
  found = safetensors_numpy.load_file(tmp_path / 'model.safetensors')
  expected = reference_models.gradients(model, ROWS, entropy_weight=0.3)
  assert found.keys() == expected.keys()
  for tensor, value in expected.items():
    assert np.abs(value).max() > 1e-4 or tensor.endswith('k_proj.bias')
    agree(name, 'gradient', found[tensor], value, atol=1e-5)
