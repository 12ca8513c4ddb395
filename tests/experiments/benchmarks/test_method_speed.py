"""The benchmark of methods, in its smallest form."""

import jax
import numpy as np
import pytest

from jaxcredit import methods
from tests.experiments import imported_script

MODULE = 'experiments.benchmarks.speed.method_speed'


@pytest.mark.parametrize('name', ['tempo', 'gigpo', 'spa'])
def test_it_measures(name):
  with imported_script.imported(MODULE) as speed:
    found = speed.measure(name, 2, 3, 16, 2, 1)
  assert list(found) == ['credit alone', 'credit, parts and metrics']
  assert all(seconds > 0 for seconds in found.values())
  assert 0.01 < speed.peak_memory() < 1000


def test_every_method_gets_a_batch_that_suffices():
  with imported_script.imported(MODULE) as speed:
    for method in methods.TABLE.values():
      options = method.options()
      batch = speed.method_batch.batch(method, options, 2, 3, 16, 2)
      assert method.missing(batch, options) == ''
      shapes = jax.eval_shape(lambda b, m=method, o=options: m.credit(b, o),
                              batch)  # fmt: skip
      assert shapes.total.shape[:2] == (2, 3)
      # Steps without tokens were not taken.
      if batch.rows is not None:
        last = batch.rows.step_of_token.max(axis=1).reshape(2, 3)
        np.testing.assert_array_equal(
          batch.trajectories.mask.sum(axis=-1), last + 1
        )
