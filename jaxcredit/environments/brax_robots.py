"""Robots simulated by brax, as functional environments (extra `control`).

  environment = BraxRobot('halfcheetah')
  state, observation = environment.reset(key)

The tasks of LaRe that brax has: reacher (50 steps), halfcheetah, walker2d and
humanoidstandup (1000). Observations have the layout of Gymnasium's version 5,
for which latent rewards are written; humanoidstandup's alone is brax's own, and
shorter. Physics differ: returns of brax and of MuJoCo cannot be compared.
"""

import dataclasses

import jax
import jax.numpy as jnp

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
    return jax.eval_shape(self.reset, jax.random.key(0))[1].shape[-1]

  @property
  def action_size(self) -> int:
    return self.robot.action_size

  def _observe(self, state) -> jax.Array:
    """float [1, O]."""
    seen = state.obs
    if self.name == 'reacher':
      # brax has the fingertip's velocity in place of those of the joints, and
      # a third coordinate, which is always 0.
      joints = state.pipeline_state.qd[:2]
      seen = jnp.concatenate([seen[:6], joints, seen[8:10]])
    return seen[None]

  def reset(self, key: jax.Array):
    """brax's state, and the observation [1, O]."""
    state = self.robot.reset(key)
    return state, self._observe(state)

  def step(self, state, action: jax.Array) -> functional.Transition:
    """A step with actions [1, A]."""
    state = self.robot.step(state, action[0])
    return functional.Transition(
      state, self._observe(state), state.reward[None], state.done > 0.5
    )
