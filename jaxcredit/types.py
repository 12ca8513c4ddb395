"""The trajectory pytrees.

Dimensions, here and in all of jaxcredit:

  P  groups (tasks) in a batch;
  G  rollouts of one task from one initial state (a *group*);
  S  steps of an episode: an action of the agent and the observation after it;
  N  rows of the learner's batch (a *row* is one token sequence);
  L  tokens of a row;
  K  uint32 words of an anchor: a fingerprint has 64 bits, which are two.
"""

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trajectories:
  """The steps of P groups of G episodes.

  Attributes:
    rewards: float [P, G, S], the environment's reward of every step.
    mask: bool [P, G, S], whether the step was taken. Steps are contiguous
      from index 0.
    anchors: uint32 [P, G, S, K], fingerprint of the state in which the action
      was chosen.
    penalties: float [P, G, S], non-negative, the cost of a completion of wrong
      form, at its own step.
    terminated: bool [P, G], whether the environment ended the episode.
    truncated: bool [P, G], whether a limit ended it (steps, tokens, time).
    grounding: bool [P, G, S], whether the environment could carry out the
      action; None if that was not recorded.
  """

  rewards: jax.Array
  mask: jax.Array
  anchors: jax.Array
  penalties: jax.Array
  terminated: jax.Array
  truncated: jax.Array
  grounding: jax.Array | None = None


# In `Rows.step_of_token`: an action that is not learned, such as a mistake of
# the demonstrator.
NOT_LEARNED = -2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
  """Token sequences of the learner's batch.

  A row holds one step (the prompt is rebuilt each step) or a whole episode
  (observations and actions concatenated).

  Attributes:
    tokens: int32 [N, L], right-padded.
    step_of_token: int32 [N, L], index of the step whose action the token
      belongs to; -1 for prompt, observation and padding; NOT_LEARNED for an
      action that is only context for later ones.
    trajectory: int32 [N], index of the episode in the flattened [P * G]; -1
      for a row that only fills the batch.
    length: int32 [N], number of tokens that are not padding.
    log_probs: float [N, L], log-probability of each sampled token under the
      sampling distribution; 0 elsewhere.
    entropies: float [N, L], the policy's entropy at each sampled token, in
      nats; 0 elsewhere. None if it was not computed.
    weights: float [N, L], weight of each token's loss, if the behaviour policy
      is not the policy before the update; see `losses.importance_weights`.
      None means 1.
    support: int32 [N, L, K], the tokens that top-k, top-p or min-p left for
      each sampled token, padded with -1; all -1 if it was not restricted. None
      if no token was.
  """

  tokens: jax.Array
  step_of_token: jax.Array
  trajectory: jax.Array
  length: jax.Array
  log_probs: jax.Array
  entropies: jax.Array | None = None
  weights: jax.Array | None = None
  support: jax.Array | None = None
