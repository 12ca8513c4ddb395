"""A critic: one number a token, the value of the state in which it was chosen.

It is read from the hidden state of the token before; see `scalar_head`, of
which this is the form with one output.
"""

import jax

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.heads import scalar_head

Params = scalar_head.Params


def init(params: decoder.Params) -> Params:
  """A critic that begins with a policy's trunk and says 0 everywhere.

  Args:
    params: of the decoder; they are copied.
  """
  return scalar_head.init(params, 1)


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
  said = scalar_head.before_tokens(
    params, config, tokens, segment_ids=segment_ids
  )
  return said[..., 0]
