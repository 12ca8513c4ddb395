"""The configuration of a decoder."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

ATTENTIONS = ('auto', 'blocks', 'xla', 'cudnn', 'splash')

# Kinds of rope scaling that are known, by their name in config.json.
ROPE_SCALINGS = ('linear', 'llama3')

# Far above any model's: a size beyond is a damaged file or a slip, and what is
# counted to it or allocated for it never ends.
LARGEST = 1 << 31
_LARGEST = {'layers': 1 << 13, 'heads': 1 << 14, 'kv_heads': 1 << 14}
_MOST_PARAMETERS = 10**13


def check_sizes(sizes: Mapping[str, Any]) -> None:
  """Checks sizes of a decoder one by one.

  Args:
    sizes: name of a field of `DecoderConfig` -> value.

  Raises:
    ValueError: one is no whole number, not positive, or beyond any model's.
  """
  for field, value in sizes.items():
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
      raise ValueError(f'{field} must be a whole number, not {value!r:.100}')
    if value < 1:
      raise ValueError(f'{field} must be positive, not {value}')
    most = _LARGEST.get(field, LARGEST)
    if value > most:
      raise ValueError(
        f'{field} must be at most {most:,}, which no model has, not '
        f'{value!r:.100}'
      )


@dataclasses.dataclass(frozen=True)
class RopeScaling:
  """Rotary positions stretched to rows longer than those first trained on.

  Attributes:
    kind: 'linear' divides every frequency by `factor` (Chen et al. 2023);
      'llama3' only the slow ones, with a ramp between (Llama 3.1).
    factor: at least 1.
    low_frequency: llama3; waves longer than original_positions /
      low_frequency are divided.
    high_frequency: llama3; waves shorter than original_positions /
      high_frequency are left alone.
    original_positions: llama3; length of the rows first trained on.
  """

  kind: str
  factor: float
  low_frequency: float = 1.0
  high_frequency: float = 4.0
  original_positions: int = 8192

  def __post_init__(self):
    if self.kind not in ROPE_SCALINGS:
      raise ValueError(
        f'rope scaling must be one of {ROPE_SCALINGS}, not {self.kind!r}'
      )
    if not 1 <= self.factor < math.inf:
      raise ValueError(
        f'the factor of rope scaling must be at least 1, not {self.factor}'
      )
    if self.original_positions < 1:
      raise ValueError(
        'original_positions of rope scaling must be positive, not '
        f'{self.original_positions}'
      )
    if not 0 < self.low_frequency < self.high_frequency:
      raise ValueError(
        f'rope scaling needs 0 < low_frequency ({self.low_frequency}) < '
        f'high_frequency ({self.high_frequency})'
      )


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
  """Sizes and options of a decoder-only transformer.

  One decoder covers the Llama and Qwen families: grouped-query attention with
  rotary positions, gated linear units and root-mean-square norms.

  Attributes:
    vocab_size: rows of the embedding.
    tokenizer_size: tokens that the tokenizer has. The rows beyond are padding:
      their tokens are never sampled, and neither sampler nor learner gives them
      any probability. None: all rows are tokens.
    width: size of the residual stream.
    layers: number of blocks.
    heads: number of query heads.
    kv_heads: number of key/value heads; divides `heads`.
    head_dim: size of a head, even.
    hidden: size of the gated linear unit.
    rope_base: base of the rotary positions.
    rope_scaling: how they are stretched; None: not at all.
    norm_eps: added to the mean square in norms.
    tie_embeddings: whether the output projection is the embedding.
    qkv_bias: whether query, key and value projections have biases (Qwen2).
    o_bias: whether the projection behind attention has one.
    qk_norm: whether queries and keys are normed per head (Qwen3).
    window: tokens that a layer with a sliding window sees, the querying one
      included; None: no layer has one.
    window_layers: for each layer whether it has the window; () means all.
    max_positions: max_position_embeddings of the files; see `positions` for
      the longest row.
    compute_dtype: name of the dtype of activations; parameters keep theirs.
    remat: whether the backward pass recomputes each block.
    attention: how whole rows attend, one of ATTENTIONS: 'auto' goes with the
      platform; see `attention`.
  """

  vocab_size: int
  width: int
  layers: int
  heads: int
  kv_heads: int
  head_dim: int
  hidden: int
  rope_base: float = 10_000.0
  rope_scaling: RopeScaling | None = None
  norm_eps: float = 1e-6
  tie_embeddings: bool = True
  qkv_bias: bool = False
  o_bias: bool = False
  qk_norm: bool = False
  window: int | None = None
  window_layers: tuple[bool, ...] = ()
  max_positions: int = 32_768
  compute_dtype: str = 'float32'
  remat: bool = False
  attention: str = 'auto'
  tokenizer_size: int | None = None

  def __post_init__(self):
    sizes = {
      field: getattr(self, field)
      for field in (
        'vocab_size', 'width', 'layers', 'heads', 'kv_heads', 'head_dim',
        'hidden', 'max_positions',
      )
    }  # fmt: skip
    check_sizes(sizes)
    projections = 2 * (self.heads + self.kv_heads) * self.head_dim
    count = self.width * (
      self.vocab_size + self.layers * (projections + 3 * self.hidden)
    )
    if count > _MOST_PARAMETERS:
      raise ValueError(
        f'these sizes make {count:.1e} parameters, which no model has: {sizes}'
      )
    if not 0 < self.rope_base < math.inf:
      raise ValueError(f'rope_base must be positive, not {self.rope_base}')
    if not 0 <= self.norm_eps < math.inf:
      raise ValueError(f'norm_eps must not be negative, not {self.norm_eps}')
    size = self.tokenizer_size
    if size is not None and not 1 <= size <= self.vocab_size:
      raise ValueError(
        f'the tokenizer has {size} tokens, the model {self.vocab_size}: they '
        'do not belong together'
      )
    if self.attention not in ATTENTIONS:
      raise ValueError(
        f'attention must be one of {ATTENTIONS}, not {self.attention!r}'
      )
    if self.heads % self.kv_heads:
      raise ValueError(
        f'kv_heads ({self.kv_heads}) must divide heads ({self.heads})'
      )
    if self.head_dim % 2:
      raise ValueError(
        f'head_dim must be even for rotary positions, not {self.head_dim}'
      )
    if self.window is not None and self.window < 1:
      raise ValueError(f'window must be positive or None, not {self.window}')
    if self.window_layers and (
      self.window is None or len(self.window_layers) != self.layers
    ):
      raise ValueError(
        f'window_layers ({len(self.window_layers)} entries) needs a window '
        f'({self.window}) and one entry for each of {self.layers} layers'
      )

  @property
  def windows(self) -> tuple[int | None, ...]:
    """The window of each layer, None where it sees the whole row."""
    slides = self.window_layers or (self.window is not None,) * self.layers
    return tuple(self.window if slide else None for slide in slides)

  @property
  def positions(self) -> int:
    """Tokens of the longest row that the model was made for.

    Linear scaling stretches `max_positions`; the files of models with llama3
    scaling give the stretched number.
    """
    scaling = self.rope_scaling
    if scaling is not None and scaling.kind == 'linear':
      return int(self.max_positions * scaling.factor)
    return self.max_positions

  def check_positions(self, tokens: int, what: str) -> None:
    """Raises ValueError where rows are longer than the model's positions.

    Args:
      tokens: of the longest row.
      what: what is that long, for the message.
    """
    if tokens > self.positions:
      raise ValueError(
        f'{what} of {tokens} tokens is beyond the {self.positions} positions '
        'that the model was made for: use shorter rows, or a model whose rope '
        'scaling reaches further'
      )

  def for_tokenizer(self, size: int) -> 'DecoderConfig':
    """The configuration with the padding of its vocabulary left out.

    Args:
      size: tokens of the tokenizer.

    Raises:
      ValueError: the tokenizer has more tokens than the model.
    """
    # One configuration for one model, so that its programs are shared.
    used = None if size == self.vocab_size else size
    return dataclasses.replace(self, tokenizer_size=used)

  @property
  def tokens(self) -> int:
    """Tokens that have a probability."""
    return self.tokenizer_size or self.vocab_size

  @classmethod
  def tiny(cls, vocab_size: int, **changes) -> 'DecoderConfig':
    """About 0.6 million parameters without the embedding: trains on a CPU."""
    sizes = {
        'width': 128, 'layers': 3, 'heads': 4, 'kv_heads': 2, 'head_dim': 32,
        'hidden': 384,
    }  # fmt: skip
    return cls(vocab_size=vocab_size, **{**sizes, **changes})

  @classmethod
  def qwen2_5_0_5b(cls, **changes) -> 'DecoderConfig':
    """Qwen2.5-0.5B, as its config.json gives it."""
    sizes = {
        'vocab_size': 151_936, 'width': 896, 'layers': 24, 'heads': 14,
        'kv_heads': 2, 'head_dim': 64, 'hidden': 4864,
        'rope_base': 1_000_000.0, 'qkv_bias': True,
        'compute_dtype': 'bfloat16', 'remat': True,
    }  # fmt: skip
    return cls(**{**sizes, **changes})

  @classmethod
  def qwen2_5_1_5b(cls, **changes) -> 'DecoderConfig':
    """Qwen2.5-1.5B, as its config.json gives it."""
    sizes = {
        'vocab_size': 151_936, 'width': 1536, 'layers': 28, 'heads': 12,
        'kv_heads': 2, 'head_dim': 128, 'hidden': 8960,
        'rope_base': 1_000_000.0, 'qkv_bias': True,
        'compute_dtype': 'bfloat16', 'remat': True,
    }  # fmt: skip
    return cls(**{**sizes, **changes})
