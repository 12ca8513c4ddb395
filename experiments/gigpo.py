"""Trains a language model on text environments with group-relative credit.

  python -m experiments.gigpo --flagfile=experiments/flagfiles/gigpo/quick.cfg
  python -m experiments.gigpo --run=runs/mine --method=grpo --seed=1

The same command resumes a stopped run. --domain chooses the household of
ALFWorld, VirtualHome, a shop or questions. Tasks are generated unless a file is
given. --method takes any method of the table. A run writes a table of success
by task type, curves, and report.html, which shows episodes with the credit of
each step.

Exit status: 0 complete, 1 an error, 130 stopped by Ctrl-C, 143 by SIGTERM; the
last two save what is done.
"""

from absl import flags

from experiments.text import script

flags.adopt_module_key_flags(script)
script.begin_with(method='gigpo', domain='household')


def main(argv):
  return script.main(argv, __name__)


if __name__ == '__main__':
  script.start(main, ('discount', 'step_weight', 'episode_statistics', 'scale'))
