"""Flags of the policies that learn in LaRe's experiments: IPPO and TD3.

A flag that is not given has the default of the policy, which is that of the
released code; one that the task's policy does not know must not be given.
"""

import dataclasses

from absl import flags

from jaxcredit.agents import ippo, reward_sources, td3
from jaxcredit.environments import functional

# Name of the flag, kind, least value, what it is; named as in the options.
_OPTIONS = (
  ('episodes', int, 1, 'IPPO: episodes of an iteration.'),
  ('decay', bool, None, 'IPPO: let learning rate and clip range fall to 0.'),
  ('clip', float, 0, 'IPPO: clip range.'),
  ('gae_lambda', float, 0, 'IPPO: of advantages.'),
  ('entropy_coefficient', float, 0, 'IPPO: weight of the entropy bonus.'),
  ('value_coefficient', float, 0, "IPPO: weight of the critic's loss."),
  ('huber', float, 0, "IPPO: where the critic's loss turns linear."),
  ('epochs', int, 1, 'IPPO: passes over the batch.'),
  ('minibatch', int, 1, 'IPPO: steps of an optimizer step.'),
  ('clip_norm', float, 0, "IPPO: bound on the gradient's norm."),
  ('normalise_values', bool, None, 'IPPO: learn returns in unit deviation.'),
  ('buffer', int, 1, 'IPPO: episodes that rewards are learned from.'),
  ('learning_rate', float, 0, 'Of the policy.'),
  ('discount', float, 0, 'Of rewards.'),
  ('hidden', int, 1, "Width of the policy's networks."),
  ('environments', int, 1, 'TD3: environments side by side.'),
  ('block', int, 1, 'TD3: steps of each environment between updates.'),
  ('updates', int, 1, 'TD3: updates of the critics after a block.'),
  ('blocks', int, 1, 'TD3: blocks of an iteration.'),
  ('rounds', int, 2, 'TD3: episodes that are kept of each environment.'),
  ('random_steps', int, 0, 'TD3: steps with random actions at first.'),
  ('batch', int, 1, 'TD3: transitions of an update.'),
  ('follow', float, 0, 'TD3: how far targets go in an update.'),
  ('noise', float, 0, 'TD3: deviation of the noise of exploration.'),
  ('target_noise', float, 0, 'TD3: of the noise of target actions.'),
  ('target_clip', float, 0, 'TD3: bound on that.'),
  ('delay', int, 1, 'TD3: critic updates for one of the actor.'),
)  # fmt: skip

_DEFINE = {
  int: flags.DEFINE_integer,
  float: flags.DEFINE_float,
  bool: flags.DEFINE_bool,
}
_FLAGS = {
  name: _DEFINE[kind](
    name, None, words, **({} if low is None else {'lower_bound': low})
  )
  for name, kind, low, words in _OPTIONS
}


def _given(kind: type) -> dict[str, object]:
  """Options that were given.

  Raises:
    ValueError: one of them does not belong to this policy.
  """
  given = {n: f.value for n, f in _FLAGS.items() if f.value is not None}
  known = {field.name for field in dataclasses.fields(kind)}
  if unknown := sorted(given.keys() - known):
    names = ', '.join(f'--{name}' for name in unknown)
    raise ValueError(f'{names}: not an option of the policy of this task')
  return given


def learner(
  environment: functional.Environment,
  source: reward_sources.Source,
  iterations: int,
) -> ippo.Ippo | td3.Td3:
  """IPPO for discrete actions, TD3 for others, as the flags say."""
  if environment.discrete:
    options = ippo.Options(iterations=iterations, **_given(ippo.Options))
    return ippo.Ippo(environment, source, options)
  options = td3.Options(**_given(td3.Options))
  return td3.Td3(environment, source, options)
