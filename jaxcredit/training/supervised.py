"""Supervised warm start: imitate an expert's actions.

The loss is the mean negative log-likelihood of the expert's tokens (actions and
their stop tokens); what the environment wrote is read but not learned.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcredit import types
from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder


def count_tokens(rows: types.Rows) -> float:
  """Returns the number of tokens that carry the loss."""
  return float((np.asarray(rows.step_of_token) >= 0).sum())


def make_loss(config: config_lib.DecoderConfig):
  """Returns the imitation loss of a decoder, for `learner.Learner`.

  Its metrics: `accuracy` is the share of tokens that the policy gives a
  probability above one half, a lower bound of greedy accuracy that needs no
  second look at the vocabulary.
  """

  def loss(params, reference, rows: types.Rows, extra, weight):
    del reference, extra
    log_probs, _ = decoder.log_probs(params, config, rows.tokens, rows.length)
    mask = rows.step_of_token >= 0
    count = jnp.maximum(mask.sum(), 1)
    mean = -jnp.sum(jnp.where(mask, log_probs, 0.0)) / count
    likely = jnp.where(mask, log_probs > jnp.log(0.5), False).sum() / count
    return weight * mean, {'accuracy': weight * likely}

  return loss


def batch_order(seed: int, epoch: int, count: int) -> np.ndarray:
  """Order of the rows in an epoch: a function of seed and epoch alone."""
  return np.random.default_rng([seed, epoch]).permutation(count)


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
  per_epoch = count // batch_size
  epoch, position = divmod(step, per_epoch)
  order = batch_order(seed, epoch, count)
  chosen = order[position * batch_size : (position + 1) * batch_size]
  return jax.tree.map(lambda x: x[chosen], rows)
