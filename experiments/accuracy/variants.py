"""What is scored: each method of the table, and some variants of it.

A method of the table is scored with its own options, but for those that the
tasks settle (returns are not discounted). Rewards of steps become advantages as
in PPO, with a critic of those rewards.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments.accuracy import decoders, tables
from jaxcredit import methods, types

# Options that the tasks settle, where a method has them and leaves the matter
# open: a critic's advantages are of undiscounted returns, and nothing tells
# whether an action was grounded.
_SETTLED = {
  'values': {'discount': 1.0, 'gae_lambda': 0.95, 'grounding_weight': 0.0}
}
# Needs that are met here.
_MET = {
  'values', 'entropies', 'reference', 'contributions', 'continuations',
  'step_rewards',
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Variant:
  """A method with what it is given.

  Attributes:
    method: its name in the table.
    label: in tables and figures.
    options: of the method, where they are not its own.
    part: of the credit that is scored.
    decoder: gives rewards of steps, where the method needs them; None for that
      of the need.
    exact: whether values and continuations are the true ones.
    drawn: whether figures have a curve of it; more cannot be told apart.
  """

  method: str
  label: str
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  part: str = 'total'
  decoder: decoders.Decoder | None = None
  exact: bool = False
  drawn: bool = False


_PLAIN = {'discount': 1.0, 'scale': 'none'}

# Beside the methods of the table. One with the name of a method is in place of
# it.
VARIANTS: Mapping[str, Variant] = {
  'gigpo_step': Variant('gigpo', 'GiGPO, step part', part='step', drawn=True),
  'gigpo_plain': Variant(
    'gigpo', 'GiGPO, step part, plain', options=_PLAIN, part='step'
  ),
  'treerpo': Variant('treerpo', 'TreeRPO, on chance trees'),
  'ppo_1': Variant('ppo', 'PPO, lambda 1', options={'gae_lambda': 1.0}),
  'ppo_exact': Variant('ppo', 'PPO, true values', exact=True, drawn=True),
  'td_exact': Variant('vineppo', 'true values, lambda 0', exact=True),
  'spa': Variant('spa', 'SPA, RD', drawn=True),
  'spa_prefix': Variant(
    'spa', 'SPA, prefixes', decoder=decoders.prefix_progress
  ),
  'rrd': Variant('rrd', 'RRD', decoder=decoders.randomised, drawn=True),
  'lare': Variant('lare', 'LaRe, linear', drawn=True),
  'ircr': Variant('ircr', 'IRCR, of episodes'),
  'ircr_table': Variant('lare', 'IRCR', decoder=decoders.guidance),
}
# Methods of the table with a curve.
_DRAWN = {'grpo', 'gigpo', 'tempo', 'ppo', 'vineppo'}


def names() -> list[str]:
  """All that can be scored."""
  scored = [
    name for name, method in methods.TABLE.items() if method.needs <= _MET
  ]
  return list(dict.fromkeys([*scored, *VARIANTS]))


def find(name: str) -> Variant:
  """What is scored under a name."""
  if name in VARIANTS:
    return VARIANTS[name]
  method = methods.choose(name)
  return Variant(name, method.label, drawn=name in _DRAWN)


def _options(variant: Variant, method: methods.Method) -> Any:
  fields = {field.name for field in dataclasses.fields(method.options)}
  settled: dict[str, Any] = {}
  for need, values in _SETTLED.items():
    if need in method.needs:
      settled |= {n: v for n, v in values.items() if n in fields}
  return method.options(**{**settled, **variant.options})


def _rows(played: tables.Played) -> types.Rows:
  """Episodes as rows in which each step is a token, [P * G, S]."""
  now = played.now
  mask = now.mask.reshape(-1, now.mask.shape[-1])
  tokens = tables.equal_steps(
    now.seen.reshape(-1), now.actions.reshape(-1), mask=mask.reshape(-1)
  )
  episodes, steps = mask.shape
  return types.Rows(
    tokens=jnp.maximum(tokens, 0).reshape(mask.shape),
    step_of_token=jnp.where(mask, jnp.arange(steps), -1),
    trajectory=jnp.arange(episodes),
    length=mask.sum(axis=-1),
    log_probs=jnp.zeros(mask.shape),
    entropies=played.entropies.reshape(mask.shape),
  )


def batch_of(
  played: tables.Played, variant: Variant, options: Any
) -> methods.Batch:
  """What a method is given of the episodes.

  Args:
    played: episodes.
    variant: of the method.
    options: of the method.
  """
  now, method = played.now, methods.choose(variant.method)
  needs = method.needs_with(options)
  predictions, earlier_rewards = {}, played.earlier.rewards
  for need in sorted(needs & decoders.OF_NEEDS.keys()):
    decoder = variant.decoder or decoders.OF_NEEDS[need]
    earlier_rewards, predictions[need] = decoder(played)
  if 'continuations' in needs:
    predictions['continuations'] = (
      played.values[..., None] if variant.exact else played.continuations
    )
  values = None
  if 'values' in needs:
    values = (
      played.values if variant.exact else tables.critic(played, earlier_rewards)
    ).reshape(-1, now.mask.shape[-1])
  return methods.Batch(
    types.Trajectories(
      rewards=now.rewards,
      mask=now.mask,
      anchors=now.seen,
      penalties=jnp.zeros_like(now.rewards),
      terminated=now.taken,
      truncated=jnp.zeros_like(now.taken),
    ),
    rows=_rows(played) if method.needs_rows(options) else None,
    values=values,
    predictions=predictions,
    carry=method.first_carry(options),
  )


def credit(played: tables.Played, name: str) -> jax.Array:
  """What a method gives the steps, float [P, G, S]."""
  variant = find(name)
  method = methods.choose(variant.method)
  options = _options(variant, method)
  given = method.credit(batch_of(played, variant, options), options)
  return given.total if variant.part == 'total' else given.parts[variant.part]
