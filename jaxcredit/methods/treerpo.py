"""TreeRPO: credit relative to the siblings of a tree (2506.05183).

The paper samples a tree. Here the rows of a group form the tree: it has a node
for each sampled token, and rows with a common prefix share its nodes.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcredit import options as options_lib
from jaxcredit.algorithms import prefix_trees, treerpo
from jaxcredit.methods import arrays
from jaxcredit.methods.method import Batch, Credit, Method
from jaxcredit.methods.table import register


@dataclasses.dataclass(frozen=True)
class Options:
  """See `jaxcredit.treerpo.advantages`."""

  scale: str = options_lib.option(
    'std',
    'Divide by the standard deviation, or not at all.',
    choices=('std', 'none'),
  )
  ddof: int = options_lib.option(
    1, 'Delta degrees of freedom of deviations.', 0, 1
  )

  __post_init__ = options_lib.check


def nodes(
  shared: jax.Array, sampled: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The tree of a group: a node for each token that a row is the first to have.

  Args:
    shared: int32 [..., G, G], of `prefix_trees.common_prefixes`.
    sampled: bool [..., G, L], tokens of the policy.

  Returns:
    node: int32 [..., G, L], number of each token's node below G * L.
    parents: int32 [..., G, L], node of the sampled token before; -1 for none.
    own: bool [..., G, L], tokens whose node is numbered by their own place.
  """
  *leading, g, size = sampled.shape
  position = jnp.arange(size)
  # The first row that begins alike has the node.
  alike = shared[..., None] > position
  owner = jnp.argmax(alike, axis=-2)
  node = owner * size + position
  before = jnp.where(sampled, position, -1)
  before = jax.lax.cummax(before, axis=before.ndim - 1)
  before = jnp.concatenate(
    [jnp.full((*leading, g, 1), -1), before[..., :-1]], axis=-1
  )
  parents = jnp.where(
    before < 0,
    -1,
    jnp.take_along_axis(node, jnp.maximum(before, 0), axis=-1),
  )
  own = sampled & (owner == jnp.arange(g)[:, None])
  return node, parents, own


def credit(batch: Batch, options: Options) -> Credit:
  """TreeRPO's credit on the tree of a group's rows, with the nodes' values."""
  sampled = arrays.sampled(batch)
  tokens = arrays.by_group(batch.rows.tokens, batch)
  inside = (
    jnp.arange(sampled.shape[-1]) < prefix_trees.row_lengths(sampled)[..., None]
  )
  shared = prefix_trees.common_prefixes(tokens, inside)
  node, parents, own = nodes(shared, sampled)
  flat = (*sampled.shape[:-2], -1)
  result = treerpo.advantages(
    jnp.broadcast_to(arrays.scores(batch)[..., None], sampled.shape).reshape(
      flat
    ),
    parents.reshape(flat),
    own.reshape(flat),
    **dataclasses.asdict(options),
  )

  def of_tokens(x):
    taken = jnp.take_along_axis(x, node.reshape(flat), axis=-1)
    return jnp.where(sampled, taken.reshape(sampled.shape), 0)

  return Credit(
    of_tokens(result.total), parts={'value': of_tokens(result.values)}
  )


register(
  Method(
    name='treerpo',
    label='TreeRPO',
    paper='2506.05183',
    unit='token',
    options=Options,
    credit=credit,
    standardised=True,
  )
)
