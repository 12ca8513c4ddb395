"""A shop after WebShop, with invented products.

Searching needs the extra `shop` (bm25s).
"""

from jaxcredit.environments.protocol import TextStep
from jaxcredit.environments.shop.catalogue import Catalogue, generated
from jaxcredit.environments.shop.environment import (
  REFUSAL,
  REWARDS,
  ShopEnvironment,
)
from jaxcredit.environments.shop.goals import PARTS, Goal, generate_goals
from jaxcredit.environments.shop.pages import QUERY, WORDINGS, Page
from jaxcredit.environments.shop.products import (
  CATEGORIES,
  Product,
  generate_products,
)
from jaxcredit.environments.shop.reward import Score, score, suits
from jaxcredit.environments.shop.search import SearchUnavailable

__all__ = [
  'CATEGORIES',
  'PARTS',
  'QUERY',
  'REFUSAL',
  'REWARDS',
  'WORDINGS',
  'Catalogue',
  'Goal',
  'Page',
  'Product',
  'Score',
  'SearchUnavailable',
  'ShopEnvironment',
  'TextStep',
  'generate_goals',
  'generate_products',
  'generated',
  'score',
  'suits',
]
