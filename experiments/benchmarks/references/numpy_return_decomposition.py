"""Return decomposition in plain NumPy, with gradients written out.

The baseline of the benchmark and the reference of the tests. As in the released
code, the network is evaluated on all steps of all episodes, and K of them are
kept afterwards. Adam's L2 penalty is coupled: it is part of the gradient.
"""

import numpy as np


class ReturnDecomposition:
  """A network of linear layers with ReLU between them, and its Adam.

  Args:
    layers: (kernel [inputs, outputs], bias [outputs]) of each.
    learning_rate: of Adam.
    l2: weight of the penalty.
  """

  def __init__(self, layers, learning_rate, l2=0.0):
    self.weights = [np.array(w) for layer in layers for w in layer]
    self.first = [np.zeros_like(w) for w in self.weights]
    self.second = [np.zeros_like(w) for w in self.weights]
    self.learning_rate, self.l2, self.steps = learning_rate, l2, 0

  def forward(self, x):
    """Rewards [R] of rows [R, d], and what enters each layer."""
    entering = []
    for i in range(0, len(self.weights), 2):
      x = np.maximum(x, 0) if i else x
      entering.append(x)
      x = x @ self.weights[i] + self.weights[i + 1]
    return x[:, 0], entering

  def backward(self, entering, slope):
    """Gradients of all weights, given those of the rewards [R]."""
    slope = slope[:, None]
    gradients = []
    for i in reversed(range(len(entering))):
      gradients += [slope.sum(axis=0), entering[i].T @ slope]
      if i:
        slope = (slope @ self.weights[2 * i].T) * (entering[i] > 0)
    return gradients[::-1]

  def adam(self, gradients):
    """One step, with the usual constants."""
    self.steps += 1
    fix1, fix2 = 1 - 0.9**self.steps, 1 - 0.999**self.steps
    for i, gradient in enumerate(gradients):
      gradient = gradient + self.l2 * self.weights[i]
      self.first[i] += 0.1 * (gradient - self.first[i])
      self.second[i] += 0.001 * (gradient * gradient - self.second[i])
      self.weights[i] -= (
        self.learning_rate
        * (self.first[i] / fix1)
        / (np.sqrt(self.second[i] / fix2) + 1e-8)
      )

  def update(self, features, returns, lengths, indices, unbiased=True):
    """One update; returns the loss before it.

    Args:
      features: [B, T, d].
      returns: [B], of episodes.
      lengths: int [B].
      indices: int [B, K], different steps of each; K <= lengths.
      unbiased: whether the variance of the sample's mean is taken off.
    """
    batch, size, _ = features.shape
    rewards, entering = self.forward(features.reshape(batch * size, -1))
    sampled = np.take_along_axis(rewards.reshape(batch, size), indices, axis=1)
    count = indices.shape[1]
    mean = sampled.mean(axis=1)
    error = mean - returns / lengths
    loss = error**2
    slope = np.repeat(2 * error[:, None] / count, count, axis=1)
    if unbiased:
      share = (1 - count / lengths) / count / (count - 1)
      residual = sampled - mean[:, None]
      loss = loss - share * (residual**2).sum(axis=1)
      slope -= 2 * share[:, None] * residual
    slopes = np.zeros((batch, size), rewards.dtype)
    np.put_along_axis(slopes, indices, slope / batch, axis=1)
    self.adam(self.backward(entering, slopes.reshape(-1)))
    return loss.mean()
