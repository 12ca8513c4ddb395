"""A real model computes what transformers computes from the same file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip(
  'torch', reason='torch is in an environment of its own: make test-torch'
)
import torch
import transformers

from jaxcredit.networks import decoder, weights
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from tests.networks import greedy, reference_models, smollm2

pytestmark = [pytest.mark.torch, pytest.mark.slow]

# Logits reach 40 behind 30 layers in float32.
TOLERANCE = 1e-3
TEXTS = (
  'The capital of France is',
  'Gravity is a force that pulls things towards each other. On the Moon it is '
  'weaker than on Earth, because',
  'def fibonacci(n):\n  """Returns a number."""\n  if n < 2:\n    return',
)
QUESTIONS = (
  'What is the capital of France?',
  'Name three colours.',
  'Why is the sky blue? Answer in one sentence.',
)


@pytest.fixture(scope='module')
def tokenizer():
  return pretrained_tokenizer.load(smollm2.fetch_or_skip())


@pytest.fixture(scope='module')
def model():
  """Our parameters and configuration."""
  return weights.from_pretrained(
    smollm2.fetch_or_skip(), compute_dtype='float32', remat=False
  )


@pytest.fixture(scope='module')
def folder(model, tokenizer, tmp_path_factory):
  """Model and tokenizer as we write them."""
  path = tmp_path_factory.mktemp('smollm2')
  weights.save_pretrained(path, *model)
  tokenizer.save(path)
  return path


@pytest.fixture(scope='module')
def their_gguf():
  """The model as transformers reads the GGUF file by itself."""
  path = smollm2.fetch_or_skip()
  return transformers.AutoModelForCausalLM.from_pretrained(
    path.parent,
    gguf_file=path.name,
    dtype=torch.float32,
    attn_implementation='eager',
  ).eval()


@pytest.fixture(scope='module')
def prompts(tokenizer):
  return [tokenizer.encode(text) for text in TEXTS] + [
    tokenizer.encode_chat([{'role': 'user', 'content': question}])
    for question in QUESTIONS
  ]


def logits(params, config, prompts):
  """Our logits of each prompt; all of them share two rows."""
  half = len(prompts) // 2
  width = max(sum(map(len, prompts[:half])), sum(map(len, prompts[half:])))
  tokens = np.zeros((2, width), np.int32)
  segment_ids = np.zeros((2, width), np.int32)
  places = []
  for row, packed in enumerate((prompts[:half], prompts[half:])):
    start = 0
    for number, prompt in enumerate(packed, 1):
      places.append(np.s_[row, start : start + len(prompt)])
      tokens[places[-1]], segment_ids[places[-1]] = prompt, number
      start += len(prompt)

  @jax.jit
  def compute(params, tokens, segment_ids):
    hidden = decoder.hidden_states(
      params, config, tokens, segment_ids=segment_ids
    )
    return decoder.logits(params, config, hidden)

  found = np.asarray(compute(params, tokens, segment_ids))
  return [found[place] for place in places]


@pytest.fixture(scope='module')
def answers(model, tokenizer, prompts):
  """What we answer to each prompt, as text."""
  found, _ = greedy.decode(*model, prompts, 24, tokenizer.stop_ids)
  return [tokenizer.decode(answer) for answer in found]


@pytest.mark.parametrize('source', ['folder', 'GGUF'])
def test_logits_and_greedy_text(
  request, agree, model, tokenizer, prompts, answers, source
):
  if source == 'folder':
    theirs = reference_models.load(request.getfixturevalue('folder'))
  else:
    theirs = request.getfixturevalue('their_gguf')
  expected = reference_models.logits(theirs, prompts)
  assert np.concatenate(expected).std() > 2
  ours = logits(*model, prompts)
  for mine, other in zip(ours, expected, strict=True):
    agree(f'SmolLM2-135M, {source}', 'packed', mine, other, atol=TOLERANCE)
  stops = list(tokenizer.stop_ids)
  assert answers == [
    tokenizer.decode(
      reference_models.greedy(theirs, prompt, 24, eos_token_id=stops)
    )
    for prompt in prompts
  ]


def test_bfloat16_rounds_no_more_than_there(agree, model, folder, prompts):
  params, config = model
  params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
  config = dataclasses.replace(config, compute_dtype='bfloat16')
  exact = np.concatenate(
    reference_models.logits(reference_models.load(folder), prompts)
  )
  theirs = np.concatenate(
    reference_models.logits(
      reference_models.load(folder, torch.bfloat16), prompts
    )
  )
  ours = np.concatenate(logits(params, config, prompts))

  def spread(values):
    return np.sqrt(np.mean((values - exact) ** 2))

  assert spread(ours) < 1.3 * spread(theirs)
  most = np.abs(theirs - exact).max()
  name = 'SmolLM2-135M, bfloat16'
  agree(name, 'packed', ours, exact, atol=2 * most)
  agree(f'{name} there', 'packed', theirs, exact, atol=most)


def test_dequantised_weights_are_the_same(folder, their_gguf):
  # Ours went out of the file, into arrays and out again; bit for bit.
  ours = reference_models.load(folder).state_dict()
  theirs = their_gguf.state_dict()
  assert ours.keys() == theirs.keys()
  for name, value in theirs.items():
    np.testing.assert_array_equal(ours[name].numpy(), value.numpy(), name)


def test_tokens(folder, tokenizer):
  path = smollm2.fetch_or_skip()
  texts = [
    *(TEXTS + QUESTIONS),
    "It's 1,024 steps: naïve café, 東京 🙂.\n\n\tx  =  [3.14, 007]\r\n",
    ' leading, trailing ',
  ]
  chat = [
    {'role': 'user', 'content': QUESTIONS[0]},
    {'role': 'assistant', 'content': 'Paris.'},
    {'role': 'user', 'content': QUESTIONS[1]},
  ]
  for theirs in (
    transformers.AutoTokenizer.from_pretrained(
      path.parent, gguf_file=path.name
    ),
    transformers.AutoTokenizer.from_pretrained(folder),
  ):
    for text in texts:
      tokens = theirs.encode(text, add_special_tokens=False)
      assert tokenizer.encode(text) == tokens
      assert tokenizer.decode(tokens) == text
    assert tokenizer.encode_chat(chat) == theirs.apply_chat_template(
      chat, add_generation_prompt=True, return_dict=False
    )
