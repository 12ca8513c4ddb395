"""Credit that is not finite is traced to its episode."""

import numpy as np
import pytest

from jaxcredit.rollouts import episodes as episodes_lib
from jaxcredit.training import finite_credit


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_the_first_is_named(value):
  episodes = [
    episodes_lib.Episode(task=f'task {g}', group=g, rollout=r)
    for g in range(2)
    for r in range(2)
  ]
  credit = np.zeros((4, 3), np.float32)
  assert finite_credit.where_not_finite(credit, episodes, 'step') == ''
  credit[2, 1] = credit[3, 0] = credit[3, 1] = value
  words = finite_credit.where_not_finite(credit, episodes, 'step')
  assert 'the credit of 2 of 4 episodes is not finite' in words
  assert "first at step 2 of rollout 1 of task 2, 'task 1'" in words
