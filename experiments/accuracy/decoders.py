"""Rewards of steps that methods learn from earlier episodes, as tables.

Each maps the episodes to rewards of the earlier and of the present steps. They
are what `methods.Batch.predictions` holds, and a critic is learned of the
earlier ones.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from experiments.accuracy import tables
from jaxcredit import ircr, lare, spa

# What RRD draws of each episode.
_DRAWS, _DRAWN_STEPS = 16, 6

Decoder = Callable[[tables.Played], tuple[jax.Array, jax.Array]]


def progress(played: tables.Played, **options) -> tuple[jax.Array, jax.Array]:
  """SPA's contributions; their loss is that of return decomposition."""

  def loss(contributions):
    return spa.progress_loss(
      contributions, played.earlier.scores, played.earlier.mask, **options
    )

  return tables.tabular_rewards(played, loss)


def prefix_progress(played: tables.Played) -> tuple[jax.Array, jax.Array]:
  """SPA's contributions, whose sums up to each step are to predict too."""
  return progress(played, prefix_weight=1.0)


def randomised(played: tables.Played) -> tuple[jax.Array, jax.Array]:
  """RRD's rewards, its loss as the paper has it, with the draws' variance."""
  keys = jax.random.split(played.key, _DRAWS)
  samples = jax.vmap(
    lambda key: lare.sample_steps(key, played.earlier.mask, _DRAWN_STEPS)
  )(keys)

  def loss(rewards):
    def one(sample):
      taken = lare.take_steps(rewards[..., None], sample.indices, sample.mask)
      return lare.subsampled_loss(
        taken[..., 0], played.earlier.scores, sample.lengths, sample.mask,
        form="mean", unbiased=False,
      )  # fmt: skip

    return jax.vmap(one)(samples).mean()

  return tables.tabular_rewards(played, loss)


def latent(played: tables.Played) -> tuple[jax.Array, jax.Array]:
  """LaRe's rewards, linear in the factors of the task."""
  earlier, now = played.earlier, played.now

  def loss(weights):
    return lare.decomposition_loss(
      earlier.factors @ weights, earlier.scores, earlier.mask
    )

  weights = tables.minimum(loss, now.factors.shape[-1])
  return earlier.factors @ weights, now.factors @ weights


def guidance(played: tables.Played) -> tuple[jax.Array, jax.Array]:
  """IRCR's rewards: the mean guidance of the episodes with state and action."""
  earlier = played.earlier
  flat = earlier.mask.reshape(-1, earlier.mask.shape[-1])
  rewards = ircr.guidance_rewards(earlier.scores.reshape(-1), flat)
  return tables.learned_means(
    rewards.reshape(earlier.mask.shape), played, with_actions=True
  )


def environment(played: tables.Played) -> tuple[jax.Array, jax.Array]:
  """The rewards of the environment."""
  zeros = jnp.zeros_like(played.now.rewards)
  return played.earlier.rewards, zeros + played.now.rewards


# What meets a need of a method, where a variant names no other.
OF_NEEDS: Mapping[str, Decoder] = {
  'contributions': progress,
  'step_rewards': latent,
}
