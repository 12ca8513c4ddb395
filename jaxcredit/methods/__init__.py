"""Every method of credit assignment, in one table.

  from jaxcredit import methods

  method = methods.TABLE['gigpo']
  credit = method.credit(methods.Batch(trajectories), method.options())

Each file of this folder describes a method, or several close ones, and adds
them to the table with `register`. The training loop, flags, reports, credit
accuracy, adapters and tests iterate over the table.
"""

import importlib
import pkgutil

from jaxcredit.methods.arrays import trajectories
from jaxcredit.methods.method import (
  NEEDS,
  Batch,
  Credit,
  Method,
  NoOptions,
  compiled,
)
from jaxcredit.methods.table import (
  BASELINE,
  TABLE,
  choose,
  register,
  registered,
)

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

# Importing a file registers its methods.
for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
  importlib.import_module(_module.name)
