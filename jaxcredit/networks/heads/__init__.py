"""Heads on a decoder's states, a file each.

A head brings its sharding rules beside its `init`. `RULES` are those of the
decoder and of all heads, for a mesh on which any of them lies: a new head is
one file and its name here.
"""

from jaxcredit.networks import sharding
from jaxcredit.networks.heads import (
  progress_head,
  reward_decoder,
  scalar_head,
)

RULES: sharding.Rules = (
  *sharding.RULES,
  *progress_head.RULES,
  *reward_decoder.RULES,
  *scalar_head.RULES,
)
