"""Robots simulated by brax, as functional environments (extra `control`).

  environment = BraxRobot('halfcheetah')
  state, observation = environment.reset(key)

The tasks of LaRe that brax has: reacher (50 steps), halfcheetah, walker2d and
humanoidstandup (1000). Observations are near to those of Gymnasium's version 5,
but not the same: reacher's, for one, has the velocity of the fingertip in place
of those of the joints, and a third coordinate at its end.
"""

import dataclasses

import jax

from jaxcredit.environments import functional

HORIZONS = {
  'reacher': 50,
  'halfcheetah': 1000,
  'walker2d': 1000,
  'humanoidstandup': 1000,
}
BACKENDS = ('spring', 'positional', 'generalized', 'mjx')


@dataclasses.dataclass(frozen=True, eq=False)
class BraxRobot:
  """A task.

  Attributes:
    name: one of HORIZONS.
    backend: one of BACKENDS; 'spring' is the fastest and the coarsest.
    horizon: steps of an episode; None for the usual.
  """

  name: str
  backend: str = 'spring'
  horizon: int | None = None

  agents = 1
  discrete = False
  # The time limit only cuts what would go on.
  end_counts = False

  def __post_init__(self):
    if self.name not in HORIZONS or self.backend not in BACKENDS:
      raise ValueError(
        f'name must be one of {tuple(HORIZONS)} and backend one of {BACKENDS}, '
        f'not {self.name!r} and {self.backend!r}'
      )
    try:
      from brax import envs
    except ModuleNotFoundError as error:
      raise ModuleNotFoundError(
        f'{error.name} is not installed; robots need the extra control: '
        "pip install 'jaxcredit[control]'",
        name=error.name,
      ) from None
    robot = envs.get_environment(self.name, backend=self.backend)
    object.__setattr__(self, 'robot', robot)
    if self.horizon is None:
      object.__setattr__(self, 'horizon', HORIZONS[self.name])

  @property
  def observation_size(self) -> int:
    state = jax.eval_shape(self.robot.reset, jax.random.key(0))
    return state.obs.shape[-1]

  @property
  def action_size(self) -> int:
    return self.robot.action_size

  def reset(self, key: jax.Array):
    """brax's state, and the observation [1, O]."""
    state = self.robot.reset(key)
    return state, state.obs[None]

  def step(self, state, action: jax.Array) -> functional.Transition:
    """A step with actions [1, A]."""
    state = self.robot.step(state, action[0])
    return functional.Transition(
      state, state.obs[None], state.reward[None], state.done > 0.5
    )
