"""Robots simulated by MuJoCo on the host, through Gymnasium (extra `control`).

  robots = GymnasiumRobots('HalfCheetah-v5', count=8)
  observation = robots.reset(seed=0)
  observation, reward, terminated = robots.step(actions)
  observation = robots.restart(ended, observation)

The tasks of LaRe in version 5, several side by side. Actions in [-1, 1] become
those of the robot (humanoids take -0.4 to 0.4). The time limit is the caller's:
`horizon` steps, after which an episode is cut but has not terminated.
"""

from collections.abc import Sequence

import numpy as np

HORIZONS = {
  'Reacher-v5': 50,
  'HalfCheetah-v5': 1000,
  'Walker2d-v5': 1000,
  'HumanoidStandup-v5': 1000,
}


class GymnasiumRobots:
  """A task, E times.

  Args:
    name: of a task of MuJoCo that Gymnasium knows.
    count: E.
    horizon: steps of an episode; None for the usual.

  Raises:
    ValueError: a horizon is not known, or actions are not bounded.
    ModuleNotFoundError: the extra control is not installed.
  """

  agents = 1
  discrete = False
  end_counts = False

  def __init__(self, name: str, count: int, horizon: int | None = None):
    try:
      import gymnasium
    except ModuleNotFoundError as error:
      raise ModuleNotFoundError(
        f'{error.name} is not installed; robots need the extra control: '
        "pip install 'jaxcredit[control]'",
        name=error.name,
      ) from None
    if horizon is None and name not in HORIZONS:
      raise ValueError(
        f'no horizon is known for {name}: give one, or take one of '
        f'{tuple(HORIZONS)}'
      )
    self.name = name
    self.horizon = horizon or HORIZONS[name]
    # Their own time limit is taken off: `max_episode_steps` -1 means none.
    self._robots = [
      gymnasium.make(name, max_episode_steps=-1) for _ in range(count)
    ]
    space = self._robots[0].action_space
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
      raise ValueError(f'{name}: actions without bounds')
    self._low, self._high = space.low, space.high
    self._seed = 0
    # Times that each began anew since `reset`.
    self._begun = np.zeros(count, np.uint32)
    self.observation_size = self._robots[0].observation_space.shape[0]
    self.action_size = space.shape[0]

  def reset(self, seed: int) -> np.ndarray:
    """Begins anew everywhere: float32 [E, O]; robot i gets seed + i."""
    self._seed = seed
    self._begun[:] = 0
    seen = [r.reset(seed=seed + i)[0] for i, r in enumerate(self._robots)]
    return np.asarray(seen, np.float32)

  def restart(self, ended: Sequence[bool], seen: np.ndarray) -> np.ndarray:
    """Begins anew where episodes ended; other rows of `seen` stay.

    How an episode begins is a function of the seed, the robot and the number
    of its episodes before.
    """
    seen = np.array(seen)
    for i, over in enumerate(ended):
      if over:
        self._begun[i] += 1
        origin = np.random.SeedSequence([self._seed, i, int(self._begun[i])])
        seed = int(origin.generate_state(1)[0])
        seen[i] = self._robots[i].reset(seed=seed)[0]
    return seen

  def state(self) -> dict[str, np.ndarray]:
    """What `go_on` needs: physics, uint32 [E, n], and begun, uint32 [E].

    Physics are MuJoCo's state of double precision, as pairs of words.
    """
    import mujoco

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    physics = []
    for robot in self._robots:
      inner = robot.unwrapped
      state = np.empty(mujoco.mj_stateSize(inner.model, kind))
      mujoco.mj_getState(inner.model, inner.data, state, kind)
      physics.append(state.view(np.uint32))
    return {'physics': np.stack(physics), 'begun': self._begun.copy()}

  def go_on(self, seed: int, state: dict[str, np.ndarray]) -> None:
    """Puts robots where `state` was taken, after `reset(seed)`."""
    import mujoco

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    self._seed = seed
    self._begun = np.array(state['begun'], np.uint32)
    for robot, words in zip(self._robots, state['physics'], strict=True):
      # Without a reset, Gymnasium refuses steps.
      robot.reset()
      inner = robot.unwrapped
      physics = np.ascontiguousarray(words, np.uint32).view(np.float64)
      mujoco.mj_setState(inner.model, inner.data, physics, kind)

  def step(
    self, action: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A step of each robot.

    Args:
      action: float [E, A] in [-1, 1].

    Returns:
      Observations float32 [E, O], rewards float32 [E], terminated bool [E].
    """
    share = (np.asarray(action, np.float64) + 1) / 2
    actions = self._low + share * (self._high - self._low)
    results = [r.step(a) for r, a in zip(self._robots, actions, strict=True)]
    seen, reward, terminated, *_ = zip(*results, strict=True)
    return (
      np.asarray(seen, np.float32),
      np.asarray(reward, np.float32),
      np.asarray(terminated, bool),
    )

  def close(self) -> None:
    """Frees the simulators."""
    for robot in self._robots:
      robot.close()
