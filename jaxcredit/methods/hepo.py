"""HEPO: credit for the tokens of highest entropy (2506.01939)."""

import dataclasses

from jaxcredit import options as options_lib
from jaxcredit.algorithms import hepo
from jaxcredit.methods import arrays
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register


@dataclasses.dataclass(frozen=True)
class Options:
  """See `jaxcredit.hepo.advantages`."""

  rho: float = options_lib.option(
    0.2,
    'Share of the tokens that get credit: those of highest entropy.',
    high=1.0,
    above=0.0,
  )
  scale: str = options_lib.option(
    'std',
    'Divide by the standard deviation, or not at all.',
    choices=('std', 'none'),
  )

  __post_init__ = options_lib.check


def credit(batch: Batch, options: Options) -> Credit:
  """HEPO's credit."""
  return Credit(
    hepo.advantages(
      arrays.scores(batch),
      arrays.by_group(batch.rows.entropies, batch),
      arrays.sampled(batch),
      **dataclasses.asdict(options),
    )
  )


register(
  Method(
    name='hepo',
    label='HEPO',
    paper='2506.01939',
    unit='token',
    options=Options,
    credit=credit,
    needs=frozenset({'entropies'}),
    standardised=True,
  )
)
