"""PPO with step rewards instead of a late return.

LaRe (2412.11120) and RRD (2111.13485) train a decoder of step rewards. IRCR
(2010.12718) gives each step the normalised return of its episode.
"""

import jax.numpy as jnp

from jaxcredit.algorithms import ircr
from jaxcredit.methods import arrays, ppo
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register


def decoded_credit(batch: Batch, options: ppo.Options) -> Credit:
  """PPO's credit for the rewards of a decoder."""
  t = batch.trajectories
  rewards = batch.predictions['step_rewards'] - t.penalties
  return ppo.proximal_credit(batch, jnp.where(t.mask, rewards, 0), options)


def guidance_credit(batch: Batch, options: ppo.Options) -> Credit:
  """PPO's credit for IRCR's guidance rewards."""
  t = batch.trajectories
  shape = t.mask.shape
  rewards = ircr.guidance_rewards(
    arrays.returns(batch).reshape(-1), t.mask.reshape(-1, shape[-1])
  ).reshape(shape)
  rewards = jnp.where(t.mask, rewards - t.penalties, 0)
  return ppo.proximal_credit(batch, rewards, options)


for _name, _label, _paper in (
  ('lare', 'LaRe', '2412.11120'),
  ('rrd', 'RRD', '2111.13485'),
):
  register(
    Method(
      name=_name,
      label=_label,
      paper=_paper,
      unit='token',
      options=ppo.Options,
      credit=decoded_credit,
      needs=frozenset({'values', 'reference', 'step_rewards'}),
      needed_by=lambda options: ppo.needed_by(options) | {'step_rewards'},
      first_carry=ppo.first_carry,
      standardised=True,
    )
  )
register(
  Method(
    name='ircr',
    label='IRCR',
    paper='2010.12718',
    unit='token',
    options=ppo.Options,
    credit=guidance_credit,
    needs=frozenset({'values', 'reference'}),
    needed_by=ppo.needed_by,
    first_carry=ppo.first_carry,
    standardised=True,
  )
)
