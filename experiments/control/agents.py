"""Flags of the policies that learn in LaRe's experiments: IPPO and TD3.

A flag that is not given has the default of the policy, which is that of the
released code; one that the task's policy does not have must not be given.
"""

from experiments.run import option_flags
from jaxcredit.agents import ippo, reward_sources, td3
from jaxcredit.environments import functional

# The number of iterations is the run's.
FLAGS = option_flags.define_union(
  {'IPPO': ippo.Options, 'TD3': td3.Options}, without=('iterations',)
)


def learner(
  environment: functional.Environment,
  source: reward_sources.Source,
  iterations: int,
) -> ippo.Ippo | td3.Td3:
  """IPPO for discrete actions, TD3 for others, as the flags say.

  Raises:
    ValueError: a flag is given that this policy does not have.
  """
  name = 'IPPO' if environment.discrete else 'TD3'
  if unused := FLAGS.unused(name):
    names = ', '.join(f'--{flag}' for flag in unused)
    raise ValueError(f'{names}: no option of {name}, which this task trains')
  options = FLAGS.read(name, {'iterations': iterations})
  make = ippo.Ippo if environment.discrete else td3.Td3
  return make(environment, source, options)
