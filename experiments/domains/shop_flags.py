"""Flags of the shop; see `domain_flags`."""

from absl import flags

_PRODUCTS = flags.DEFINE_integer(
  'products', 2000, 'Products that the shop sells.', 1
)
_SHOP_WORDING = flags.DEFINE_enum(
  'shop_wording',
  'compact',
  ['text', 'compact'],
  "The shop's words: WebShop's simple text, or short ones for small policies.",
)
_RESULTS_PER_PAGE = flags.DEFINE_integer(
  'results_per_page', 10, 'Products on a page of results.', 1
)
_SHOP_REWARD = flags.DEFINE_enum(
  'shop_reward',
  'score',
  ['score', 'success'],
  'The share of the wishes that what is bought meets (published), or 1 where '
  'it meets all of them and 0 otherwise.',
)
_TRAINING_GOALS = flags.DEFINE_integer(
  'training_goals', 2000, 'How many goals to train on.', 1
)
_WARM_START_GOALS = flags.DEFINE_integer(
  'warm_start_goals', 600, 'Goals that the expert meets.', 1
)


def options(evaluation_count: int, anchor: str, warm_start_slips: float):
  """Flags as `shop_tasks.ShopOptions`; imports the extra."""
  from experiments.domains import shop as shop_tasks

  if anchor != 'observation':
    raise ValueError(
      f'--anchor={anchor} is not for the shop: its pages show the whole state'
    )
  return shop_tasks.ShopOptions(
    products=_PRODUCTS.value,
    shop_wording=_SHOP_WORDING.value,
    results_per_page=_RESULTS_PER_PAGE.value,
    shop_reward=_SHOP_REWARD.value,
    training_goals=_TRAINING_GOALS.value,
    evaluation_count=evaluation_count or 120,
    warm_start_goals=_WARM_START_GOALS.value,
    warm_start_slips=warm_start_slips,
  )


def domain(options, max_steps: int, seed: int):
  """The shop."""
  from experiments.domains import shop as shop_tasks

  return shop_tasks.ShopDomain(options, max_steps, seed)
