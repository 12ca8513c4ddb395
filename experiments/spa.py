"""Trains a language model with stepwise progress attribution: SPA and others.

  python -m experiments.spa --flagfile=experiments/flagfiles/spa/quick.cfg
  python -m experiments.spa --run=runs/mine --method=ppo --seed=1 ...

SPA has four stages, each of which goes on where it was left when the same
command is given again: a supervised warm start; rollouts of many tasks, which
are written to RUN/rollouts; a progress estimator that learns from them what
each step contributed to the outcome; and PPO with what it says of fresh
rollouts, and with whether the environment could carry the actions out. Other
methods do not explore. report.html shows how well the estimator is calibrated.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

from absl import flags

from experiments.text import script

flags.adopt_module_key_flags(script)
script.begin_with(method='spa', domain='household')


def main(argv):
  return script.main(argv, __name__)


if __name__ == '__main__':
  script.start(
    main,
    (
      'progress_weight',
      'grounding_weight',
      'exploration_tasks',
      'exploration_rollouts',
      'estimator_steps',
      'kl_reward',
    ),
  )
