"""Tiny tokenizers of every kind, in folders as the hub has them."""

import json
import pathlib

import tokenizers
from tokenizers import (
  decoders,
  models,
  normalizers,
  pre_tokenizers,
  processors,
  trainers,
)

CHATML = (
  '{% for message in messages %}'
  "{{ '<|im_start|>' + message.role + '\\n' + message.content"
  " + '<|im_end|>\\n' }}"
  '{% endfor %}'
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# As Qwen3: what was thought before the last question goes, and a prompt that
# forbids thinking opens with an empty thought.
THINKING = (
  '{% set last = namespace(user=-1) %}'
  '{% for message in messages %}'
  "{% if message.role == 'user' %}{% set last.user = loop.index0 %}{% endif %}"
  '{% endfor %}'
  '{% for message in messages %}'
  '{% set content = message.content %}'
  "{% if message.role == 'assistant' and loop.index0 < last.user %}"
  "{% set content = content.split('</think>')[-1].lstrip('\\n') %}"
  '{% endif %}'
  "{{ '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}"
  '{% endfor %}'
  '{% if add_generation_prompt %}'
  "{{ '<|im_start|>assistant\\n' }}"
  '{% if enable_thinking is defined and not enable_thinking %}'
  "{{ '<think>\\n\\n</think>\\n\\n' }}"
  '{% endif %}{% endif %}'
)
# As DeepSeek-R1: the template opens the thought.
OPENED = CHATML.replace("assistant\\n' }}", "assistant\\n<think>\\n' }}")
LLAMA3 = (
  '{% for message in messages %}'
  '{% if loop.first %}{{ bos_token }}{% endif %}'
  "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n'"
  " + message.content | trim + '<|eot_id|>' }}"
  '{% endfor %}'
  '{% if add_generation_prompt %}'
  "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
  '{% endif %}'
)
LLAMA2 = (
  '{% for message in messages %}'
  "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
  "{{ raise_exception('roles must alternate') }}{% endif %}"
  "{% if message.role == 'user' %}"
  "{{ bos_token + '[INST] ' + message.content + ' [/INST]' }}"
  '{% else %}'
  "{{ ' ' + message.content + ' ' + eos_token }}"
  '{% endif %}{% endfor %}'
)
# No special tokens between the turns.
PLAIN = (
  '{% for message in messages %}'
  "{{ message.role + ': ' + message.content + '\\n' }}"
  '{% endfor %}'
  "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)

_TEXTS = [
  'You arrive at loc 3. On the desk, you see a mug.',
  'take the mug from the desk; user assistant system [INST] [/INST]',
  'a b ab abc aab hi and so, </think> <|im_end|> <s> </s>',
] * 3
_QWEN = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
_LLAMA3 = [
  '<|begin_of_text|>',
  '<|start_header_id|>',
  '<|end_header_id|>',
  '<|eot_id|>',
  '<|eom_id|>',
]


def byte_level(special, others=()) -> tokenizers.Tokenizer:
  """Bytes that merge, as in GPT-2, with added tokens."""
  backend = tokenizers.Tokenizer(models.BPE())
  backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  backend.decoder = decoders.ByteLevel()
  backend.train_from_iterator(
    _TEXTS,
    trainers.BpeTrainer(
      vocab_size=340,
      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False,
    ),
  )
  backend.add_special_tokens(list(special))
  backend.add_tokens(list(others))
  return backend


def qwen() -> tokenizers.Tokenizer:
  """With the added tokens of Qwen3."""
  return byte_level(_QWEN, ['<think>', '</think>'])


def llama3() -> tokenizers.Tokenizer:
  """Which puts a token in front of every text."""
  backend = byte_level(_LLAMA3)
  bos = _LLAMA3[0]
  backend.post_processor = processors.TemplateProcessing(
    single=[bos, '$A'], special_tokens=[(bos, backend.token_to_id(bos))]
  )
  return backend


def llama2(space: str = 'first') -> tokenizers.Tokenizer:
  """Pieces with '▁' and bytes to fall back on.

  Args:
    space: where a space is put in front: 'first' or 'always' (Metaspace), or
      'prepend' (a normalizer, as older files have it).
  """
  special = ['<unk>', '<s>', '</s>']
  backend = tokenizers.Tokenizer(
    models.BPE(byte_fallback=True, unk_token='<unk>', fuse_unk=True)
  )
  if space == 'prepend':
    backend.normalizer = normalizers.Sequence(
      [normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')]
    )
  else:
    backend.pre_tokenizer = pre_tokenizers.Metaspace(
      '▁', prepend_scheme=space, split=False
    )
  backend.decoder = decoders.Sequence(
    [
      decoders.Replace('▁', ' '),
      decoders.ByteFallback(),
      decoders.Fuse(),
      decoders.Strip(' ', 1, 0),
    ]
  )
  backend.train_from_iterator(
    _TEXTS,
    trainers.BpeTrainer(
      vocab_size=360,
      special_tokens=special + [f'<0x{byte:02X}>' for byte in range(256)],
      max_token_length=6,
      show_progress=False,
    ),
  )
  # Bytes are no special tokens.
  fields = json.loads(backend.to_str())
  fields['added_tokens'] = fields['added_tokens'][:3]
  backend = tokenizers.Tokenizer.from_str(json.dumps(fields))
  backend.post_processor = processors.TemplateProcessing(
    single='<s> $A', special_tokens=[('<s>', 1)]
  )
  return backend


def write(
  folder: pathlib.Path,
  backend: tokenizers.Tokenizer,
  *,
  template: str | None = None,
  template_file: bool = False,
  stops=None,
  **config,
) -> pathlib.Path:
  """Writes a tokenizer.

  Args:
    folder: is made if need be.
    backend: any.
    template: for chats.
    template_file: whether it has a file of its own (chat_template.jinja).
    stops: eos_token_id of generation_config.json.
    **config: of tokenizer_config.json, such as eos_token.
  """
  folder.mkdir(parents=True, exist_ok=True)
  backend.save(str(folder / 'tokenizer.json'))
  if template is not None and template_file:
    (folder / 'chat_template.jinja').write_text(template, encoding='utf-8')
  elif template is not None:
    config['chat_template'] = template
  (folder / 'tokenizer_config.json').write_text(
    json.dumps(config), encoding='utf-8'
  )
  if stops is not None:
    (folder / 'generation_config.json').write_text(
      json.dumps({'eos_token_id': stops}), encoding='utf-8'
    )
  return folder


def write_qwen(folder, template=CHATML, **options) -> pathlib.Path:
  return write(
    folder,
    qwen(),
    **{'template': template, 'eos_token': '<|im_end|>'} | options,
  )


def write_llama3(folder, template=LLAMA3, **options) -> pathlib.Path:
  backend = llama3()
  return write(
    folder,
    backend,
    template=template,
    bos_token='<|begin_of_text|>',
    eos_token='<|eot_id|>',
    stops=[backend.token_to_id(t) for t in ('<|eot_id|>', '<|eom_id|>')],
    **options,
  )


def write_llama2(
  folder, template=LLAMA2, space='first', **options
) -> pathlib.Path:
  return write(
    folder,
    llama2(space),
    template=template,
    bos_token='<s>',
    eos_token='</s>',
    unk_token='<unk>',
    **options,
  )
