"""The learner sees the very tokens that the sampler drew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip('tokenizers', reason='an extra')
pytest.importorskip('transformers', reason='an extra')
import tokenizers

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import sampler
from jaxcredit.networks.tokenizers import conversation, pretrained_tokenizer
from tests.networks import tiny_tokenizers

WRITERS = {
  'chatml': tiny_tokenizers.write_qwen,
  'thinking': lambda f: tiny_tokenizers.write_qwen(f, tiny_tokenizers.THINKING),
  'llama3': tiny_tokenizers.write_llama3,
  'llama2': tiny_tokenizers.write_llama2,
  'llama2_prepend': lambda f: tiny_tokenizers.write_llama2(f, space='prepend'),
  # No special token stands between the turns.
  'plain': lambda f: tiny_tokenizers.write_qwen(f, tiny_tokenizers.PLAIN),
  'plain_llama2': lambda f: tiny_tokenizers.write_llama2(
    f, tiny_tokenizers.PLAIN, space='prepend'
  ),
}
OBSERVATIONS = st.text('ab <|im_end|></s>\né', max_size=12)


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tokenizers')
  return {
    name: pretrained_tokenizer.load(write(folder / name))
    for name, write in WRITERS.items()
  }


def user(text):
  return {'role': 'user', 'content': text}


def assistant(text):
  return {'role': 'assistant', 'content': text}


def with_template(folder, template):
  return pretrained_tokenizer.load(tiny_tokenizers.write_qwen(folder, template))


def ids(tokenizer, *pieces):
  return [tokenizer._backend.token_to_id(piece) for piece in pieces]


def test_tokens_drawn_survive_where_their_text_does_not(loaded):
  tokenizer = loaded['chatml']
  a, b, ab = ids(tokenizer, 'a', 'b', 'ab')
  stop = tokenizer.eos_id
  drawn = [a, b, stop]
  # The text of the answer is another token: trained on it, the policy learns
  # from what it never did.
  assert tokenizer.decode([a, b]) == tokenizer.decode([ab]) == 'ab'
  assert tokenizer.encode(tokenizer.decode([a, b])) == [ab]
  assert conversation.retokenisation_drift(tokenizer, drawn) == 0
  assert conversation.retokenisation_drift(tokenizer, [ab, stop]) is None

  chat = conversation.Conversation(tokenizer, [user('hi')])
  prompt = chat.pending_tokens()
  assert prompt == tokenizer.encode_chat([user('hi')])
  chat.add_drawn(drawn)
  assert chat.pending_tokens() == []
  chat.add_messages([user('and?')])
  assert chat.tokens[len(prompt) :][:3] == drawn
  # From text alone they would be lost, the tokens of the prompts the same.
  anew = tokenizer.encode_chat([user('hi'), assistant('ab'), user('and?')])
  assert anew == [*prompt, ab, stop, *chat.pending_tokens()]
  assert chat.messages == [user('hi'), assistant('ab'), user('and?')]


@pytest.mark.parametrize(
  ('drawn', 'place'),
  [
    (['a', 'ab'], None),
    (['ab', 'a', 'b'], 1),
    (['a', 'a', 'b'], 1),
    (['ab', 'Ġ', 'a'], 1),
    ([], None),
  ],
)
def test_where_text_and_tokens_part(loaded, drawn, place):
  tokenizer = loaded['chatml']
  tokens = ids(tokenizer, *drawn)
  # Of these, 'aab' is no token, ' a' is one.
  assert ids(tokenizer, 'aab', 'Ġa')[1] is not None
  assert conversation.retokenisation_drift(tokenizer, tokens) == place


@pytest.mark.parametrize('name', WRITERS)
@given(data=st.data())
def test_any_tokens_among_any_messages(loaded, name, data):
  tokenizer = loaded[name]
  # A model may have more outputs than its tokenizer has tokens.
  token = st.integers(0, tokenizer.vocab_size + 2)
  answers = data.draw(
    st.lists(st.lists(token, max_size=6), min_size=1, max_size=3)
  )
  stops = data.draw(
    st.lists(st.booleans(), min_size=len(answers), max_size=len(answers))
  )
  texts = data.draw(
    st.lists(OBSERVATIONS, min_size=len(answers), max_size=len(answers))
  )
  added = tokenizer._backend.get_added_tokens_decoder()
  chat = conversation.Conversation(tokenizer, [user('go')])
  harmless = conversation.Conversation(tokenizer, [user('go')])
  tokens, drawn = [], []
  for answer, stopped, text in zip(answers, stops, texts, strict=True):
    answer = answer + [tokenizer.eos_id] * stopped
    read = chat.pending_tokens()
    chat.add_drawn(answer)
    harmless.add_drawn(answer)
    assert chat.pending_tokens() == []
    tokens += [*read, *answer]
    drawn += [False] * len(read) + [True] * len(answer)
    assert chat.tokens == tokens and chat.drawn == drawn
    chat.add_messages([user(text)])
    harmless.add_messages([user('x')])
    assert chat.tokens[: len(tokens)] == tokens
    # What a message spells out is no special token, and nothing is lost.
    new = chat.pending_tokens()
    assert [t for t in new if t in added] == [
      t for t in harmless.pending_tokens() if t in added
    ]
    seen = tokenizer.decode(new)
    assert (text.strip() if name == 'llama3' else text) in seen
  assert chat.drawn[len(drawn) :] == [False] * len(chat.pending_tokens())


@pytest.mark.parametrize('name', WRITERS)
@given(
  first=OBSERVATIONS,
  answer=st.text('ab so\né', min_size=1),
  second=OBSERVATIONS,
  third=OBSERVATIONS,
)
@example(first='hi', answer='so', second='</s>', third='a')
def test_an_answer_drawn_as_its_text_reads_gives_the_template_s_tokens(
  loaded, name, first, answer, second, third
):
  tokenizer = loaded[name]
  if name == 'thinking':
    # Its template takes these off an earlier answer.
    answer = answer.lstrip('\n')
  messages = [user(first), assistant(answer), user(second)]
  messages += [assistant(answer), user(third)]
  chat = conversation.Conversation(tokenizer, messages[:1])
  for count in (2, 4):
    # The tokens of the answer in the chat as a whole, its end included.
    whole = tokenizer.encode_chat(messages[:count], add_generation_prompt=False)
    prompt = tokenizer.encode_chat(messages[: count - 1])
    if whole[: len(prompt)] != prompt:
      # Merged into the prompt's last token: no policy can draw it so.
      return
    drawn = whole[len(prompt) :]
    if tokenizer.eos_id in drawn:
      drawn = drawn[: drawn.index(tokenizer.eos_id) + 1]
    elif name.startswith('plain'):
      # The end of the line belongs to the template.
      newline = tokenizer.encode_marked('a\n')[-1]
      if drawn[-1] != newline:
        return
      drawn = drawn[:-1]
    chat.add_drawn(drawn)
    chat.add_messages([messages[count]])
    expected = tokenizer.encode_chat(messages[: count + 1])
    if name.startswith('plain'):
      # Tokens may merge over the edge of an answer; the text is the same.
      assert tokenizer.decode(chat.tokens) == tokenizer.decode(expected)
    else:
      assert chat.tokens == expected


def test_an_answer_that_was_cut_off_gets_the_template_s_end(loaded):
  for name, end in (
    ('chatml', '<|im_end|>\n<|im_start|>user\nb<|im_end|>\n'),
    ('llama3', '<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nb'),
    ('plain', '\nuser: b\nassistant: '),
    ('llama2', ' </s><s>[INST] b'),
    ('plain_llama2', '\nuser: b\nassistant: '),
  ):
    tokenizer = loaded[name]
    chat = conversation.Conversation(tokenizer, [user('a')])
    prompt = len(chat.tokens)
    drawn = tokenizer.encode('so')
    chat.add_drawn(drawn)
    chat.add_messages([user('b')])
    assert chat.drawn == (
      [False] * prompt
      + [True] * len(drawn)
      + [False] * (len(chat.tokens) - prompt - len(drawn))
    )
    text = tokenizer.decode(chat.tokens[prompt:])
    assert text.startswith('so' + end), name


def test_no_space_is_put_in_front_of_what_goes_on(loaded):
  # "▁" in front of a text is right at its start alone.
  tokenizer = loaded['plain_llama2']
  chat = conversation.Conversation(tokenizer, [user('a')])
  chat.add_drawn(tokenizer.encode('so'))
  chat.add_messages([user('b')])
  newline, space = ids(tokenizer, '<0x0A>', '▁')
  assert chat.pending_tokens()[0] == newline
  assert tokenizer.encode('\n') == [space, newline]


def test_other_stop_tokens_end_a_message_too(loaded):
  # Llama 3 ends a call of a tool with <|eom_id|>; the template's <|eot_id|>
  # must not follow.
  tokenizer = loaded['llama3']
  eom, eot = ids(tokenizer, '<|eom_id|>', '<|eot_id|>')
  following = []
  for stop in (eom, eot):
    chat = conversation.Conversation(tokenizer, [user('a')])
    chat.add_drawn([*tokenizer.encode('so'), stop])
    chat.add_messages([{'role': 'ipython', 'content': '4'}])
    following.append(chat.pending_tokens())
    assert chat.messages[1] == assistant('so')
  assert following[0] == following[1]
  assert tokenizer.decode(following[0]).startswith('<|start_header_id|>ipython')


def test_a_template_s_end_need_not_be_the_first_stop_token(tmp_path):
  # Base models of Qwen: the tokenizer ends texts, the template messages.
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write_qwen(
      tmp_path,
      eos_token='<|endoftext|>',
      stops=tiny_tokenizers.qwen().token_to_id('<|im_end|>'),
    )
  )
  (end,) = ids(tokenizer, '<|im_end|>')
  assert tokenizer.stop_ids == (tokenizer.eos_id, end)
  for stop in tokenizer.stop_ids:
    chat = conversation.Conversation(tokenizer, [user('a')])
    chat.add_drawn([*tokenizer.encode('so'), stop])
    chat.add_messages([user('b')])
    assert tokenizer.decode(chat.pending_tokens()).startswith(
      '\n<|im_start|>user\nb'
    )


def test_thoughts_of_the_start_stay(loaded):
  # The template takes them out once another question is asked.
  tokenizer = loaded['thinking']
  start = [user('a'), assistant('<think>b</think>c'), assistant('d')]
  chat = conversation.Conversation(tokenizer, start)
  read = chat.pending_tokens()
  assert '<think>b</think>' in tokenizer.decode(read)
  chat.add_drawn([tokenizer.eos_id])
  chat.add_messages([user('e')])
  assert chat.tokens[: len(read)] == read
  assert tokenizer.decode(chat.pending_tokens()) == (
    '\n<|im_start|>user\ne<|im_end|>\n<|im_start|>assistant\n'
  )


def test_thoughts_of_earlier_turns_stay(loaded):
  tokenizer = loaded['thinking']
  chat = conversation.Conversation(tokenizer, [user('a')])
  thought = tokenizer.encode_marked('<think>\nso\n</think>\n\nab<|im_end|>')
  chat.add_drawn(thought)
  chat.add_messages([user('b')])
  chat.add_drawn(tokenizer.encode_marked('<think>abc</think>a<|im_end|>'))
  chat.add_messages([user('c')])
  text = tokenizer.decode(chat.tokens)
  assert text == (
    '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n'
    '<think>\nso\n</think>\n\nab<|im_end|>\n'
    '<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n'
    '<think>abc</think>a<|im_end|>\n'
    '<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n'
  )
  # The template itself would show the policy what it never read.
  assert '<think>' not in tokenizer.decode(tokenizer.encode_chat(chat.messages))
  assert sum(chat.drawn) == len(thought) + 6


def test_options_hold_at_every_turn(loaded):
  chat = conversation.Conversation(
    loaded['thinking'], [user('a')], enable_thinking=False
  )
  opening = 'assistant\n<think>\n\n</think>\n\n'
  assert loaded['thinking'].decode(chat.pending_tokens()).endswith(opening)
  chat.add_drawn([loaded['thinking'].eos_id])
  chat.add_messages([user('b')])
  assert loaded['thinking'].decode(chat.pending_tokens()).endswith(opening)


def test_several_messages_and_a_system_message(loaded):
  tokenizer = loaded['chatml']
  start = [
    {'role': 'system', 'content': 'so'},
    user('a'),
    assistant('<think>b</think>'),
    user('c'),
  ]
  chat = conversation.Conversation(tokenizer, start)
  chat.add_drawn([*tokenizer.encode('ab'), tokenizer.eos_id])
  more = [{'role': 'tool', 'content': '<|im_end|>'}, user('d')]
  chat.add_messages(more)
  assert chat.tokens == tokenizer.encode_chat([*start, assistant('ab'), *more])
  assert chat.messages == [*start, assistant('ab'), *more]


def test_messages_that_hold_what_stands_for_an_answer(loaded):
  tokenizer = loaded['chatml']
  odd = '\ue0f0answer\ue0f0<|im_end|>\ue0f0\ue0f0answer\ue0f0\ue0f1'
  chat = conversation.Conversation(tokenizer, [user(odd)])
  chat.add_drawn([*tokenizer.encode('ab'), tokenizer.eos_id])
  chat.add_messages([user(odd)])
  assert chat.tokens == tokenizer.encode_chat(
    [user(odd), assistant('ab'), user(odd)]
  )


UPPER = tiny_tokenizers.CHATML.replace(
  'message.content', "(message.content | replace('answer', 'reply'))"
)
# Tools, or a system message, in front of the last question: earlier ones lose
# theirs.
MOVING = tiny_tokenizers.CHATML.replace(
  "{{ '<|im_start|>'",
  "{{ ('tools: x\\n' if loop.last and message.role == 'user' else '')"
  " + '<|im_start|>'",
)


@pytest.mark.parametrize(
  ('template', 'words'),
  [
    (UPPER, "does not write an assistant's message as it is"),
    (MOVING, 'rewrites the messages before an answer when others come'),
  ],
)
def test_templates_that_rewrite_are_refused(tmp_path, template, words):
  tokenizer = with_template(tmp_path, template)
  chat = conversation.Conversation(tokenizer, [user('hi')])
  chat.add_drawn([tokenizer.eos_id])
  before = [*chat.tokens], [*chat.drawn], [*chat.messages]
  with pytest.raises(ValueError, match=f'{words}.* encode_chat'):
    chat.add_messages([user('b')])
  assert (chat.tokens, chat.drawn, chat.messages) == before


def test_templates_that_trim_are_read(tmp_path):
  template = tiny_tokenizers.CHATML.replace(
    'message.content', '(message.content | trim)'
  )
  tokenizer = with_template(tmp_path, template)
  chat = conversation.Conversation(tokenizer, [user('hi')])
  chat.add_drawn([*tokenizer.encode(' ab \n'), tokenizer.eos_id])
  chat.add_messages([user(' b ')])
  assert tokenizer.decode(chat.tokens) == (
    '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n ab \n<|im_end|>\n'
    '<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n'
  )


def test_stop_tokens_that_take_the_spaces_behind_them(tmp_path):
  # As those of Phi-3: what the template writes there is no token at all.
  backend = tiny_tokenizers.byte_level([])
  backend.add_special_tokens(
    [
      tokenizers.AddedToken('<|im_start|>', special=True),
      tokenizers.AddedToken('<|im_end|>', special=True, rstrip=True),
    ]
  )
  tokenizer = pretrained_tokenizer.load(
    tiny_tokenizers.write(
      tmp_path,
      backend,
      template=tiny_tokenizers.CHATML,
      eos_token='<|im_end|>',
    )
  )
  messages = [user('a <|im_end|> b'), assistant('ab'), user(' <|im_end|>\n')]
  for stop in ([tokenizer.eos_id], []):
    chat = conversation.Conversation(tokenizer, messages[:1])
    chat.add_drawn(tokenizer.encode('ab') + stop)
    chat.add_messages(messages[2:])
    assert chat.tokens == tokenizer.encode_chat(messages)
    # Three messages, and what the next opens with.
    start, end = ids(tokenizer, '<|im_start|>', '<|im_end|>')
    assert [t for t in chat.tokens if t in (start, end)] == (
      [start, end] * 3 + [start]
    )


def test_turns_out_of_order(loaded):
  tokenizer = loaded['llama2']
  chat = conversation.Conversation(tokenizer, [user('a')])
  with pytest.raises(ValueError, match='not answered: add_drawn comes first'):
    chat.add_messages([user('b')])
  # A token that cannot be one leaves nothing behind.
  before = [*chat.tokens]
  with pytest.raises((OverflowError, ValueError)):
    chat.add_drawn([5, -1])
  assert chat.tokens == before and len(chat.drawn) == len(before)
  chat.add_drawn([])
  with pytest.raises(ValueError, match='added already: add_messages comes'):
    chat.add_drawn([5])
  with pytest.raises(ValueError, match='no message to add'):
    chat.add_messages([])
  with pytest.raises(ValueError, match='roles must alternate'):
    chat.add_messages([assistant('b')])
  assert chat.tokens == before and chat.messages == [user('a'), assistant('')]
  chat.add_messages([user('b')])


def test_the_learner_computes_the_sampler_s_log_probabilities(loaded):
  tokenizer = loaded['chatml']
  config = config_lib.DecoderConfig(
    vocab_size=344, width=16, layers=1, heads=2, kv_heads=1, head_dim=8,
    hidden=16, compute_dtype='float32', remat=False,
  )  # fmt: skip
  params = jax.jit(decoder.init, static_argnums=1)(jax.random.key(0), config)
  cache = sampler.init_cache(config, 1, 160)
  chat = conversation.Conversation(tokenizer, [user('hi')])
  sampled = []
  for turn in range(3):
    pending = chat.pending_tokens()
    drawn = sampler.sample_turn(
      sampler.decoding_params(params),
      config,
      cache,
      jax.random.split(jax.random.key(turn), 1),
      np.asarray([pending + [0] * (40 - len(pending))], np.int32),
      np.asarray([len(pending)], np.int32),
      max_new_tokens=8,
      stop_tokens=tokenizer.stop_ids,
    )
    cache, count = drawn.cache, int(drawn.count[0])
    chat.add_drawn(drawn.tokens[0, :count].tolist())
    sampled += drawn.log_probs[0, :count].tolist()
    chat.add_messages([user(f'{turn} <|im_end|>')])
  # Drawn at random: their text would not give them back.
  assert conversation.retokenisation_drift(tokenizer, chat.tokens) is not None
  learned, _ = jax.jit(decoder.log_probs, static_argnums=1)(
    params, config, jnp.asarray([chat.tokens]), jnp.asarray([len(chat.tokens)])
  )
  mask = np.asarray(chat.drawn)
  assert mask.sum() == len(sampled) == 24
  np.testing.assert_allclose(learned[0][mask], sampled, atol=1e-5)
