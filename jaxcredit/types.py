"""The trajectory pytrees.

Dimensions, here and in all of jaxcredit:

  P  groups (tasks) in a batch;
  G  rollouts of one task from one initial state (a *group*);
  S  steps of an episode: one action of the agent and what was answered;
  N  rows of the learner's batch (a *row* is one token sequence);
  L  tokens of a row;
  K  words of an anchor: fingerprints are 64 bits, held as two uint32.
"""

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trajectories:
  """What P groups of G episodes did, step by step.

  Attributes:
    rewards: float [P, G, S], the environment's reward of every step.
    mask: bool [P, G, S], whether the step was taken. Steps are contiguous
      from index 0.
    anchors: uint32 [P, G, S, K], fingerprint of the state in which the action
      was chosen.
    penalties: float [P, G, S], non-negative, what an action of wrong format
      costs its own step.
    terminated: bool [P, G], whether the environment ended the episode.
    truncated: bool [P, G], whether a limit ended it (steps, tokens, time).
    grounding: bool [P, G, S], whether the environment could carry the action
      out; None where that was not recorded.
  """

  rewards: jax.Array
  mask: jax.Array
  anchors: jax.Array
  penalties: jax.Array
  terminated: jax.Array
  truncated: jax.Array
  grounding: jax.Array | None = None


# Of `Rows.step_of_token`: an action that is not learned here, such as a
# demonstrator's slip.
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
      action that is only there to be gone on from.
    trajectory: int32 [N], index of the episode in the flattened [P * G]; -1
      for a row that only fills the batch.
    length: int32 [N], number of tokens that are not padding.
    log_probs: float [N, L], the sampler's log-probability of each token that
      it drew; 0 elsewhere.
    entropies: float [N, L], the policy's entropy where it drew each token, in
      nats; 0 elsewhere. None where nobody asked for it.
    weights: float [N, L], of each token's loss, where another policy than the
      one before the update drew it; see `losses.importance_weights`. None for
      1.
    support: int32 [N, L, K], the tokens among which top-k, top-p or min-p let
      each token be sampled, -1 where there are fewer; all -1: among all. None:
      no token's sampling was restricted.
  """

  tokens: jax.Array
  step_of_token: jax.Array
  trajectory: jax.Array
  length: jax.Array
  log_probs: jax.Array
  entropies: jax.Array | None = None
  weights: jax.Array | None = None
  support: jax.Array | None = None
