"""RLOO: the mean of the other episodes as baseline (2402.14740)."""

import jax.numpy as jnp

from jaxcredit.algorithms import rloo
from jaxcredit.methods import arrays
from jaxcredit.methods.method import Batch, Credit, Method, NoOptions
from jaxcredit.methods.table import register


def credit(batch: Batch, options: NoOptions) -> Credit:
  """RLOO's credit, minus the penalty of each step."""
  del options
  t = batch.trajectories
  relative = rloo.advantages(arrays.returns(batch), t.mask.any(axis=-1))
  return Credit(jnp.where(t.mask, relative[..., None] - t.penalties, 0))


register(
  Method(
    name='rloo',
    label='RLOO',
    paper='2402.14740',
    unit='episode',
    options=NoOptions,
    credit=credit,
  )
)
