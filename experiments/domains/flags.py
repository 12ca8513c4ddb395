"""What a script trains on: --domain, and the flags of each domain.

A domain's flags stand in a module of its own, which makes its options and the
domain; here are those that several of them have.
"""

from absl import flags

from experiments.domains import household_flags, shop_flags, virtualhome_flags
from experiments.text import flags as training_flags

DOMAINS = {
  'household': household_flags,
  'virtualhome': virtualhome_flags,
  'shop': shop_flags,
}
# What --help of a script lists that adopts the flags of this file.
for _module in DOMAINS.values():
  flags.adopt_module_key_flags(_module)

_DOMAIN = flags.DEFINE_enum(
  'domain',
  'household',
  list(DOMAINS),
  'What is trained on: the household of ALFWorld, that of VirtualHome, or a '
  'shop after WebShop.',
)
_EVALUATION_COUNT = flags.DEFINE_integer(
  'evaluation_count',
  0,
  'How many tasks to evaluate on. 0: all of a file, or 120 generated.',
  lower_bound=0,
)
_ANCHOR = flags.DEFINE_enum(
  'anchor',
  'observation',
  ['observation', 'state'],
  'What counts as the same state: the text last seen (published), or the '
  'whole state.',
)
_WARM_START_SLIPS = flags.DEFINE_float(
  'warm_start_slips',
  0.1,
  "Share of the expert's steps replaced by an action that is refused. These "
  'are not imitated; what the expert does next is.',
  0.0,
  0.9,
)


def options():
  """Options of the domain that the flags name; imports its extra."""
  return DOMAINS[_DOMAIN.value].options(
    _EVALUATION_COUNT.value, _ANCHOR.value, _WARM_START_SLIPS.value
  )


def domain():
  """The domain that the flags describe; see `domain.Domain`."""
  return DOMAINS[_DOMAIN.value].domain(
    options(), training_flags.max_steps(), training_flags.seed()
  )
