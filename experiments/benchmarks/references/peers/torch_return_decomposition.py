"""Times the update of return decomposition in PyTorch, run eagerly.

Runs in an environment of its own (`pip install torch`), and imports nothing of
ours:

  python -m experiments.benchmarks.speed.lare_speed \
      --torch_python=env/bin/python

calls it. The update is written as the released code has it: a batch of padded
episodes, the network evaluated on all of their steps, K of them kept, one step
of Adam. The last line of output is the time of each update, by the clock and of
the processor, in milliseconds.
"""

import argparse
import json
import time

import torch


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--inputs', type=int, required=True)
  parser.add_argument('--steps', type=int, required=True)
  parser.add_argument('--episodes', type=int, required=True)
  parser.add_argument('--sampled', type=int, required=True)
  parser.add_argument('--updates', type=int, required=True)
  parser.add_argument('--threads', type=int, required=True)
  args = parser.parse_args()
  torch.set_num_threads(args.threads)
  torch.manual_seed(0)
  network = torch.nn.Sequential(
    torch.nn.Linear(args.inputs, 256),
    torch.nn.ReLU(),
    torch.nn.Linear(256, 256),
    torch.nn.ReLU(),
    torch.nn.Linear(256, 1),
  )
  optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
  features = torch.randn(args.episodes, args.steps, args.inputs)
  returns = torch.randn(args.episodes)
  share = (1 - args.sampled / args.steps) / args.sampled
  times = []
  for _ in range(args.updates + 3):
    start = time.perf_counter(), time.process_time()
    indices = torch.stack(
      [torch.randperm(args.steps)[: args.sampled] for _ in range(args.episodes)]
    )
    rewards = network(features).squeeze(-1)
    sampled = torch.gather(rewards, 1, indices)
    error = sampled.mean(dim=1) - returns / args.steps
    loss = (error**2 - share * sampled.var(dim=1)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    loss.item()
    now = time.perf_counter(), time.process_time()
    times.append([1e3 * (b - a) for a, b in zip(start, now, strict=True)])
  print(json.dumps(times[3:]))


if __name__ == '__main__':
  main()
