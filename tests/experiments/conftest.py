"""A run that nobody disturbs, which several files compare others with."""

import pytest

from tests.experiments import small_run


@pytest.fixture(scope='session')
def uninterrupted(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'uninterrupted'
  small_run.complete(folder, '--profile=2')
  return folder
