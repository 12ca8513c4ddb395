"""GRPO (2402.03300) and Dr. GRPO (2503.20783): credit of whole episodes.

They are GiGPO's episode part (Eq. 8 with omega = 0), so that all three treat
the penalty of a completion of wrong form the same way: its own step pays it.
"""

import dataclasses

from jaxcredit import options as options_lib
from jaxcredit.algorithms import gigpo
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import BASELINE, register


@dataclasses.dataclass(frozen=True)
class DrOptions:
  """Options of Dr. GRPO, which does not divide by a deviation."""

  episode_statistics: str = options_lib.option(
    'trajectories',
    'Mean and deviation over trajectories (paper) or all steps (released '
    'code).',
    choices=gigpo.EPISODE_STATISTICS,
  )

  __post_init__ = options_lib.check


@dataclasses.dataclass(frozen=True)
class Options(DrOptions):
  """See `jaxcredit.grpo.advantages`."""

  scale: str = options_lib.option(
    'std',
    'Divide by the standard deviation, or not at all.',
    choices=('std', 'none'),
  )
  ddof: int = options_lib.option(
    1, 'Delta degrees of freedom of deviations.', 0, 1
  )


def credit(batch: Batch, options: Options) -> Credit:
  """GRPO's credit."""
  t = batch.trajectories
  result = gigpo.advantages(
    t.rewards,
    t.mask,
    t.anchors,
    penalties=t.penalties,
    step_weight=0.0,
    **dataclasses.asdict(options),
  )
  return Credit(result.total)


def dr_credit(batch: Batch, options: DrOptions) -> Credit:
  """Dr. GRPO's credit."""
  return credit(batch, Options(options.episode_statistics, scale='none'))


register(
  Method(
    name=BASELINE,
    label='GRPO',
    paper='2402.03300',
    unit='episode',
    options=Options,
    credit=credit,
    standardised=True,
  )
)
register(
  Method(
    name='dr_grpo',
    label='Dr. GRPO',
    paper='2503.20783',
    unit='episode',
    options=DrOptions,
    credit=dr_credit,
  )
)
