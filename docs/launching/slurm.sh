#!/bin/bash
#SBATCH --job-name=gigpo
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
# One process a GPU: 16 groups over 16 processes. Five minutes before the time
# is over SLURM sends SIGTERM: the run saves, ends, and goes on from there when
# the same job is submitted again. srun starts the processes; no mpirun.
set -euo pipefail

srun --kill-on-bad-exit=1 python -u -m experiments.gigpo \
  --processes=auto \
  --flagfile=experiments/flagfiles/gigpo/alfworld_qwen2_5_1_5b.cfg \
  --pretrained="$SCRATCH/models/Qwen2.5-1.5B-Instruct" \
  --games="$ALFWORLD_DATA/json_2.1.1/train" \
  --evaluate_on="$ALFWORLD_DATA/json_2.1.1/valid_unseen" \
  --run="$SCRATCH/runs/gigpo_alfworld"
