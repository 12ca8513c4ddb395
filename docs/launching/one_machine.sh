#!/bin/sh
# Two processes on one machine, each with half of the groups.
# With GPUs: --devices_each=1 gives the first GPU to the first process, and so
# on.
set -eu

python -m experiments.tools.launch --processes=2 -- \
  experiments.gigpo \
  --flagfile=experiments/flagfiles/gigpo/quick.cfg \
  --run=runs/two_processes
