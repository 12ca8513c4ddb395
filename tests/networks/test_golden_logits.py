"""Logits of every family are those that transformers computed."""

import numpy as np
import pytest

pytest.importorskip('safetensors', reason='an extra')
from jaxcredit.networks import decoder, weights
from tests.networks import tiny_models


@pytest.mark.parametrize('name', tiny_models.NAMES)
def test_logits_are_those_of_transformers(tmp_path, name):
  params, config = weights.from_pretrained(
    tiny_models.write(tmp_path, name), compute_dtype='float32', remat=False
  )
  model = tiny_models.golden()[name]
  a, b = model['sequences']
  for_a, for_b = (np.array(logits) for logits in model['logits'])
  # Spread enough that 1e-4 means something.
  assert for_a.std() > 0.5

  def logits(tokens, **options):
    hidden = decoder.hidden_states(
      params, config, np.array(tokens, np.int32), **options
    )
    return np.asarray(decoder.logits(params, config, hidden))

  def pad(row, left, width=16):
    return [0] * left + row + [0] * (width - left - len(row))

  plain = logits([pad(a, 0), pad(b, 0)])
  np.testing.assert_allclose(plain[0, : len(a)], for_a, atol=1e-4)
  np.testing.assert_allclose(plain[1, : len(b)], for_b, atol=1e-4)

  ones, twos = [1] * len(a), [2] * len(b)
  rows = logits(
    [pad(a, 16 - len(a)), pad(b, 16 - len(b)), pad(a + b, 1)],
    segment_ids=np.array(
      [pad(ones, 16 - len(a)), pad(twos, 16 - len(b)), pad(ones + twos, 1)]
    ),
  )
  np.testing.assert_allclose(rows[0, -len(a) :], for_a, atol=1e-4)
  np.testing.assert_allclose(rows[1, -len(b) :], for_b, atol=1e-4)
  np.testing.assert_allclose(rows[2, 1 : 1 + len(a)], for_a, atol=1e-4)
  np.testing.assert_allclose(
    rows[2, 1 + len(a) : 1 + len(a) + len(b)], for_b, atol=1e-4
  )
