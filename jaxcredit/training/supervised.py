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
  lengths: np.ndarray, seed: int, epoch: int, batch_size: int
) -> np.ndarray:
  """Rows of each batch of an epoch: a function of seed and epoch.

  Rows of like length share a batch, so that little of it is padding: rows are
  shuffled, sorted by length within stretches of 16 batches, and cut; the
  batches come in random order. What does not fill a batch waits for the next
  epoch's shuffle.

  Returns:
    int [B, batch_size].
  """
  rng = np.random.default_rng([seed, epoch])
  order = rng.permutation(len(lengths))
  stretch = 16 * batch_size
  order = np.concatenate(
    [
      part[np.argsort(lengths[part], kind='stable')]
      for part in (
        order[i : i + stretch] for i in range(0, len(order), stretch)
      )
    ]
  )
  count = len(order) // batch_size
  batches = order[: count * batch_size].reshape(count, batch_size)
  return batches[rng.permutation(count)]


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
  chosen = batches_of_epoch(rows.length, seed, epoch, batch_size)[position]
  return jax.tree.map(lambda x: x[chosen], rows)
