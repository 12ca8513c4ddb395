"""Supervised warm start: imitate an expert's actions.

The loss is the mean negative log-likelihood of the expert's tokens (actions and
their stop tokens). What the environment wrote can be learned as well, with a
smaller weight: a policy that starts from nothing learns from it to copy names,
which the few tokens of the actions teach much more slowly.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit import types
from jaxcredit.networks import config as config_lib
from jaxcredit.training import packed_rows


def count_tokens(rows: types.Rows) -> float:
  """Returns the number of tokens that carry the loss."""
  return float((np.asarray(rows.step_of_token) >= 0).sum())


def make_loss(
  config: config_lib.DecoderConfig, *, observation_weight: float = 0.0
):
  """Returns the imitation loss of a decoder, for `learner.Learner`.

  Args:
    config: of the decoder.
    observation_weight: weight of a token that the environment wrote, in
      relation to one of the expert's.

  Its metrics: `accuracy` is the share of tokens that the policy gives a
  probability above one half, a lower bound of greedy accuracy that needs no
  second look at the vocabulary.
  """

  def loss(params, reference, micro_batch, extra, weight):
    del reference, extra
    log_probs, _ = packed_rows.log_probs(params, config, micro_batch)
    rows = packed_rows.one_sequence_a_row(micro_batch)
    mask = rows.step_of_token >= 0
    count = jnp.maximum(mask.sum(), 1)
    read = (rows.step_of_token == -1) & (
      jnp.arange(mask.shape[1]) < rows.length[:, None]
    )
    weights = jnp.where(mask, 1.0, jnp.where(read, observation_weight, 0.0))
    mean = -jnp.sum(weights * log_probs) / count
    imitation = -jnp.sum(jnp.where(mask, log_probs, 0.0)) / count
    likely = jnp.where(mask, log_probs > jnp.log(0.5), False).sum() / count
    return weight * mean, {
      'accuracy': weight * likely,
      'imitation_loss': weight * imitation,
    }

  return loss


def batches_of_epoch(
  count: int, seed: int, epoch: int, batch_size: int
) -> np.ndarray:
  """Rows of each batch of an epoch: a function of seed and epoch.

  Rows are shuffled whatever their length, so that each batch stands for the
  whole: with batches of like length, tasks of unlike length took turns, and the
  policy learned less (docs/results). Padding costs little, since the learner
  cuts a batch by length itself. What does not fill a batch waits for the next
  epoch's shuffle.

  Args:
    count: rows in all.
    seed: of the data order.
    epoch: its number.
    batch_size: rows of a batch.

  Returns:
    int [B, batch_size].
  """
  order = np.random.default_rng([seed, epoch]).permutation(count)
  batches = count // batch_size
  return order[: batches * batch_size].reshape(batches, batch_size)


def select_batch(
  rows: types.Rows, seed: int, step: int, batch_size: int
) -> types.Rows:
  """Returns the rows of one step of the warm start.

  Which rows these are is a function of seed and step, so that a resumed run
  sees the data in the same order.

  Args:
    rows: all rows [N, L], numpy.
    seed: seed of the data order.
    step: index of the step.
    batch_size: rows a step.
  """
  count = rows.tokens.shape[0]
  if not 0 < batch_size <= count:
    raise ValueError(
      f'a batch of {batch_size} rows cannot be drawn from {count}'
    )
  epoch, position = divmod(step, count // batch_size)
  chosen = batches_of_epoch(count, seed, epoch, batch_size)[position]
  return jax.tree.map(lambda x: x[chosen], rows)
