"""K numbers a token: the decoder's trunk and a linear head on its states.

A critic is one with K = 1 (`value_head`), twin critics one with K = 2. What is
said of a state is read before its token is chosen, what is said of an action
after it: a number of V(s) from `before_tokens`, one of Q(s, a) from
`after_tokens`.

The dict is {'trunk': what `decoder.init` makes, without an output projection,
'scalars': {'kernel' [W, K], 'bias' [K]}}.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder

Params = dict[str, Any]

# Where the head lies on a mesh; see `sharding.RULES`.
RULES = (
  (r'scalars/kernel$', (None, None)),
  (r'scalars/bias$', (None,)),
)


def init(params: decoder.Params, outputs: int = 1) -> Params:
  """A head that begins with a policy's trunk and says 0 everywhere.

  Args:
    params: of the decoder; they are copied.
    outputs: K.

  Raises:
    ValueError: there is no output.
  """
  if outputs < 1:
    raise ValueError(f'outputs must be positive, not {outputs}')
  trunk = {name: part for name, part in params.items() if name != 'head'}
  scale = params['final_norm']['scale']
  return {
    'trunk': jax.tree.map(jnp.copy, trunk),
    'scalars': {
      'kernel': jnp.zeros((*scale.shape, outputs), scale.dtype),
      'bias': jnp.zeros((outputs,), scale.dtype),
    },
  }


def after_tokens(
  params: Params,
  config: config_lib.DecoderConfig,
  tokens: jax.Array,
  *,
  segment_ids: jax.Array | None = None,
) -> jax.Array:
  """What is said of each token when it has been seen.

  Args:
    params: of the head and its trunk.
    config: of the trunk.
    tokens: int32 [N, L], right-padded unless segment_ids are given.
    segment_ids: int32 [N, L]; see `decoder.log_probs`.

  Returns:
    float32 [N, L, K]. Entries of padding mean nothing.
  """
  hidden = decoder.hidden_states(
    params['trunk'], config, tokens, segment_ids=segment_ids
  )
  head = params['scalars']
  wide = hidden.astype(jnp.promote_types(hidden.dtype, jnp.float32))
  return wide @ head['kernel'].astype(wide.dtype) + head['bias']


def before_tokens(
  params: Params,
  config: config_lib.DecoderConfig,
  tokens: jax.Array,
  *,
  segment_ids: jax.Array | None = None,
) -> jax.Array:
  """What is said of the states in which tokens were chosen.

  Args:
    params: of the head and its trunk.
    config: of the trunk.
    tokens: int32 [N, L], right-padded unless segment_ids are given.
    segment_ids: int32 [N, L]; see `decoder.log_probs`.

  Returns:
    float32 [N, L, K]; 0 for the first token of a sequence. Entries of padding
    mean nothing.
  """
  after = after_tokens(params, config, tokens, segment_ids=segment_ids)
  before = jnp.pad(after[:, :-1], ((0, 0), (1, 0), (0, 0)))
  if segment_ids is not None:
    first = segment_ids != jnp.pad(segment_ids[:, :-1], ((0, 0), (1, 0)))
    before = jnp.where(first[..., None], 0, before)
  return before
