"""History as tokens: sampled tokens stay as they were sampled."""

import pytest

from jaxcredit.networks.tokenizers import pretrained_tokenizer
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import chat_history
from tests.experiments import tiny_qwen


@pytest.fixture(scope='module')
def chat(tmp_path_factory):
  folder = tiny_qwen.write(tmp_path_factory.mktemp('model'))
  return pretrained_tokenizer.load(folder)


def test_texts_follow_each_other_without_a_template():
  tokenizer = tokenizer_lib.train_tokenizer(['look at mug 1'], 300)
  history = chat_history.begin(tokenizer)
  tokens = history.add_observation('a mug 1>')
  history.add_completion(tokenizer.encode(' look'))
  tokens += tokenizer.encode(' look') + history.add_observation('b>')
  assert tokenizer.decode(tokens) == 'a mug 1> lookb>'


@pytest.mark.parametrize('stops', [True, False])
def test_a_chat_is_that_of_the_template(chat, stops):
  history = chat_history.begin(chat)
  tokens = history.add_observation('you see <|im_end|>')
  drawn = chat.encode('go north') + [chat.eos_id] * stops
  history.add_completion(drawn)
  tokens += drawn + history.add_observation('a wall')
  assert chat.decode(tokens) == (
    '<|im_start|>user\nyou see <|im_end|><|im_end|>\n<|im_start|>assistant\n'
    'go north<|im_end|>\n'
    '<|im_start|>user\na wall<|im_end|>\n<|im_start|>assistant\n'
  )
  # What a game says cannot end a message: three are ended by their own token.
  assert tokens.count(chat.eos_id) == 3


def test_tokens_drawn_are_not_tokenised_again(chat):
  # One letter at a time, which no tokenizer would do.
  drawn = [token for c in 'you see you see' for token in chat.encode(c)]
  assert chat.encode('you see you see') != drawn
  history = chat_history.begin(chat)
  tokens = history.add_observation('hi')
  history.add_completion(drawn)
  begin = len(tokens)
  tokens += drawn + history.add_observation('go on')
  assert tokens[begin : begin + len(drawn)] == drawn
  expected = chat.encode_chat(
    [
      {'role': 'user', 'content': 'hi'},
      {'role': 'assistant', 'content': 'you see you see'},
      {'role': 'user', 'content': 'go on'},
    ]
  )
  assert chat.decode(tokens) == chat.decode(expected)
  assert tokens != expected
