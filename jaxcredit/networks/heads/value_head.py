"""A critic: the decoder's trunk and a linear head on its hidden states.

The value of a token is that of the state in which it was chosen: it is read
from the hidden state of the token before.

The dict is {'trunk': what `decoder.init` makes, without an output projection,
'value': {'kernel' [W], 'bias' []}}.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder

Params = dict[str, Any]


def init(params: decoder.Params) -> Params:
  """A critic that begins with a policy's trunk and says 0 everywhere.

  Args:
    params: of the decoder; they are copied.
  """
  trunk = {name: part for name, part in params.items() if name != 'head'}
  scale = params['final_norm']['scale']
  return {
    'trunk': jax.tree.map(jnp.copy, trunk),
    'value': {
      'kernel': jnp.zeros_like(scale),
      'bias': jnp.zeros((), scale.dtype),
    },
  }


def values(
  params: Params,
  config: config_lib.DecoderConfig,
  tokens: jax.Array,
  *,
  segment_ids: jax.Array | None = None,
) -> jax.Array:
  """Values of the states in which tokens were chosen.

  Args:
    params: of the critic.
    config: of its trunk.
    tokens: int32 [N, L], right-padded unless segment_ids are given.
    segment_ids: int32 [N, L]; see `decoder.log_probs`.

  Returns:
    float32 [N, L]; 0 for the first token of a sequence. Entries of padding mean
    nothing.
  """
  hidden = decoder.hidden_states(
    params['trunk'], config, tokens, segment_ids=segment_ids
  )
  head = params['value']
  wide = hidden.astype(jnp.promote_types(hidden.dtype, jnp.float32))
  after = wide @ head['kernel'].astype(wide.dtype) + head['bias']
  before = jnp.pad(after[:, :-1], ((0, 0), (1, 0)))
  if segment_ids is not None:
    first = segment_ids != jnp.pad(segment_ids[:, :-1], ((0, 0), (1, 0)))
    before = jnp.where(first, 0, before)
  return before
