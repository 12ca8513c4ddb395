"""REINFORCE++ and its form with a group baseline (2501.03262)."""

import dataclasses

from jaxcredit import options as options_lib
from jaxcredit.algorithms import reinforce_plus_plus
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register


@dataclasses.dataclass(frozen=True)
class BaselineOptions:
  """See `jaxcredit.reinforce_plus_plus.baseline_advantages`."""

  ddof: int = options_lib.option(
    1, 'Delta degrees of freedom of deviations.', 0, 1
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class Options(BaselineOptions):
  """See `jaxcredit.reinforce_plus_plus.advantages`."""

  discount: float = options_lib.option(1.0, 'Discount of returns.', 0.0, 1.0)


def credit(batch: Batch, options: Options) -> Credit:
  """Returns to go, whitened over the batch."""
  t = batch.trajectories
  return Credit(
    reinforce_plus_plus.advantages(
      t.rewards - t.penalties, t.mask, **dataclasses.asdict(options)
    )
  )


def baseline_credit(batch: Batch, options: BaselineOptions) -> Credit:
  """Returns minus the mean of the group, whitened over the batch."""
  t = batch.trajectories
  return Credit(
    reinforce_plus_plus.baseline_advantages(
      t.rewards - t.penalties, t.mask, **dataclasses.asdict(options)
    )
  )


register(
  Method(
    name='reinforce++',
    label='REINFORCE++',
    paper='2501.03262',
    unit='step',
    options=Options,
    credit=credit,
    standardised=True,
  )
)
register(
  Method(
    name='reinforce++baseline',
    label='REINFORCE++-baseline',
    paper='2501.03262',
    unit='episode',
    options=BaselineOptions,
    credit=baseline_credit,
    standardised=True,
  )
)
