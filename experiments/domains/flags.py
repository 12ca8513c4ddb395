"""The domain of a text policy: --domain, and the options of each domain."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from experiments.domains import household, questions, shop, virtualhome
from experiments.run import option_flags
from experiments.text import domain as domain_lib


@dataclasses.dataclass(frozen=True)
class Entry:
  """A domain that a script can train on.

  Attributes:
    options: a dataclass of options.
    make: options, steps of an episode and seed -> domain.
  """

  options: type
  make: Callable[[Any, int, int], domain_lib.Domain]


DOMAINS: Mapping[str, Entry] = {
  'household': Entry(household.HouseholdOptions, household.HouseholdDomain),
  'virtualhome': Entry(
    virtualhome.VirtualHomeOptions, virtualhome.VirtualHomeDomain
  ),
  'shop': Entry(shop.ShopOptions, shop.ShopDomain),
  'questions': Entry(questions.QuestionOptions, questions.QuestionDomain),
}

DOMAIN = flags.DEFINE_enum(
  'domain',
  'household',
  list(DOMAINS),
  'Domain to train on: the household of ALFWorld, VirtualHome, a shop after '
  'WebShop, or questions with verifiable answers.',
)
OPTIONS = option_flags.define_union(
  {name: entry.options for name, entry in DOMAINS.items()}
)


def domain(max_steps: int, seed: int) -> domain_lib.Domain:
  """The domain that the flags describe.

  Raises:
    ValueError: an option of another domain is given.
  """
  name = DOMAIN.value
  if unused := OPTIONS.unused(name):
    given = ', '.join(f'--{flag}' for flag in unused)
    raise ValueError(f'{given}: not an option of --domain={name}')
  return DOMAINS[name].make(OPTIONS.read(name), max_steps, seed)


def recorded(config: Mapping[str, Any]) -> domain_lib.Domain:
  """The domain that a run recorded in its configuration."""
  name = config['domain']
  options = OPTIONS.recorded(name, config)
  return DOMAINS[name].make(options, config['max_steps'], config['seed'])
