"""Tokenizers in folders: the tokens of transformers, and no forged ones."""

import io
import json
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip('tokenizers', reason='an extra')
pytest.importorskip('transformers', reason='an extra')
import tokenizers
from tokenizers import models

from jaxcredit.networks.tokenizers import conversation, pretrained_tokenizer
from tests.networks import tiny_tokenizers

WRITERS = {
  'qwen': tiny_tokenizers.write_qwen,
  'llama3': tiny_tokenizers.write_llama3,
  'llama2': tiny_tokenizers.write_llama2,
  'llama2_always': lambda f: tiny_tokenizers.write_llama2(f, space='always'),
  'llama2_prepend': lambda f: tiny_tokenizers.write_llama2(f, space='prepend'),
}
SPELT = [
  '<|im_start|>', '<|im_end|>', '<|endoftext|>', '<think>', '</think>',
  '<|begin_of_text|>', '<|eot_id|>', '<s>', '</s>', '<unk>',
]  # fmt: skip
# Ends in what a special token may begin with, begins with what one ends with.
TEXTS = st.lists(
  st.sampled_from([*SPELT, '<|', '|>', ' ', '\n', 'ab', 'é😀', '\ue0f1'])
  | st.text(max_size=4)
).map(''.join)


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokenizers')
  return {
    name: pretrained_tokenizer.load(write(folder / name))
    for name, write in WRITERS.items()
  }


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
  def refuse(*_):
    raise AssertionError('a test without the mark asks the network')

  monkeypatch.setattr(socket.socket, 'connect', refuse)


def of_transformers(tokenizer, messages, **options):
  return tokenizer._fast.apply_chat_template(
    messages,
    tokenize=True,
    return_dict=False,
    add_generation_prompt=True,
    **options,
  )


def user(text):
  return {'role': 'user', 'content': text}


def assistant(text):
  return {'role': 'assistant', 'content': text}


def special_tokens(tokenizer, tokens):
  added = tokenizer._backend.get_added_tokens_decoder()
  return [token for token in tokens if token in added]


@pytest.mark.parametrize('name', WRITERS)
@given(texts=st.tuples(*[st.text('ab >/|\n\tsé😀.1')] * 3))
def test_chats_are_those_of_transformers(loaded, name, texts):
  first, answer, second = texts
  chat = [user(first), assistant(answer), user(second)]
  tokens = loaded[name].encode_chat(chat)
  assert tokens == of_transformers(loaded[name], chat)
  assert loaded[name].encode_prompt(first) == of_transformers(
    loaded[name], [user(first)]
  )


@pytest.mark.parametrize('name', WRITERS)
@given(texts=st.tuples(TEXTS, TEXTS, TEXTS))
@example(texts=('hi </s> you <s>', '<|im_end|>', '\ue0f1</s>\ue0f1\ue0f1'))
def test_special_tokens_spelt_out_are_text(loaded, name, texts):
  tokenizer = loaded[name]
  first, answer, second = texts
  if name == 'llama3':
    # Its template trims.
    first, answer, second = first.strip(), answer.strip(), second.strip()
  chat = [user(first), assistant(answer), user(second)]
  tokens = tokenizer.encode_chat(chat)
  meant = tokenizer.encode_chat([user('x'), assistant('x'), user('x')])
  found = special_tokens(tokenizer, tokens)
  # What an assistant thinks is meant.
  if name == 'qwen':
    found = [t for t in found if tokenizer.decode([t]) not in SPELT[3:5]]
  assert found == special_tokens(tokenizer, meant)
  # And nothing is lost or added: the same text as with harmless words.
  text, mark = tokenizer.render(chat)
  decoded = tokenizer.decode(tokens)
  if name in ('llama2_always', 'llama2_prepend'):
    # These put a space behind every special token, as transformers does.
    decoded = decoded.replace('<s> [INST]', '<s>[INST]')
  assert decoded == text.replace(mark, '').replace('▁', _space(name))


def _space(name):
  return ' ' if name.startswith('llama2') else '▁'


def test_spelt_out_words_get_no_spaces_inside(loaded):
  # A part of a text encoded alone would start with a space.
  for name in ('llama2', 'llama2_always', 'llama2_prepend'):
    tokens = loaded[name].encode_chat([user('a</s>b')])
    assert loaded[name].decode(tokens).endswith('[INST] a</s>b [/INST]'), name


def test_thoughts_of_users_are_text_those_of_assistants_are_not(loaded):
  tokenizer = loaded['qwen']
  thought = tokenizer._backend.token_to_id('<think>')
  assert thought not in tokenizer.encode_chat([user('<think>')])
  assert thought in tokenizer.encode_chat(
    [user('a'), assistant('<think>'), user('b')]
  )


def test_texts_deep_inside_messages_are_guarded(tmp_path):
  template = (
    '{% for message in messages %}'
    '{% for part in message.content %}{{ part.text }}{% endfor %}'
    '{% for call in message.tool_calls or [] %}'
    '{{ call.function.arguments | tojson }}{% endfor %}<|im_end|>'
    '{% endfor %}'
  )
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write_qwen(tmp_path, template)
  )
  # The mark itself is in the text, and longer.
  words = '\ue0f1a<|im_end|>\ue0f1\ue0f1'
  tokens = tokenizer.encode_chat(
    [
      {'role': 'user', 'content': [{'type': 'text', 'text': words}]},
      {
        'role': 'assistant',
        'content': [],
        'tool_calls': [{'function': {'arguments': {'x': '<|im_end|>'}}}],
      },
    ]
  )
  assert tokens.count(tokenizer.eos_id) == 2
  assert tokenizer.decode(tokens) == (
    words + '<|im_end|>{"x": "<|im_end|>"}<|im_end|>'
  )


def test_runs_of_spaces_that_are_tokens_stay_tokens(tmp_path):
  # Vocabularies for code add them; they mean no more than they say.
  backend = tiny_tokenizers.qwen()
  backend.add_tokens(['    '])
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write(
      tmp_path,
      backend,
      template=tiny_tokenizers.CHATML,
      eos_token='<|im_end|>',
    )
  )
  chat = [user('a\n    b <x>')]
  tokens = tokenizer.encode_chat(chat)
  assert backend.token_to_id('    ') in tokens
  assert tokens == of_transformers(tokenizer, chat)


@pytest.mark.parametrize('name', WRITERS)
@given(text=TEXTS)
def test_texts_come_back(loaded, name, text):
  tokenizer = loaded[name]
  tokens = tokenizer.encode(text)
  expected = text.replace('▁', _space(name))
  if name in ('llama2', 'llama2_always') and expected[:1] == ' ':
    # Metaspace takes a space in front for the one that it would put there.
    expected = expected[1:]
  assert tokenizer.decode(tokens) == expected
  assert not {*tokens} & {*tokenizer.stop_ids}


def test_the_template_may_lie_in_either_file(tmp_path):
  template = tiny_tokenizers.CHATML.replace('assistant\\n', 'policy\\n')
  chat = [user('hi')]
  for name, in_file in (('config', False), ('jinja', True)):
    tokenizer = pretrained_tokenizer.load(
      tiny_tokenizers.write_qwen(
        tmp_path / name, template, template_file=in_file
      )
    )
    assert tokenizer.has_template
    assert tokenizer.decode(tokenizer.encode_chat(chat)) == (
      '<|im_start|>user\nhi<|im_end|>\n<|im_start|>policy\n'
    )


@pytest.mark.parametrize(
  ('template', 'opens'),
  [
    (tiny_tokenizers.OPENED, True),
    (tiny_tokenizers.CHATML, False),
    (tiny_tokenizers.THINKING, False),
    (None, False),
    # A closed thought, as where thinking is off.
    (tiny_tokenizers.OPENED.replace('<think>', '<think></think>'), False),
    (tiny_tokenizers.OPENED.replace('<think>', '<Thinking>'), True),
    # A system prompt that speaks of the tag opens nothing.
    ("{{ 'Begin with <think>.' }}" + tiny_tokenizers.CHATML, False),
    # What a template refuses is told when it is used.
    ("{{ raise_exception('no') }}", False),
  ],
)
def test_templates_that_open_a_thought(tmp_path, template, opens):
  folder = tiny_tokenizers.write_qwen(tmp_path, template)
  tokenizer = pretrained_tokenizer.load(folder)
  assert tokenizer.opens_thoughts is opens
  if opens:
    tokens = tokenizer.encode_prompt('hi')
    assert (
      tokenizer.decode(tokens).lower().rstrip().endswith(('think>', 'ing>'))
    )


def test_options_reach_the_template(tmp_path):
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write_qwen(tmp_path, tiny_tokenizers.THINKING)
  )
  chat = [user('hi')]
  quiet = tokenizer.decode(tokenizer.encode_chat(chat, enable_thinking=False))
  assert quiet.endswith('assistant\n<think>\n\n</think>\n\n')
  whole = tokenizer.decode(
    tokenizer.encode_chat(chat, add_generation_prompt=False)
  )
  assert whole == '<|im_start|>user\nhi<|im_end|>\n'


def test_tokens_that_end_an_answer(tmp_path):
  def stops(folder, **options):
    return [
      tokenizer.decode([token])
      for tokenizer in [pretrained_tokenizer.load(folder, **options)]
      for token in tokenizer.stop_ids
    ]

  llama3 = tiny_tokenizers.write_llama3(tmp_path / 'llama3')
  assert stops(llama3) == ['<|eot_id|>', '<|eom_id|>']
  qwen = tiny_tokenizers.write_qwen(tmp_path / 'qwen')
  assert stops(qwen) == ['<|im_end|>']
  # What the template writes behind an answer ends one too.
  assert stops(qwen, stop='<|endoftext|>') == ['<|endoftext|>', '<|im_end|>']
  one = tiny_tokenizers.write_qwen(
    tmp_path / 'one',
    stops=tiny_tokenizers.qwen().token_to_id('<|endoftext|>'),
  )
  assert stops(one) == ['<|im_end|>', '<|endoftext|>']
  with pytest.raises(ValueError, match=r"qwen: .* has no token '<\|end\|>'"):
    stops(qwen, stop='<|end|>')
  llama2 = tiny_tokenizers.write_llama2(tmp_path / 'llama2')
  with pytest.raises(ValueError, match="has no token '<nothing>'"):
    stops(llama2, stop='<nothing>')


def test_what_the_template_writes_behind_an_answer_ends_one(tmp_path):
  # Base models name another token as their end of text.
  backend = tiny_tokenizers.qwen()
  folder = tiny_tokenizers.write(
    tmp_path / 'base',
    backend,
    template=tiny_tokenizers.CHATML,
    eos_token='<|endoftext|>',
  )
  end = backend.token_to_id('<|im_end|>')
  tokenizer = pretrained_tokenizer.load(folder)
  assert tokenizer.stop_ids == (backend.token_to_id('<|endoftext|>'), end)
  assert tokenizer.turn_end_id == end
  chat = conversation.Conversation(tokenizer, [user('hello')])
  chat.add_drawn([*tokenizer.encode('hi'), end])
  chat.add_messages([user('and?')])
  assert chat.messages[1]['content'] == 'hi'
  assert tokenizer.decode(chat.tokens) == (
    '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nhi<|im_end|>\n'
    '<|im_start|>user\nand?<|im_end|>\n<|im_start|>assistant\n'
  )
  # It stands once, and is of those that the policy sampled.
  assert chat.drawn[len(chat.drawn) - chat.drawn[::-1].index(True) - 1]
  assert sum(chat.drawn) == len(tokenizer.encode('hi')) + 1


def test_a_template_that_ends_answers_with_the_next_message(tmp_path):
  template = (
    "{% for m in messages %}{{ '<|im_start|>' if m.role == 'user' else '' }}"
    '{{ m.content }}{% endfor %}'
  )
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write_qwen(tmp_path, template)
  )
  start = tiny_tokenizers.qwen().token_to_id('<|im_start|>')
  assert tokenizer.stop_ids == (tokenizer.eos_id, start)


def test_stop_tokens_of_config_json(tmp_path):
  folder = tiny_tokenizers.write_qwen(tmp_path)
  stop = tiny_tokenizers.qwen().token_to_id('<|endoftext|>')
  (folder / 'config.json').write_text(json.dumps({'eos_token_id': stop}))
  assert stop in pretrained_tokenizer.load(folder).stop_ids
  # generation_config.json knows better where there is one.
  (folder / 'generation_config.json').write_text('{"eos_token_id": null}')
  assert stop not in pretrained_tokenizer.load(folder).stop_ids


def test_a_tokenizer_that_names_no_stop_token(tmp_path):
  folder = tiny_tokenizers.write(tmp_path / 'x', tiny_tokenizers.qwen())
  with pytest.raises(ValueError, match=r'no eos_token: give the tok') as info:
    pretrained_tokenizer.load(folder)
  assert str(info.value).startswith(str(folder))
  tokenizer = pretrained_tokenizer.load(folder, stop='<|im_end|>')
  assert tokenizer.decode([tokenizer.eos_id]) == '<|im_end|>'


def test_without_a_template_a_prompt_is_plain_text(tmp_path):
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write_llama3(tmp_path, template=None)
  )
  assert not tokenizer.has_template
  prompt = tokenizer.encode_prompt('ab <|eot_id|>')
  assert prompt[0] == tokenizer.bos_id
  assert prompt[1:] == tokenizer.encode('ab <|eot_id|>')
  assert not {*prompt} & {*tokenizer.stop_ids}
  with pytest.raises(
    ValueError, match='has no chat template; .* use encode_prompt, or'
  ):
    tokenizer.encode_chat([user('hi')])


def test_a_template_that_refuses(loaded, tmp_path):
  with pytest.raises(
    ValueError, match='template refuses these messages: roles must alternate'
  ):
    loaded['llama2'].encode_chat([user('a'), user('b')])
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write_qwen(tmp_path, '{% for x in %}')
  )
  with pytest.raises(ValueError, match='template refuses these messages: '):
    tokenizer.encode_chat([user('a')])


def test_long_texts_are_not_cut(tmp_path):
  # Some files of the hub ask for that; a policy must see all.
  backend = tiny_tokenizers.qwen()
  backend.enable_truncation(4)
  backend.enable_padding(length=16)
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write(
      tmp_path,
      backend,
      template=tiny_tokenizers.CHATML,
      eos_token='<|im_end|>',
    )
  )
  text = 'so it goes on ' * 9
  assert tokenizer.decode(tokenizer.encode(text)) == text
  assert text in tokenizer.decode(tokenizer.encode_prompt(text))
  assert tokenizer.decode(tokenizer.encode('a')) == 'a'
  assert tokenizer.decode(tokenizer.encode_marked('a')) == 'a'


@pytest.mark.parametrize('name', WRITERS)
def test_saved_and_read_again(loaded, tmp_path, name):
  loaded[name].save(tmp_path / 'new')
  again = pretrained_tokenizer.load(tmp_path / 'new')
  chat = [user('a </s> b'), assistant('<think>c'), user('d\n')]
  assert again.encode_chat(chat) == loaded[name].encode_chat(chat)
  assert again.encode(' x\n') == loaded[name].encode(' x\n')
  assert again.stop_ids == loaded[name].stop_ids
  assert again.vocab_size == loaded[name].vocab_size
  assert again.bos_id == loaded[name].bos_id


def test_older_folders(tmp_path):
  # GPT-2's form: transformers turns it into one of `tokenizers`.
  backend = tiny_tokenizers.qwen()
  fields = json.loads(backend.to_str())['model']
  (tmp_path / 'vocab.json').write_text(
    json.dumps({**fields['vocab'], '<|endoftext|>': len(fields['vocab'])}),
    encoding='utf-8',
  )
  merges = '\n'.join(' '.join(pair) for pair in fields['merges'])
  (tmp_path / 'merges.txt').write_text(
    f'#version: 0.2\n{merges}\n', encoding='utf-8'
  )
  (tmp_path / 'tokenizer_config.json').write_text(
    json.dumps({'tokenizer_class': 'GPT2Tokenizer'}), encoding='utf-8'
  )
  tokenizer = pretrained_tokenizer.load(tmp_path)
  text = 'take the mug'
  assert tokenizer.encode(text) == backend.encode(text).ids
  assert tokenizer.decode([tokenizer.eos_id]) == '<|endoftext|>'


@pytest.mark.parametrize('named', ['tokenizer_config.json', 'config.json'])
@pytest.mark.parametrize('with_tokenizer', [False, True])
def test_code_of_a_folder_never_runs(
  tmp_path, monkeypatch, named, with_tokenizer
):
  monkeypatch.setenv('HF_HOME', str(tmp_path / 'cache'))
  monkeypatch.setattr('builtins.input', lambda *_: pytest.fail('it asks'))
  # 'y' would be the answer.
  monkeypatch.setattr('sys.stdin', io.StringIO('y\n' * 10))
  folder = tmp_path / 'model'
  if with_tokenizer:
    tiny_tokenizers.write_qwen(folder)
  else:
    folder.mkdir()
    (folder / 'vocab.txt').write_text('a\n', encoding='utf-8')
  marker = tmp_path / 'it ran'
  (folder / 'evil.py').write_text(
    f'import pathlib\npathlib.Path({str(marker)!r}).write_text("ran")\n'
    'from transformers import PretrainedConfig, PreTrainedTokenizerFast\n'
    'class Evil(PreTrainedTokenizerFast): pass\n'
    'class EvilConfig(PretrainedConfig): pass\n'
  )
  path = folder / named
  fields = json.loads(path.read_text()) if path.exists() else {}
  fields['auto_map'] = {
    'AutoTokenizer': ['evil.Evil', 'evil.Evil'],
    'AutoConfig': 'evil.EvilConfig',
  }
  if not with_tokenizer:
    fields['tokenizer_class'] = 'Evil'
  path.write_text(json.dumps(fields), encoding='utf-8')
  if with_tokenizer:
    assert pretrained_tokenizer.load(folder).encode('ab')
  else:
    with pytest.raises(ValueError, match='which is never run: load it with'):
      pretrained_tokenizer.load(folder)
  assert not marker.exists()


def test_what_is_missing_or_damaged(tmp_path):
  missing = tmp_path / 'nowhere'
  with pytest.raises(
    FileNotFoundError, match='nowhere does not exist: give the folder'
  ):
    pretrained_tokenizer.load(missing)
  empty = tmp_path / 'empty'
  empty.mkdir()
  (empty / 'tokenizer_config.json').write_text('{}')
  with pytest.raises(
    FileNotFoundError,
    match=r'empty holds no tokenizer \(tokenizer\.json, .* copy the tok',
  ):
    pretrained_tokenizer.load(empty)
  (empty / 'tokenizer.json').write_text('{"version": ')
  with pytest.raises(ValueError, match='empty: transformers cannot read the'):
    pretrained_tokenizer.load(empty)
  with pytest.raises(ValueError, match=r'tokenizer\.json: give a folder with'):
    pretrained_tokenizer.load(empty / 'tokenizer.json')
  folder = tiny_tokenizers.write_qwen(tmp_path / 'qwen')
  for content, words in (
    ('{', 'is no JSON object'),
    ('[1]', 'is no JSON object'),
    ('{"eos_token_id": "x"}', r"eos_token_id is \['x'\], not numbers"),
  ):
    (folder / 'generation_config.json').write_text(content)
    with pytest.raises(ValueError, match=rf'_config\.json:? ?{words}'):
      pretrained_tokenizer.load(folder)


def test_unknown_tokens_of_vocabularies_without_bytes(tmp_path):
  # The mark inside a special token that is spelt out is itself unknown.
  backend = tokenizers.Tokenizer(
    models.BPE({'<unk>': 0, '<s>': 1, 's': 2, 'a': 3}, [], unk_token='<unk>')
  )
  backend.add_special_tokens(['<unk>', '<s>'])
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write(
      tmp_path,
      backend,
      template='<s>{{ messages[0].content }}<s>',
      eos_token='<s>',
      unk_token='<unk>',
    )
  )
  assert tokenizer.encode_chat([user('a<s>a')]) == [1, 3, 0, 2, 0, 3, 1]
