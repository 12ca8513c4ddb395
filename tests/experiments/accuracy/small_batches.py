"""Batches of a small task, for the tests of credit accuracy."""

import dataclasses

import jax
import pytest

from experiments.accuracy import batches as credit_batches
from experiments.accuracy import settings as credit_settings

SETTING = credit_settings.Setting('key_door', 4, 8, 0, 1, 0.0)
# Some episodes win, earlier ones too.
POLICY = credit_settings.Policy(2.0, 0.5)


@pytest.fixture(scope='module')
def drawn():
  """A batch of three resamples, filled up to five rollouts and ten steps."""
  sizes = credit_settings.sizes_of([SETTING], 3, 3, 4)
  sizes = dataclasses.replace(sizes, group_size=5, steps=10, states=25)
  source = credit_batches.Source(SETTING, sizes, POLICY, 0)
  return source, *source.batches(0)


def at(tree, r):
  return jax.tree.map(lambda x: x[r], tree)
