"""Heads on a decoder's states, a file each.

A head brings its sharding rules beside its `init`. `RULES` are those of the
decoder and of all heads, for a mesh on which any of them lies: a new head is
one file more.
"""

import importlib
import pkgutil

from jaxcredit.networks import sharding


def _rules_of_heads() -> sharding.Rules:
  names = sorted(module.name for module in pkgutil.iter_modules(__path__))
  heads = [importlib.import_module(f'{__name__}.{name}') for name in names]
  return [rule for head in heads for rule in getattr(head, 'RULES', ())]


RULES: sharding.Rules = (*sharding.RULES, *_rules_of_heads())
