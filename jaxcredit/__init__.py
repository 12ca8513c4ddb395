"""Credit assignment for agents whose reward comes late, in JAX."""
