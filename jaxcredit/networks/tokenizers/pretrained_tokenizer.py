"""Tokenizers of pretrained models, with their chat templates.

Text from outside (a user, a tool, an environment) that spells a special token
out never becomes that token: only the template writes those.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tokenizers

from jaxcredit.networks import hub
from jaxcredit.networks.tokenizers import plain_text
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib

# Put inside what spells a special token; of the private use area.
_BREAK = '\ue0f1'
# Stands for an answer when the template is asked what ends one; of the same.
_ANSWER = '\ue0f2answer\ue0f2'
# As `environments.completion` reads it.
_THINK = re.compile(r'<(/?)think(?:ing)?\s{0,8}>', re.IGNORECASE)
_FILES = ('tokenizer.json', 'tokenizer.model', 'vocab.json', 'vocab.txt')
# Either may name code of the folder.
_CONFIGS = ('tokenizer_config.json', 'config.json')

Message = Mapping[str, Any]


class PretrainedTokenizer(tokenizer_lib.Tokenizer):
  """Text and chats to tokens and back.

  Args:
    fast: a tokenizer of `transformers` that stands on one of `tokenizers`.
    stop_ids: tokens that end an answer beside its end-of-text token and those
      that its chat template writes behind an answer.

  Attributes:
    stop_ids: all tokens that end an answer.
    turn_end_id: the one that the chat template writes behind an answer; the
      end-of-text token where it writes none.
    opens_thoughts: whether what the chat template writes in front of an answer
      ends inside a thought, as that of DeepSeek-R1 does: the completion then
      has the closing tag alone.
  """

  def __init__(self, fast, stop_ids: Sequence[int] = ()):
    if fast.eos_token_id is None:
      raise ValueError(
        'the tokenizer names no eos_token: give the token that ends an answer '
        "(stop='<|im_end|>', for example)"
      )
    # Some files ask for texts cut to a length, which would go unseen here.
    fast.backend_tokenizer.no_truncation()
    fast.backend_tokenizer.no_padding()
    # A copy: the base class has it read special tokens as text, but templates
    # are read by the original.
    copy = tokenizers.Tokenizer.from_str(fast.backend_tokenizer.to_str())
    super().__init__(copy, fast.eos_token)
    self._fast = fast
    self.bos_id: int | None = fast.bos_token_id
    self.stop_ids = tuple(dict.fromkeys((self.eos_id, *stop_ids)))
    added = copy.get_added_tokens_decoder()
    self._added_text = {number: t.content for number, t in added.items()}
    self._added = _any_of(token.content for token in added.values())
    self._special = _any_of(t.content for t in added.values() if t.special)
    self._plain = plain_text.PlainText(copy.to_str())
    ends = self._turn_ends()
    self.stop_ids = tuple(dict.fromkeys((*self.stop_ids, *ends)))
    self.turn_end_id = ends[0] if ends else self.eos_id
    self.opens_thoughts = self._opens_thoughts()
    # Tokens that the tokenizer puts in front of every text, such as <s>.
    self._opening = fast.backend_tokenizer.encode('').ids
    if self._opening and self._opening[-1] in self.stop_ids:
      self._opening = self._opening[:-1]

  @property
  def has_template(self) -> bool:
    """Whether there is a chat template."""
    return bool(self._fast.chat_template)

  def _turn_ends(self) -> list[int]:
    """Tokens that the template writes behind an answer, the last one or not.

    Base models name their end of text as the stop token, and bring a template
    whose turns end otherwise. Some templates end an answer with the opening of
    the next message.
    """
    ends: list[int] = []
    if not self.has_template:
      return ends
    chat = [
      {'role': 'user', 'content': 'question'},
      {'role': 'assistant', 'content': _ANSWER},
      {'role': 'user', 'content': 'question'},
    ]
    for messages in (chat[:2], chat):
      try:
        text, _ = self.render(messages, add_generation_prompt=False)
      except ValueError:
        # It is told when the template is used.
        continue
      _, found, behind = text.rpartition(_ANSWER)
      token = self._added.match(behind.lstrip())
      if found and token:
        ends.append(self._backend.token_to_id(token[0]))
    return ends

  def _opens_thoughts(self) -> bool:
    if not self.has_template:
      return False
    chat = [{'role': 'user', 'content': _ANSWER}]
    try:
      text, _ = self.render(chat)
    except ValueError:
      # It is told when the template is used.
      return False
    # A system prompt in front may speak of the tags.
    opening = text.rpartition(_ANSWER)[2]
    tags = _THINK.findall(opening)
    return bool(tags) and not tags[-1]

  def encode_prompt(self, text: str) -> list[int]:
    """Tokens of a user's message, or of a text where there is no template."""
    if self.has_template:
      return self.encode_chat([{'role': 'user', 'content': text}])
    return [*self._opening, *self.encode(text)]

  def encode_chat(
    self, messages: Sequence[Message], **options: Any
  ) -> list[int]:
    """Tokens of a chat that the policy is to answer.

    Args:
      messages: with 'role' and 'content'.
      **options: for the template, such as tools or enable_thinking;
        add_generation_prompt is True unless given.
    """
    text, mark = self.render(messages, **options)
    return self.encode_rendered(text, mark)

  def render(
    self, messages: Sequence[Message], **options: Any
  ) -> tuple[str, str]:
    """Text of a chat, for `encode_rendered`.

    Returns:
      The text, and what was put inside special tokens that are spelt out.

    Raises:
      ValueError: there is no template, or it refuses the messages.
    """
    if not self.has_template:
      raise ValueError(
        'the tokenizer has no chat template; those of base models often have '
        'none: use encode_prompt, or the tokenizer of the chat model'
      )
    mark = _BREAK
    while any(mark in text for text in texts_in(messages)):
      mark += _BREAK
    guarded = [self._guard_message(message, mark) for message in messages]
    try:
      text = self._fast.apply_chat_template(
        guarded,
        tokenize=False,
        **{'add_generation_prompt': True, **options},
      )
    # A template is a program of the model's author, with errors of its own.
    except Exception as error:
      raise ValueError(
        f'the chat template refuses these messages: {error}'
      ) from error
    return text, mark

  def encode_rendered(
    self, text: str, mark: str, *, behind: int | None = None
  ) -> list[int]:
    """Tokens of a text from `render`, in which special tokens are meant.

    Args:
      text: a part of what `render` returned.
      mark: what it put inside special tokens that are spelt out.
      behind: the token that stands in front of the text; None: none does. Some
        tokenizers put a space in front of a text that starts.
    """
    if not text:
      return []
    if behind in self._added_text:
      front = self._added_text[behind]
      tokens = self._encode_rendered(front + text, mark, False)
      if tokens[:1] == [behind]:
        return tokens[1:]
    return self._encode_rendered(text, mark, behind is not None)

  def _encode_rendered(self, text: str, mark: str, goes_on: bool) -> list[int]:
    encoding = self._fast.backend_tokenizer.encode(
      text, add_special_tokens=False
    )
    # Between two added tokens the tokenizer's own are taken, unless there is a
    # mark to be taken out, or the first part goes on from another text.
    tokens: list[int] = []
    first, place = 0, 0
    ends = [*zip(encoding.ids, encoding.offsets, strict=True), None]
    for number, end in enumerate(ends):
      if end is None:
        start = stop = len(text)
      else:
        token, (start, stop) = end
        # The unknown token is one of the added, too.
        if text[start:stop].strip() != self._added_text.get(token):
          continue
      between = text[place:start]
      if mark in between or (goes_on and place == 0):
        inside = 'middle' if goes_on else 'start'
        kind = 'behind special' if place else inside
        tokens += self._plain.encode(between.replace(mark, ''), kind)
      else:
        tokens += encoding.ids[first:number]
      if end is not None:
        tokens.append(end[0])
      first, place = number + 1, stop
    return tokens

  def encode_marked(self, text: str) -> list[int]:
    """Tokens of a text in which every special token spelt out is meant."""
    backend = self._fast.backend_tokenizer
    return backend.encode(text, add_special_tokens=False).ids

  def save(self, folder: str | os.PathLike) -> None:
    """Writes what transformers and `load` read."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    self._fast.save_pretrained(folder)
    path = folder / 'generation_config.json'
    if not path.exists():
      path.write_text(
        json.dumps({'eos_token_id': list(self.stop_ids)}) + '\n',
        encoding='utf-8',
      )

  def _guard_message(self, message: Message, mark: str) -> Message:
    # An assistant's own words may hold <think> and the like.
    pattern = (
      self._special if message.get('role') == 'assistant' else self._added
    )

    def guard(value):
      if isinstance(value, str):
        return pattern.sub(lambda m: m[0][0] + mark + m[0][1:], value)
      if isinstance(value, Mapping):
        return {key: guard(inner) for key, inner in value.items()}
      if isinstance(value, list | tuple):
        return [guard(inner) for inner in value]
      return value

    return {
      key: value if key == 'role' else guard(value)
      for key, value in message.items()
    }


def texts_in(value: Any) -> Iterator[str]:
  """All texts in messages, however deep (parts, tool calls)."""
  if isinstance(value, str):
    yield value
  elif isinstance(value, Mapping):
    for inner in value.values():
      yield from texts_in(inner)
  elif isinstance(value, list | tuple):
    for inner in value:
      yield from texts_in(inner)


def load(
  path_or_name: str | os.PathLike, *, stop: str | None = None
) -> PretrainedTokenizer:
  """Reads the tokenizer of a model.

  Args:
    path_or_name: a folder in the Hugging Face form, a .gguf file or a folder
      with one, or a name on the hub.
    stop: the token that ends an answer, where the tokenizer does not say.

  Raises:
    FileNotFoundError: files are missing.
    ValueError: the tokenizer is of an unknown kind, or has no stop token.
  """
  path = hub.locate(path_or_name, tokenizer_only=True)
  stops: tuple[int, ...] = ()
  if path.is_dir() and not any((path / name).exists() for name in _FILES):
    files = sorted(path.glob('*.gguf'))
    if len(files) != 1:
      raise FileNotFoundError(
        f'{path} holds no tokenizer ({", ".join(_FILES)}) and {len(files)} '
        ".gguf files: copy the tokenizer's files into it, or give the path of "
        'one file or of another folder'
      )
    path = files[0]
  transformers = _transformers()
  if path.suffix == '.gguf':
    # Imported here: folders must not need the gguf package.
    from jaxcredit.networks.tokenizers import gguf_tokenizer

    fast, stops = gguf_tokenizer.read(path)
  elif path.is_dir():
    fast, stops = _from_folder(path, transformers)
  else:
    raise ValueError(f'{path}: give a folder with a tokenizer, or a .gguf file')
  if stop is not None:
    if fast.convert_tokens_to_ids(stop) in (None, fast.unk_token_id):
      raise ValueError(f'{path}: the tokenizer has no token {stop!r}')
    fast.eos_token = stop
  try:
    return PretrainedTokenizer(fast, stops)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from None


def _from_folder(folder: pathlib.Path, transformers):
  # tokenizer.json says all; a class of transformers may know better, so it is
  # asked only for folders of older forms.
  if (folder / 'tokenizer.json').exists():
    family = transformers.PreTrainedTokenizerFast
  else:
    family = transformers.AutoTokenizer
  try:
    # A folder's own Python never runs, and nobody is asked whether it may.
    fast = family.from_pretrained(folder, trust_remote_code=False)
  # Many types, from as many libraries.
  except Exception as error:
    if any('"auto_map"' in text for text in _texts_of(folder, _CONFIGS)):
      raise ValueError(
        f"{folder}: the tokenizer is Python code of the folder's own "
        '(auto_map), which is never run: load it with transformers where you '
        'trust it, and save it as a tokenizer.json'
      ) from None
    raise ValueError(
      f'{folder}: transformers cannot read the tokenizer: {error}'
    ) from error
  if getattr(fast, 'backend_tokenizer', None) is None:
    raise ValueError(
      f'{folder}: the tokenizer has no tokenizer.json and cannot be turned '
      'into one; save it with transformers where its own library is installed'
    )
  return fast, _stops_of_files(folder)


def _texts_of(folder: pathlib.Path, names: Sequence[str]) -> list[str]:
  paths = [folder / name for name in names]
  return [path.read_text(errors='replace') for path in paths if path.exists()]


def _stops_of_files(folder: pathlib.Path) -> tuple[int, ...]:
  """Stop tokens of generation_config.json, or else of config.json."""
  paths = (folder / 'generation_config.json', folder / 'config.json')
  path = next((path for path in paths if path.exists()), None)
  if path is None:
    return ()
  try:
    stops = json.loads(path.read_text(encoding='utf-8')).get('eos_token_id')
  except (ValueError, AttributeError) as error:
    raise ValueError(f'{path} is no JSON object: {error}') from None
  stops = [] if stops is None else stops
  stops = stops if isinstance(stops, list) else [stops]
  if not all(type(token) is int and token >= 0 for token in stops):
    raise ValueError(f'{path}: eos_token_id is {stops}, not numbers of tokens')
  return tuple(stops)


def _transformers():
  # Seconds to import. That it finds no PyTorch is as it should be here, and its
  # advice about that would alarm.
  os.environ.setdefault('TRANSFORMERS_NO_ADVISORY_WARNINGS', '1')
  import transformers

  return transformers


def _any_of(texts) -> re.Pattern[str]:
  """Matches any of the texts; nothing where there are none."""
  # Runs of spaces are tokens of some vocabularies, and mean nothing else.
  words = sorted(
    (t for t in texts if len(t) > 1 and t.strip()), key=len, reverse=True
  )
  return re.compile('|'.join(map(re.escape, words)) or r'(?!)')
