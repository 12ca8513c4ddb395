#!/bin/sh
# The same TPU slice by xpk, which writes the JobSet itself. /shared is a volume
# that all hosts can write, attached to the cluster before: xpk storage attach.
set -eu

xpk workload create \
  --cluster="$CLUSTER" \
  --workload=gigpo \
  --tpu-type=v5litepod-16 \
  --num-slices=1 \
  --docker-image="$IMAGE" \
  --max-restarts=10 \
  --command='python -u -m experiments.gigpo
    --processes=auto
    --flagfile=experiments/flagfiles/gigpo/alfworld_qwen2_5_1_5b.cfg
    --pretrained=/shared/models/Qwen2.5-1.5B-Instruct
    --games=/shared/alfworld/json_2.1.1/train
    --evaluate_on=/shared/alfworld/json_2.1.1/valid_unseen
    --mesh_fsdp=4
    --run=/shared/runs/gigpo_alfworld'
