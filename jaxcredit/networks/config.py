"""The configuration of a decoder."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
  """Sizes and options of a decoder-only transformer.

  One decoder covers the Llama and Qwen families: grouped-query attention with
  rotary positions, gated linear units and root-mean-square norms.

  Attributes:
    vocab_size: number of tokens.
    width: size of the residual stream.
    layers: number of blocks.
    heads: number of query heads.
    kv_heads: number of key/value heads; divides `heads`.
    head_dim: size of a head, even.
    hidden: size of the gated linear unit.
    rope_base: base of the rotary positions.
    norm_eps: added to the mean square in norms.
    tie_embeddings: whether the output projection is the embedding.
    qkv_bias: whether query, key and value projections have biases (Qwen2).
    qk_norm: whether queries and keys are normed per head (Qwen3).
    compute_dtype: name of the dtype of activations; parameters keep theirs.
    remat: whether the backward pass recomputes each block.
  """

  vocab_size: int
  width: int
  layers: int
  heads: int
  kv_heads: int
  head_dim: int
  hidden: int
  rope_base: float = 10_000.0
  norm_eps: float = 1e-6
  tie_embeddings: bool = True
  qkv_bias: bool = False
  qk_norm: bool = False
  compute_dtype: str = 'float32'
  remat: bool = False

  def __post_init__(self):
    for field in (
      'vocab_size',
      'width',
      'layers',
      'heads',
      'kv_heads',
      'head_dim',
      'hidden',
    ):
      if getattr(self, field) < 1:
        raise ValueError(
          f'{field} must be positive, not {getattr(self, field)}'
        )
    if self.heads % self.kv_heads:
      raise ValueError(
        f'kv_heads ({self.kv_heads}) must divide heads ({self.heads})'
      )
    if self.head_dim % 2:
      raise ValueError(
        f'head_dim must be even for rotary positions, not {self.head_dim}'
      )

  @classmethod
  def tiny(cls, vocab_size: int, **changes) -> 'DecoderConfig':
    """About 0.6 million parameters without the embedding: trains on a CPU."""
    sizes = {
        'width': 128, 'layers': 3, 'heads': 4, 'kv_heads': 2, 'head_dim': 32,
        'hidden': 384,
    }  # fmt: skip
    return cls(vocab_size=vocab_size, **{**sizes, **changes})

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
