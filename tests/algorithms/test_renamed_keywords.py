"""Keywords of the version before work for one more, with a warning."""

import functools
import warnings

import jax
import numpy as np
import pytest

from tests.algorithms import contract_table, test_contracts, test_docstrings

RENAMED = {
  name: function.renamed
  for name, function in test_docstrings.FUNCTIONS.items()
  if hasattr(function, 'renamed')
}
EXPECTED = {
  'grpo.advantages': {'scores': 'returns'},
  'rloo.advantages': {'scores': 'returns'},
  'hepo.advantages': {'scores': 'returns'},
  'tempo.advantages': {'rewards': 'returns'},
  'spa.progress_loss': {'outcome': 'returns'},
  'spa.progress_loss_parts': {'outcome': 'returns'},
  'spa.redistribute': {'outcome': 'returns', 'mode': 'redistribution'},
  'lare.decomposition_loss': {'episode_return': 'returns'},
  'lare.subsampled_loss': {'episode_return': 'returns'},
  'lare.redistributed_rewards': {'episode_return': 'returns'},
  'ircr.uniform_rewards': {'episode_return': 'returns'},
  'ircr.return_bounds': {'episode_return': 'returns'},
  'ircr.guidance_rewards': {'episode_return': 'returns'},
  'ppo.token_advantages': {'across': 'gae_positions'},
  'step_tokens.place': {'weight': 'placement'},
}
# Rows whose function has the arguments of one without a row.
LENT = {
  'spa.progress_loss': 'spa_progress_loss',
  'ircr.return_bounds': 'ircr',
}


def row_of(name):
  function = test_docstrings.FUNCTIONS[name]
  for row in contract_table.TABLE:
    if row.name == LENT.get(name) or row.function is function:
      return row
  raise AssertionError(f'no row has arguments for {name}')


def without(arguments, name):
  return {key: value for key, value in arguments.items() if key != name}


def test_every_renamed_function_is_known():
  assert RENAMED == EXPECTED


@pytest.mark.parametrize('name', sorted(EXPECTED))
def test_old_keyword_means_the_new_argument(name):
  function = test_docstrings.FUNCTIONS[name]
  given = test_contracts.calls(row_of(name))
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    expected = function(**given)
  for old, new in EXPECTED[name].items():
    renamed = {old if key == new else key: x for key, x in given.items()}
    message = f'{old} is called {new}'
    with pytest.warns(DeprecationWarning, match=message) as record:
      result = function(**renamed)
    assert record[0].filename == __file__  # the caller's line
    jax.tree.map(np.testing.assert_array_equal, result, expected)
    if hasattr(given[new], 'shape'):
      call = jax.jit(functools.partial(function, **without(renamed, old)))
      with pytest.warns(DeprecationWarning, match=message):
        traced = call(**{old: given[new]})
      jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        traced,
        expected,
      )
    with pytest.raises(ValueError, match=f'{old} and {new} are one argument'):
      function(**given, **{old: given[new]})
