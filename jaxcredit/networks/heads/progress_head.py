"""A progress estimator: the decoder's trunk and a head on each step's end.

SPA (Wang et al. 2025, arXiv 2505.20732) reads what a step contributes to the
outcome from the hidden state of the step's last token, which has seen the
action and not yet its answer: c_t = MLP(h_t), a scalar in float32. The states
are gathered before the head is applied, so that it works for each step and not
for each token.

The dict is {'trunk': what `decoder.init` makes, 'progress': the head}, and the
head tells by its names what it is:

  'mlp'     {'hidden' [W, H], 'out' [H]}, as the paper says; GELU between
  'linear'  {'linear' [W]}
  'logits'  {'logits' [V]}, a linear map of the logits, as the paper's released
            code has it

each of them with 'kernel' and 'bias'. The last layer begins with zeros: a new
estimator says 0 of every step.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder, sharding

Params = dict[str, Any]

HEADS = ('mlp', 'linear', 'logits')
# Where the head lies on a mesh; see `sharding.RULES`.
RULES = (
  (r'progress/hidden/kernel$', (None, None)),
  (r'progress/hidden/bias$', (None,)),
  (r'progress/(out|linear|logits)/kernel$', (None,)),
  (r'progress/(out|linear|logits)/bias$', ()),
)


def init_head(
  key: jax.Array,
  config: config_lib.DecoderConfig,
  *,
  head: str = 'mlp',
  hidden: int | None = None,
) -> Params:
  """Draws a head, float32 (float64 under x64).

  Args:
    key: random key.
    config: of the trunk.
    head: one of HEADS.
    hidden: H, units of the MLP; None for the width of the trunk.

  Raises:
    ValueError: no such head, or no units.
  """
  if head not in HEADS:
    raise ValueError(f'head must be one of {", ".join(HEADS)}, not {head!r}')
  hidden = config.width if hidden is None else hidden
  if hidden < 1:
    raise ValueError(f'hidden must be positive, not {hidden}')

  def zeros(size):
    return {'kernel': jnp.zeros((size,)), 'bias': jnp.zeros(())}

  if head == 'linear':
    return {'linear': zeros(config.width)}
  if head == 'logits':
    return {'logits': zeros(config.vocab_size)}
  kernel = jax.random.normal(key, (config.width, hidden))
  return {
    'hidden': {
      'kernel': config.width**-0.5 * kernel,
      'bias': jnp.zeros((hidden,)),
    },
    'out': zeros(hidden),
  }


def trunk_of(params: decoder.Params, head: Params) -> decoder.Params:
  """The parts of a policy that an estimator with this head needs."""
  if 'logits' in head:
    return params
  return {name: part for name, part in params.items() if name != 'head'}


def contributions(
  params: Params,
  config: config_lib.DecoderConfig,
  tokens: jax.Array,
  positions: jax.Array,
  *,
  segment_ids: jax.Array | None = None,
) -> jax.Array:
  """What steps contribute to the outcome.

  Args:
    params: of the estimator.
    config: of its trunk.
    tokens: int32 [N, L], right-padded unless segment_ids are given.
    positions: int32 [N, S], where each step ends, as
      `step_tokens.last_positions` gives them, -1 where there is no step.
    segment_ids: int32 [N, L]; see `decoder.log_probs`.

  Returns:
    float32 [N, S] (float64 for parameters of float64); 0 where there is no
    step.

  Raises:
    ValueError: wrong shapes.
  """
  if (
    tokens.ndim != 2
    or positions.ndim != 2
    or positions.shape[0] != tokens.shape[0]
  ):
    raise ValueError(
      f'tokens must be [N, L] and positions [N, S], not {tokens.shape} and '
      f'{positions.shape}'
    )
  hidden = decoder.hidden_states(
    params['trunk'], config, tokens, segment_ids=segment_ids
  )
  ends = jnp.take_along_axis(
    hidden, jnp.maximum(positions, 0)[..., None], axis=1
  )
  ends = sharding.constrain(ends, 'batch', None, None)
  head = params['progress']
  if 'logits' in head:
    trunk = params['trunk']
    gathered = decoder.gather_output(trunk, ends.dtype)
    ends = decoder.logits(gathered, config, ends)
  wide = ends.astype(jnp.promote_types(ends.dtype, jnp.float32))
  if 'hidden' in head:
    wide = jax.nn.gelu(_affine(head['hidden'], wide))
  (last,) = (name for name in head if name != 'hidden')
  return jnp.where(positions >= 0, _affine(head[last], wide), 0)


def _affine(layer: Params, x: jax.Array) -> jax.Array:
  return x @ layer['kernel'].astype(x.dtype) + layer['bias'].astype(x.dtype)
