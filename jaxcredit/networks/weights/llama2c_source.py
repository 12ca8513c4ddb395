"""The .bin format of llama2.c (its first version), as small models come in it.

Seven int32 (width, hidden, layers, heads, key/value heads, vocabulary,
positions), then float32 tensors, each kind for all layers: embedding, attention
norms, query, key, value and output projections, norms of the gated unit, gate,
down, up, final norm, two rope tables that nothing reads, and an output
projection if the vocabulary is written as a negative number.
"""

import math
import os
import pathlib

import numpy as np

from jaxcredit.networks import config as config_lib
from jaxcredit.networks.weights import source as source_lib

_HEADER = 7 * 4


class Llama2cSource:
  """See `source.Source`.

  Args:
    path: of the .bin file.
  """

  config_name = 'header'

  def __init__(self, path: pathlib.Path):
    self.path = path
    size = os.path.getsize(path)
    header = np.fromfile(path, '<i4', 7)
    if len(header) < 7 or (np.delete(header, 5) < 1).any() or not header[5]:
      raise ValueError(f'{path} is no file of llama2.c')
    width, hidden, layers, heads, kv_heads, vocabulary, positions = (
      int(number) for number in header
    )
    # Before anything is built layer by layer: the number may be garbage.
    if layers * width * 4 > size:
      raise ValueError(
        f'{path} is truncated, or no file of llama2.c: {size:,} bytes do not '
        f'hold {layers:,} layers of width {width:,}'
      )
    if width % heads:
      raise ValueError(
        f'{path} is no file of llama2.c: {heads} heads do not divide its '
        f'width {width}'
      )
    try:
      self.config = config_lib.DecoderConfig(
        vocab_size=abs(vocabulary),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=width // heads,
        hidden=hidden,
        norm_eps=1e-5,
        tie_embeddings=vocabulary > 0,
        max_positions=positions,
      )
    except ValueError as error:
      raise ValueError(f'{path} is no file of llama2.c: {error}') from None
    c = self.config
    keys = c.kv_heads * c.head_dim
    layout = [
      ('model.embed_tokens.weight', (c.vocab_size, width)),
      ('input_layernorm', (width,)),
      ('self_attn.q_proj', (width, width)),
      ('self_attn.k_proj', (keys, width)),
      ('self_attn.v_proj', (keys, width)),
      ('self_attn.o_proj', (width, width)),
      ('post_attention_layernorm', (width,)),
      ('mlp.gate_proj', (hidden, width)),
      ('mlp.down_proj', (width, hidden)),
      ('mlp.up_proj', (hidden, width)),
      ('model.norm.weight', (width,)),
      (None, (2, positions, c.head_dim // 2)),
    ]
    if not c.tie_embeddings:
      layout.append(('lm_head.weight', (c.vocab_size, width)))
    self._offsets: dict[str, int] = {}
    self.shapes: dict[str, tuple[int, ...]] = {}
    offset = _HEADER
    for name, shape in layout:
      if name is None or name.endswith('.weight'):
        tensors = [name]
      else:
        tensors = [f'model.layers.{i}.{name}.weight' for i in range(layers)]
      for tensor in tensors:
        if tensor is not None:
          self._offsets[tensor], self.shapes[tensor] = offset, shape
        offset += 4 * math.prod(shape)
    if size != offset:
      raise ValueError(
        f'{path} has {size:,} bytes, but its header asks for {offset:,}: it '
        'is truncated, or no file of llama2.c'
      )

  def read(self, name: str, bounds: source_lib.Bounds) -> np.ndarray:
    rows = None
    if '.q_proj.' in name or '.k_proj.' in name:
      rows = source_lib.interleaved_rows(*bounds[0], self.config.head_dim)
    return source_lib.read_mapped(
      self.path,
      np.dtype('<f4'),
      self._offsets[name],
      self.shapes[name],
      bounds,
      rows,
    )
