"""Tokenizers inside GGUF files: the same tokens as the folders."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('gguf', reason='an extra')
pytest.importorskip('transformers', reason='an extra')
pytest.importorskip('tokenizers', reason='an extra')
import gguf

from jaxcredit.networks.tokenizers import conversation, pretrained_tokenizer
from tests.networks import sentencepiece_reference, tiny_tokenizers
from tests.networks.tokenizers import test_sentencepiece_bpe

NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6


def write(path, entries, architecture='llama'):
  """Writes a file with a tokenizer alone; entries that are None are left out.

  Args:
    path: of the file.
    entries: key (behind 'tokenizer.ggml.', or whole) -> value.
    architecture: of the model.
  """
  writer = gguf.GGUFWriter(path, architecture)
  for key, value in entries.items():
    key = key if '.' in key else f'tokenizer.ggml.{key}'
    if isinstance(value, bool):
      writer.add_bool(key, value)
    elif isinstance(value, str):
      writer.add_string(key, value)
    elif isinstance(value, int):
      writer.add_uint32(key, value)
    elif value is not None:
      writer.add_array(key, value)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


def gpt2(backend, pre, **entries):
  """Entries of a byte-level tokenizer, as llama.cpp's converter writes them."""
  fields = json.loads(backend.to_str())
  added = {t['content']: t['special'] for t in fields['added_tokens']}
  tokens = [
    backend.id_to_token(number) for number in range(backend.get_vocab_size())
  ]
  return {
    'model': 'gpt2',
    'pre': pre,
    'tokens': tokens,
    'token_type': [
      (CONTROL if added[token] else USER) if token in added else NORMAL
      for token in tokens
    ],
    'merges': [' '.join(pair) for pair in fields['model']['merges']],
    **entries,
  }


def qwen(**entries):
  backend = tiny_tokenizers.qwen()
  return gpt2(
    backend,
    'qwen2',
    **{
      'eos_token_id': backend.token_to_id('<|im_end|>'),
      'bos_token_id': backend.token_to_id('<|endoftext|>'),
      'add_bos_token': False,
      'tokenizer.chat_template': tiny_tokenizers.CHATML,
    }
    | entries,
  )


def llama3(**entries):
  backend = tiny_tokenizers.llama3()
  return gpt2(
    backend,
    'llama-bpe',
    **{
      'bos_token_id': backend.token_to_id('<|begin_of_text|>'),
      'eos_token_id': backend.token_to_id('<|eot_id|>'),
      'eom_token_id': backend.token_to_id('<|eom_id|>'),
      'tokenizer.chat_template': tiny_tokenizers.LLAMA3,
    }
    | entries,
  )


def llama(**entries):
  pieces, scores = test_sentencepiece_bpe.vocabulary(
    [*test_sentencepiece_bpe.WORDS, '[INST]', '▁[', '<s', 's>', '</', '/s>']
  )
  first = test_sentencepiece_bpe.FIRST
  return {
    'model': 'llama',
    'tokens': pieces,
    'scores': scores,
    'token_type': [UNKNOWN, CONTROL, CONTROL]
    + [BYTE] * 256
    + [NORMAL] * (len(pieces) - first),
    'bos_token_id': 1,
    'eos_token_id': 2,
    'unknown_token_id': 0,
    'tokenizer.chat_template': tiny_tokenizers.LLAMA2,
    **entries,
  }


def load(path, entries, **options):
  return pretrained_tokenizer.load(write(path, entries), **options)


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
  """The same tokenizer from a file and from a folder."""
  folder = tmp_path_factory.mktemp('tokenizers')
  return {
    'qwen': (
      load(folder / 'qwen.gguf', qwen()),
      pretrained_tokenizer.load(tiny_tokenizers.write_qwen(folder / 'qwen')),
    ),
    'llama3': (
      load(folder / 'llama3.gguf', llama3()),
      pretrained_tokenizer.load(
        tiny_tokenizers.write_llama3(folder / 'llama3')
      ),
    ),
  }


@pytest.mark.parametrize('name', ['qwen', 'llama3'])
def test_it_equals_the_folder(pairs, name):
  file, folder = pairs[name]
  assert file.stop_ids == folder.stop_ids
  assert file.vocab_size == folder.vocab_size
  chat = [
    {'role': 'user', 'content': 'take the mug <|im_end|>'},
    {'role': 'assistant', 'content': '<think>so</think> ab'},
    {'role': 'user', 'content': 'from the desk'},
  ]
  assert file.encode_chat(chat) == folder.encode_chat(chat)
  assert file.encode('take the mug') == folder.encode('take the mug')
  assert file._opening == folder._opening
  assert file._opening == ([file.bos_id] if name == 'llama3' else [])


@pytest.mark.parametrize('name', ['qwen', 'llama3'])
@given(text=st.text("ab 19\n\r\t'sé😀½.<>|") | st.text())
def test_texts_come_back(pairs, name, text):
  tokenizer, _ = pairs[name]
  tokens = tokenizer.encode(text)
  if name == 'qwen':
    text = tokenizer._backend.normalizer.normalize_str(text)
  assert tokenizer.decode(tokens) == text


def test_qwen_composes_letters_and_their_accents(pairs):
  tokenizer, _ = pairs['qwen']
  assert tokenizer.encode('e\u0301') == tokenizer.encode('\xe9')
  llama, _ = pairs['llama3']
  assert llama.encode('e\u0301') != llama.encode('\xe9')


@pytest.mark.parametrize(
  ('pre', 'text', 'pieces'),
  [
    # Digits: one by one, or up to three.
    ('qwen2', 'ab 1234', ['ab', ' ', '1', '2', '3', '4']),
    ('smollm', 'ab 1234', ['ab', ' ', '1', '2', '3', '4']),
    ('llama-bpe', 'ab 1234', ['ab', ' ', '123', '4']),
    ('gpt-2', 'ab 1234', ['ab', ' 1234']),
    # Line ends: with the signs before them, or with other spaces.
    ('qwen2', 'a.\n\nb', ['a', '.\n\n', 'b']),
    ('gpt-2', 'a.\n\nb', ['a', '.', '\n', '\n', 'b']),
    ('llama3', "IT'S it's", ['IT', "'S", ' it', "'s"]),
    ('gpt-2', "IT'S it's", ['IT', "'", 'S', ' it', "'s"]),
    ('llama3', 'a   b', ['a', '  ', ' b']),
  ],
)
def test_how_texts_are_split(tmp_path, pre, text, pieces):
  # Every piece merges into one token, and only pieces do.
  joined = ''.join(pieces)
  assert joined == text
  alphabet = sorted({c for piece in pieces for c in _as_bytes(piece)} | {'z'})
  tokens, merges = list(alphabet), []
  # Neighbours would merge, too, were they not split.
  rests = [''.join(pieces[number:]) for number in range(len(pieces))]
  for piece in [*pieces, *rests]:
    piece = _as_bytes(piece)
    for end in range(2, len(piece) + 1):
      merge = f'{piece[: end - 1]} {piece[end - 1]}'
      if merge not in merges:
        merges.append(merge)
        tokens.append(piece[:end])
  tokenizer = load(
    tmp_path / 'x.gguf',
    {
      'model': 'gpt2',
      'pre': pre,
      'tokens': [*dict.fromkeys(tokens), '<|end|>'],
      'merges': merges,
      'eos_token_id': len(dict.fromkeys(tokens)),
    },
  )
  found = [tokenizer.decode([token]) for token in tokenizer.encode(text)]
  assert found == pieces


def test_llama_3_takes_whole_pieces_whatever_the_merges(tmp_path):
  for pre, whole in (('llama-bpe', True), ('llama3', True), ('gpt-2', False)):
    tokenizer = load(
      tmp_path / 'x.gguf',
      {
        'model': 'gpt2',
        'pre': pre,
        'tokens': ['a', 'b', 'c', 'bc', 'abc', '<|end|>'],
        'merges': ['b c'],
        'eos_token_id': 5,
      },
    )
    assert tokenizer.encode('abc') == ([4] if whole else [0, 3])


def _as_bytes(text):
  """Letters that stand for bytes in such vocabularies."""
  return ''.join({' ': 'Ġ', '\n': 'Ċ'}.get(c, c) for c in text)


@given(text=st.text('theab \né😀<s>/[INST]') | st.text(), space=st.booleans())
def test_the_kind_of_llama_2(tmp_path_factory, text, space):
  entries = llama()
  if not space:
    entries['add_space_prefix'] = False
  path = tmp_path_factory.getbasetemp() / f'llama_{space}.gguf'
  tokenizer = load(path, entries)
  tokens = tokenizer.encode(text)
  assert tokens == sentencepiece_reference.encode(
    entries['tokens'],
    entries['scores'],
    text,
    first_text_id=test_sentencepiece_bpe.FIRST,
    leading_space=space,
  )
  assert tokenizer.decode(tokens) == text.replace('▁', ' ')


def test_special_tokens_of_the_kind_of_llama_2(tmp_path):
  tokenizer = load(tmp_path / 'x.gguf', llama())
  assert tokenizer.stop_ids == (2,) and tokenizer.bos_id == 1
  assert tokenizer._opening == [1]
  chat = conversation.Conversation(
    tokenizer, [{'role': 'user', 'content': 'the </s>'}]
  )
  assert [t for t in chat.tokens if t < 3] == [1]
  chat.add_drawn([*tokenizer.encode('ab'), 2])
  chat.add_messages([{'role': 'user', 'content': '<s> the'}])
  assert [t for t in chat.pending_tokens() if t < 3] == [1]
  plain = load(
    tmp_path / 'x.gguf',
    llama(add_bos_token=False) | {'tokenizer.chat_template': None},
  )
  assert plain.encode_prompt('the') == plain.encode('the')
  started = load(
    tmp_path / 'x.gguf', llama() | {'tokenizer.chat_template': None}
  )
  assert not started.has_template
  assert started.encode_prompt('the') == [1, *started.encode('the')]


def test_special_tokens_whose_kinds_are_not_given(tmp_path):
  tokenizer = load(tmp_path / 'x.gguf', llama(token_type=None))
  assert min(tokenizer.encode('<s> </s>')) >= test_sentencepiece_bpe.FIRST


def test_tokens_that_start_a_text(tmp_path):
  def opening(entries):
    return load(tmp_path / 'x.gguf', entries)._opening

  bos = llama3()['bos_token_id']
  assert opening(llama3()) == [bos]
  assert opening(llama3(add_bos_token=False)) == []
  assert opening(llama3(bos_token_id=None)) == []
  assert opening(qwen(add_bos_token=None)) == []
  assert opening(qwen(add_bos_token=True)) == [qwen()['bos_token_id']]
  for entries in (qwen(add_bos_token=True), llama()):
    with pytest.raises(ValueError, match='bos_token_id is missing, but a tex'):
      opening(entries | {'bos_token_id': None})


def test_empty_tokens_are_no_duplicates(tmp_path):
  # Converters fill a vocabulary up with them at times.
  entries = qwen()
  entries['tokens'] += ['', '']
  entries['token_type'] += [5, 5]
  tokenizer = load(tmp_path / 'x.gguf', entries)
  assert tokenizer.vocab_size == len(entries['tokens'])


def test_a_stop_token_may_be_given(tmp_path):
  entries = qwen(eos_token_id=None)
  with pytest.raises(ValueError, match=r'x\.gguf: .* names no eos_token: give'):
    load(tmp_path / 'x.gguf', entries)
  tokenizer = load(tmp_path / 'x.gguf', entries, stop='<|im_end|>')
  assert tokenizer.decode([tokenizer.eos_id]) == '<|im_end|>'


def test_a_folder_with_one_file(tmp_path):
  write(tmp_path / 'one.gguf', qwen())
  assert pretrained_tokenizer.load(tmp_path).has_template
  write(tmp_path / 'two.gguf', qwen())
  with pytest.raises(
    FileNotFoundError, match=r'and 2 \.gguf files: .* path of'
  ):
    pretrained_tokenizer.load(tmp_path)
  # A tokenizer of its own goes before those in files.
  tiny_tokenizers.write_llama3(tmp_path)
  assert len(pretrained_tokenizer.load(tmp_path).stop_ids) == 2


QWEN, LLAMA = qwen(), llama()
SIZE = len(QWEN['tokens'])


@pytest.mark.parametrize(
  ('entries', 'message'),
  [
    (QWEN | {'model': None}, r'no tokenizer \(tokenizer\.ggml\.model is mis'),
    (QWEN | {'tokens': None}, r'no tokenizer \(tokenizer\.ggml\.tokens is'),
    (QWEN | {'merges': None}, r'no tokenizer \(tokenizer\.ggml\.merges is'),
    (LLAMA | {'scores': None}, r'no tokenizer \(tokenizer\.ggml\.scores is'),
    (QWEN | {'model': 't5'}, "model is 't5'; gpt2 and llama are read"),
    (QWEN | {'pre': 'odd'}, "pre is 'odd'; .* Give the Hugging Face folder"),
    (QWEN | {'pre': None}, 'pre is None; '),
    (QWEN | {'tokens': 'ab'}, 'tokens is no list of texts'),
    (QWEN | {'tokens': [1, 2]}, 'tokens is no list of texts'),
    (QWEN | {'merges': [1, 2]}, 'merges is no list of texts'),
    (QWEN | {'token_type': [1, 1]}, rf'type has 2 entries, but .* {SIZE} tok'),
    (QWEN | {'token_type': ['a']}, 'token_type is no list of numbers'),
    (LLAMA | {'scores': [0.5]}, 'scores has 1 entries, but there are'),
    (QWEN | {'eos_token_id': SIZE}, rf'eos_token_id is {SIZE}, but there are'),
    (QWEN | {'bos_token_id': 'a'}, "bos_token_id is 'a', but there are"),
    (QWEN | {'eot_token_id': 10**6}, 'eot_token_id is 1000000, but there'),
    (LLAMA | {'unknown_token_id': 10**6}, 'unknown_token_id is 1000000, but'),
    (QWEN | {'merges': ['ab']}, r"merges: 'ab' \(number 0\) is not two tokens"),
    (QWEN | {'merges': ['a b', 'a zzz']}, r"merges: 'a zzz' \(number 1\) is n"),
    (
      QWEN | {'tokens': ['a', *QWEN['tokens'][1:]]},
      "tokens: 0 and [0-9]+ are both 'a'",
    ),
    (
      LLAMA | {'scores': [float('nan'), *LLAMA['scores'][1:]]},
      r"score of piece 0 \('<unk>'\) is no number",
    ),
    (QWEN | {'tokenizer.chat_template': 7}, 'chat_template is no text'),
  ],
)
def test_metadata_that_is_refused(tmp_path, entries, message):
  path = tmp_path / 'model.gguf'
  with pytest.raises(ValueError, match=message) as raised:
    load(path, entries)
  assert str(raised.value).startswith(f'{path}: ')


def test_truncated_files(tmp_path):
  path = write(tmp_path / 'model.gguf', qwen())
  whole = path.read_bytes()
  for kept in (3, 20, 100, len(whole) // 2, len(whole) * 3 // 4):
    path.write_bytes(whole[:kept])
    with pytest.raises(ValueError, match='truncated: it ends in its header'):
      pretrained_tokenizer.load(path)
  path.write_bytes(b'PK' + whole[2:])
  with pytest.raises(ValueError, match='is no GGUF file'):
    pretrained_tokenizer.load(path)
