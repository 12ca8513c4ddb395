"""Latent reward functions (LaRe) that a language model writes.

  program, report = verification.verify(source, task.parameters, recorded)
  latent = interpreter.encode(program, observation, action)  # [..., d]

See docs/latent_rewards.md for what a function may say, and what keeps it from
doing anything else.
"""
