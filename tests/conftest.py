"""Eight simulated devices, and quiet, repeatable property tests."""

import os

# Before jax is imported: the backend reads it once.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
if 'xla_force_host_platform_device_count' not in os.environ.get(
  'XLA_FLAGS', ''
):
  os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '')
    + ' --xla_force_host_platform_device_count=8'
  ).strip()

import hypothesis

hypothesis.settings.register_profile(
  'jaxcredit',
  # The first example compiles; a shared machine is slow at times.
  deadline=None,
  max_examples=25,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile('jaxcredit')
