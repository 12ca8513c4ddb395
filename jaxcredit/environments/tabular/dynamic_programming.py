"""Exact values of a policy by dynamic programming (Sutton & Barto, ch. 4).

  q_t(s, a) = sum_b p_b (r_b + v_{t+1}(s_b)),   v_t(s) = sum_a pi(a|s) q_t(s, a)

with v = 0 at ends and at the horizon: what an action is worth depends on the
time that is left. The advantage is q_t(s, a) - v_t(s).
"""

import jax
import jax.numpy as jnp

from jaxcredit.environments.tabular import decision_process


def _backup(process, later):
  """What each action is worth, [N, A], if states are worth `later` [N]."""
  worth = process.rewards + later[process.successors]
  value = (process.probabilities * worth).sum(axis=-1)
  return jnp.where(process.ended[:, None], 0, value)


@jax.jit
def values(
  process: decision_process.DecisionProcess, policy: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Values under a policy, undiscounted.

  Args:
    process: the task.
    policy: float [N, A], probability of each action in each state.

  Returns:
    q float [T, N, A] and v float [T + 1, N], at each time before the horizon T.
  """

  def back(later, _):
    q = _backup(process, later)
    v = (policy * q).sum(axis=-1)
    return v, (q, v)

  last = jnp.zeros(process.states)
  _, (q, v) = jax.lax.scan(back, last, length=process.horizon, reverse=True)
  return q, jnp.concatenate([v, last[None]])


@jax.jit
def optimal_actions(
  process: decision_process.DecisionProcess, discount: float = 0.95
) -> jax.Array:
  """int [N], an action in each state that is best without a horizon.

  A discount makes the shortest way the best. Of actions that are equally good
  it is the first.
  """

  def back(_, later):
    q = jnp.where(process.admissible, _backup(process, discount * later), -1e9)
    return jnp.where(process.ended, 0, q.max(axis=-1))

  best = jax.lax.fori_loop(
    0, 2 * process.states, back, jnp.zeros(process.states)
  )
  q = _backup(process, discount * best)
  # Sums in another order differ by rounding, and are no preference.
  q = jnp.where(process.admissible, jnp.round(q, 5), -jnp.inf)
  return jnp.argmax(q, axis=-1)


def softmax_policy(
  process: decision_process.DecisionProcess,
  key: jax.Array,
  *,
  competence: float = 1.0,
  roughness: float = 0.5,
) -> jax.Array:
  """A policy between a random one and an expert.

  Softmax of `competence` for the best action of each state plus normal noise.

  Args:
    process: the task.
    key: random key of the noise, consumed.
    competence: how much better the best action is liked.
    roughness: standard deviation of the noise.

  Returns:
    float [N, A]; 0 for actions that there are not.
  """
  best = jax.nn.one_hot(optimal_actions(process), process.action_size)
  noise = jax.random.normal(key, process.admissible.shape)
  logits = competence * best + roughness * noise
  # Where nothing is admissible (filled-up states) nothing is ever done.
  there = process.admissible | ~process.admissible.any(axis=-1, keepdims=True)
  return jax.nn.softmax(jnp.where(there, logits, -jnp.inf), axis=-1)
