"""Linear bandits in plain NumPy, round by round: slow, and independent.

The tests compare the compiled algorithms with these, action by action, and
`bandit_speed` compares their speed. Everything follows the paper's formulas and
the description of its script: float64, V and b updated by outer products, V
inverted when it is needed.

An agent has `told`, `act(draw)`, which returns the index of an arm, and
`learn(y)`.
"""

import cmath
import math

import numpy as np


class Told:
  """What an agent is told of a system, derived here once more."""

  def __init__(self, A, B, omega, theta, arms, sigma, rho=None, phi=None):
    self.arms = np.asarray(arms, float)
    self.sigma = sigma
    radius = np.abs(np.linalg.eigvals(A)).max()
    self.rho = radius if rho is None else rho
    if phi is None:
      powers = [np.eye(len(A))]
      for _ in range(999):
        powers.append(powers[-1] @ A / radius)
      phi = max(np.linalg.norm(power, 2) for power in powers)
    self.phi = phi
    self.theta = np.linalg.norm(theta)
    self.omega = np.linalg.norm(omega)
    self.b = np.linalg.norm(B, 2)
    self.u = max(np.linalg.norm(u) for u in self.arms)

  def state_bound(self, kind):
    if kind == 'released':
      return self.u / (1 - self.rho)
    return self.phi * self.b * self.u / (1 - self.rho)

  def bias(self, kind):
    steady = self.u * self.b / (1 - self.rho)
    return self.u * self.omega * self.phi * (steady + self.state_bound(kind))

  def parameter(self):
    return self.theta + self.omega * self.b * self.phi / (1 - self.rho)

  def noise(self):
    return self.sigma**2 * (1 + self.omega**2 * self.phi**2 / (1 - self.rho**2))

  def reward(self):
    return (self.theta + self.omega * self.b / (1 - self.rho)) * self.u


class _Ridge:
  """V, b and the arm with the largest upper confidence bound."""

  def __init__(self, told, ridge):
    self.told, self.ridge = told, ridge
    self.d = told.arms.shape[1]
    self.V = ridge * np.eye(self.d)
    self.b = np.zeros(self.d)

  def learn(self, arm, y):
    u = self.told.arms[arm]
    self.V = self.V + np.outer(u, u)
    self.b = self.b + u * y

  def best(self, beta):
    inverse = np.linalg.inv(self.V)
    estimate = inverse @ self.b
    values = [
      estimate @ u + beta * math.sqrt(u @ inverse @ u) for u in self.told.arms
    ]
    return int(np.argmax(values))


class DynLinUcb:
  """Held actions; `start` 'released' has one round more at first."""

  def __init__(
    self, told, horizon, ridge=None, delta=None, start='paper',
    state_bound='derived', radius='closed',
  ):  # fmt: skip
    self.told = told
    self.ridge = math.log(horizon) if ridge is None else ridge
    self.delta = 1 / horizon if delta is None else delta
    self.regression = _Ridge(told, self.ridge)
    self.radius = radius
    self.start = start
    self.bias = told.bias(state_bound)
    self.t = 0
    self.epoch = 0
    self.left = 0

  def beta(self):
    told, lam, t = self.told, self.ridge, self.t
    d = self.regression.d
    if self.radius == 'determinant':
      volume = np.linalg.slogdet(self.regression.V / lam)[1]
    else:
      volume = d * math.log(1 + t * told.u**2 / (d * lam))
    return (
      self.bias / math.sqrt(lam) * math.log(math.e * (t + 1))
      + told.parameter() * math.sqrt(lam)
      + math.sqrt(2 * told.noise() * (math.log(1 / self.delta) + volume / 2))
    )

  def act(self, draw):
    if self.left == 0:
      self.epoch += 1
      held = 0
      if self.told.rho > 0:
        ratio = math.log(self.epoch) / math.log(1 / self.told.rho)
        held = math.floor(ratio + 1e-9)
      self.left = 1 + held
      if self.start == 'released' and self.t == 0:
        self.arm = int(draw * len(self.told.arms))
        self.left += self.told.rho > 0
      else:
        self.arm = self.regression.best(self.beta())
    return self.arm

  def learn(self, y):
    self.left -= 1
    if self.left == 0:
      self.regression.learn(self.arm, y)
    self.t += 1


class LinUcb:
  """Each reward counts, or the mean or last of each batch."""

  def __init__(
    self, told, horizon, form='filtered', ridge=None, budget=None, batch=1,
    batch_reward='mean', random_start=False,
  ):  # fmt: skip
    if ridge is None:
      ridge = math.log(horizon) if form == 'filtered' else 1.0
    self.told, self.horizon, self.form, self.ridge = told, horizon, form, ridge
    self.budget = told.u if budget is None else budget
    self.batch, self.batch_reward = batch, batch_reward
    self.random_start = random_start
    self.regression = _Ridge(told, ridge)
    self.rewards = []
    self.t = 0

  def beta(self):
    d, lam, told = self.regression.d, self.ridge, self.told
    if self.form == 'horizon':
      return told.theta * math.sqrt(lam) + math.sqrt(
        2 * math.log(self.horizon)
        + d * math.log((d * lam + self.horizon * self.budget**2) / (d * lam))
      )
    volume = d / 2 * math.log(1 + self.t * told.u**2 / (d * lam))
    return told.parameter() * math.sqrt(lam) + math.sqrt(
      2 * told.noise() * (math.log(self.horizon) + volume)
    )

  def act(self, draw):
    if self.t == 0 and self.random_start:
      self.arm = int(draw * len(self.told.arms))
    elif self.t % self.batch == 0:
      self.arm = self.regression.best(self.beta())
    return self.arm

  def learn(self, y):
    self.rewards.append(y)
    self.t += 1
    if self.t % self.batch == 0:
      mean = sum(self.rewards) / self.batch
      self.regression.learn(
        self.arm, mean if self.batch_reward == 'mean' else y
      )
      self.rewards = []


class DLinUcb:
  """The discount in the radius alone, or true discounting."""

  def __init__(
    self, told, horizon, form='radius', ridge=None, gamma=None, budget=None,
    random_start=False,
  ):  # fmt: skip
    radius = form == 'radius'
    self.told, self.horizon, self.form = told, horizon, form
    self.ridge = (math.log(horizon) if radius else 1.0) if not ridge else ridge
    self.gamma = (1 - (1e-6 if radius else 1e-9)) if gamma is None else gamma
    self.budget = told.u if budget is None else budget
    self.random_start = random_start
    self.d = told.arms.shape[1]
    self.V = self.ridge * np.eye(self.d)
    self.W = self.ridge * np.eye(self.d)
    self.b = np.zeros(self.d)
    self.t = 0

  def act(self, draw):
    told, g, t, d, lam = self.told, self.gamma, self.t, self.d, self.ridge
    if t == 0 and self.random_start:
      self.arm = int(draw * len(told.arms))
      return self.arm
    inverse = np.linalg.inv(self.V)
    weight = (1 - g ** (2 * t)) / (1 - g**2)
    if self.form == 'radius':
      spread = t * told.u**2 / (d * lam) * weight
      beta = told.parameter() * math.sqrt(lam) + math.sqrt(
        2
        * told.noise()
        * (math.log(self.horizon) + d / 2 * math.log(1 + spread))
      )
      middle = inverse
    else:
      lam = lam * g**-t
      spread = self.budget**2 * weight / (d * lam)
      beta = told.theta * math.sqrt(lam) + told.sigma * math.sqrt(
        2 * math.log(self.horizon) + d * math.log(1 + spread)
      )
      middle = inverse @ self.W @ inverse
    estimate = inverse @ self.b
    values = [
      estimate @ u + beta * math.sqrt(u @ middle @ u) for u in told.arms
    ]
    self.arm = int(np.argmax(values))
    return self.arm

  def learn(self, y):
    u = self.told.arms[self.arm]
    g = self.gamma if self.form == 'discounted' else 1.0
    grown = self.ridge * g**-self.t
    eye = np.eye(self.d)
    self.V = g * self.V + np.outer(u, u) + (1 - g) * grown * eye
    self.W = g**2 * self.W + np.outer(u, u) + (1 - g**2) * grown * eye
    self.b = g * self.b + u * y
    self.t += 1


class Exp3:
  """Exp3; with `batch` Exp3-k, credit aligned or as released."""

  def __init__(
    self, told, horizon, batch=1, credit='aligned', batch_reward='mean'
  ):
    k = len(told.arms)
    self.told, self.k, self.batch, self.credit = told, k, batch, credit
    self.batch_reward = batch_reward
    self.gamma = min(
      1.0,
      math.sqrt(k * math.log(k) / ((math.e - 1) * 2 * (horizon / batch) / 3)),
    )
    self.eta = self.gamma / k
    self.bound = told.reward()
    self.G = np.zeros(k)
    self.p = np.full(k, 1 / k)
    self.sum = 0.0
    self.t = 0

  def act(self, draw):
    if self.t % self.batch == 0:
      cumulative = np.cumsum(self.p / self.p.sum())
      self.arm = int(np.searchsorted(cumulative[:-1], draw, side='right'))
    return self.arm

  def learn(self, y):
    self.sum += y
    if self.credit == 'aligned':
      due = self.t % self.batch == self.batch - 1
    else:
      due = self.t >= 1 and (self.t - 1) % self.batch == 0
    if due:
      y = self.sum / self.batch if self.batch_reward == 'mean' else self.sum
      scaled = (y + 2 * self.bound) / (4 * self.bound)
      self.G[self.arm] += scaled / self.p[self.arm]
      weights = np.exp(self.eta * self.G)
      self.p = (1 - self.gamma) * weights / weights.sum() + self.gamma / self.k
      self.sum = 0.0
    self.t += 1


class Ar2:
  """AR2; triggered arms are kept, or released by a pull."""

  def __init__(self, told, horizon, triggered='kept', eigenvalue=None):
    del horizon
    self.told, self.k = told, len(told.arms)
    k = self.k
    self.alpha, self.sigma = told.rho, told.sigma
    if eigenvalue is not None:
      self.alpha = complex(eigenvalue)
    epoch = k * self.alpha**-3 * self.sigma**-3
    self.epoch = math.ceil(epoch.real)
    self.c1 = 24 * cmath.sqrt(
      4 * cmath.log(1 / (self.alpha * self.sigma))
      + 4 * math.log(self.epoch)
      + 2 * math.log(4 * k)
    )
    self.kept = triggered == 'kept'
    self.start = 0
    self.round = 1
    self.estimates = np.full(k, np.inf)
    self.pulled = np.zeros(k, int)
    self.triggered = {}
    self.pulls = []

  def act(self, draw):
    t, a = self.round, self.alpha
    if t - self.start <= self.k:
      arm = self.k - (t - self.start)
    else:
      last, before = self.pulls[-1], self.pulls[-2]
      better = self.estimates[last] >= self.estimates[before]
      superior = last if better else before
      for i in range(self.k):
        width = (a**2 - a ** (2 * (t - self.pulled[i] + 1))) / (1 - a**2)
        behind = self.estimates[superior] - self.estimates[i]
        if i != superior and i not in self.triggered:
          if behind <= (self.c1 * self.sigma * cmath.sqrt(width)).real:
            self.triggered[i] = t
      arm = superior
      if self.triggered and t % 2 == 1:
        first = min(self.triggered.values())
        candidates = sorted(
          i for i, when in self.triggered.items() if when == first
        )
        arm = candidates[int(draw * len(candidates))]
      if not self.kept:
        self.triggered.pop(arm, None)
    self.pulls = [*self.pulls[-1:], arm]
    return arm

  def learn(self, y):
    arm, t, a = self.pulls[-1], self.round, self.alpha
    self.pulled[arm] = t
    if t - self.start < self.k:
      self.estimates[arm] = (a ** (self.k - 1)).real * y
    else:
      self.estimates = a.real * self.estimates
      self.estimates[arm] = a.real * y
      if t % self.epoch == 0:
        self.start += self.epoch
        if not self.kept:
          self.triggered = {}
    self.round += 1


def simulate(
  agent, A, B, omega, theta, noise, state_noise, reward_noise, draws
):
  """Plays an agent against a system that starts in 0.

  Args:
    agent: see above.
    A, B, omega, theta: the system.
    noise: standard normal [T, 1 + n], of the reward and then of the state.
    state_noise, reward_noise: standard deviations.
    draws: uniform [T].

  Returns:
    Arms [T] and rewards [T].
  """
  arms = agent.told.arms
  x = np.zeros(len(A))
  played, rewards = [], []
  for now, draw in zip(noise, draws, strict=True):
    arm = agent.act(draw)
    u = arms[arm]
    y = omega @ x + theta @ u + reward_noise * now[0]
    x = A @ x + B @ u + state_noise * now[1:]
    agent.learn(y)
    played.append(arm)
    rewards.append(y)
  return np.array(played), np.array(rewards)
