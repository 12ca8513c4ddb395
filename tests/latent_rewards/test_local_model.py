"""A policy of this library answers by its chat template."""

import pytest

pytest.importorskip('tokenizers', reason='an extra')
pytest.importorskip('transformers', reason='an extra')

from jaxcredit.latent_rewards import language_model, local_model
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from tests.experiments import tiny_qwen
from tests.networks import tiny_tokenizers

MESSAGES = [
  {'role': 'user', 'content': 'write a function'},
  {'role': 'assistant', 'content': 'def'},
  {'role': 'user', 'content': 'mend it <|im_end|>'},
]


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  folder = tiny_qwen.write(tmp_path_factory.mktemp('model'))
  return local_model.load(str(folder), new_tokens=6)


def test_answers(model):
  assert isinstance(model, language_model.LanguageModel)
  first = model.complete(MESSAGES, 2, 1.0, 0)
  assert len(set(first)) == 2 and all(isinstance(text, str) for text in first)
  assert model.complete(MESSAGES, 2, 1.0, 0) == first
  assert model.complete(MESSAGES, 2, 1.0, 1) != first
  assert len(set(model.complete(MESSAGES, 2, 0.0, 0))) == 1


def test_a_tokenizer_without_template_is_told(tmp_path, model):
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write_qwen(tmp_path / 'plain', '')
  )
  if tokenizer.has_template:
    tokenizer._fast.chat_template = None
  with pytest.raises(ValueError, match='m: the tokenizer has no chat template'):
    local_model.LocalModel('m', model._params, model._config, tokenizer)


def test_a_folder_that_is_not_there():
  with pytest.raises(FileNotFoundError):
    local_model.load('no_such_folder/x.gguf')
