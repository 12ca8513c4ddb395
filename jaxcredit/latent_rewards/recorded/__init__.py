"""Latent reward functions recorded for this library, as JSON."""
