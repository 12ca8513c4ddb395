"""Says at the end how far the decoder was from transformers."""

import numpy as np
import pytest

_DIFFERENCES = pytest.StashKey[dict[str, dict[str, float]]]()


@pytest.fixture
def agree(request):
  """agree(model, what, ours, theirs, atol=1e-4) checks, and keeps the most."""
  stash = request.config.stash

  def check(model, what, ours, theirs, *, atol=1e-4):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.size
    most = float(np.abs(ours - theirs).max())
    kept = stash.setdefault(_DIFFERENCES, {}).setdefault(model, {})
    kept[what] = np.fmax(most, kept.get(what, 0))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol, err_msg=what)

  return check


def pytest_terminal_summary(terminalreporter, config):
  differences = config.stash.get(_DIFFERENCES, {})
  if not differences:
    return
  columns = list(
    dict.fromkeys(what for row in differences.values() for what in row)
  )
  width = max(map(len, differences))
  terminalreporter.section('largest differences from transformers')
  terminalreporter.line(' ' * width + ''.join(f'  {c:>13}' for c in columns))
  for model, row in differences.items():
    cells = (f'{row[c]:.1e}' if c in row else '-' for c in columns)
    terminalreporter.line(
      f'{model:{width}}' + ''.join(f'  {cell:>13}' for cell in cells)
    )
