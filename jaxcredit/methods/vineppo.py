"""VinePPO: values from further rollouts of each state (2410.01679)."""

import dataclasses

from jaxcredit import options as options_lib
from jaxcredit.algorithms import vineppo
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register


@dataclasses.dataclass(frozen=True)
class Options:
  """See `jaxcredit.vineppo.advantages`."""

  discount: float = options_lib.option(1.0, 'Discount of returns.', 0.0, 1.0)

  __post_init__ = options_lib.check


def credit(batch: Batch, options: Options) -> Credit:
  """VinePPO's credit, with the value of each state."""
  t = batch.trajectories
  values = vineppo.state_values(batch.predictions['continuations'])
  result = vineppo.advantages(
    t.rewards - t.penalties, values, t.mask, discount=options.discount
  )
  return Credit(result, parts={'value': values})


register(
  Method(
    name='vineppo',
    label='VinePPO',
    paper='2410.01679',
    unit='step',
    options=Options,
    credit=credit,
    needs=frozenset({'continuations'}),
  )
)
