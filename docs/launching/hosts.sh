#!/bin/sh
# Plain processes on two hosts. The same script is started on both, with the
# host's number:
#
#   sh docs/launching/hosts.sh 0    (on the first, here 10.0.0.1)
#   sh docs/launching/hosts.sh 1    (on the second)
#
# The first host has to be reachable at this port; on CPUs, hosts talk at
# further ports that the system chooses. The run's folder lies on a file system
# that both see under the same path.
set -eu

python -m experiments.gigpo \
  --flagfile=experiments/flagfiles/gigpo/quick.cfg \
  --run=/shared/runs/two_hosts \
  --processes=2 \
  --process="$1" \
  --coordinator=10.0.0.1:9000
