"""Every method of credit assignment, in one table.

  from jaxcredit import methods

  method = methods.TABLE['gigpo']
  credit = method.credit(methods.Batch(trajectories), method.options())

A file of this folder describes one method, or one and its near relatives, and
puts it into the table by `register`. Whoever needs to know of methods (the
training loop, flags, reports, credit accuracy, adapters, tests) walks over the
table.
"""

import importlib
import pkgutil

from jaxcredit.methods.arrays import trajectories
from jaxcredit.methods.grpo import BASELINE
from jaxcredit.methods.method import (
  NEEDS,
  Batch,
  Credit,
  Method,
  NoOptions,
  compiled,
)
from jaxcredit.methods.table import TABLE, choose, register, registered

__all__ = [
  'BASELINE',
  'NEEDS',
  'TABLE',
  'Batch',
  'Credit',
  'Method',
  'NoOptions',
  'choose',
  'compiled',
  'register',
  'registered',
  'trajectories',
]

# Each file registers what it describes.
for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
  importlib.import_module(_module.name)
