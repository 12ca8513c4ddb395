"""Trains a language model with stepwise progress attribution: SPA and others.

  python -m experiments.spa --flagfile=experiments/flagfiles/spa/quick.cfg
  python -m experiments.spa --run=runs/mine --method=ppo --seed=1 ...

SPA has four stages: a supervised warm start; rollouts of many tasks, written to
RUN/rollouts; the fit of a progress estimator, which learns from them what each
step contributed to the outcome; and PPO. Its rewards are the estimated
contributions and a bonus for actions that the environment could carry out. The
same command resumes a stopped run at its stage. Other methods do not explore.
report.html shows the calibration of the estimator.

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
