"""Writes the files of experiments without text, for the tests of reports."""

import json
import pathlib

# The smallest PNG: one pixel.
PNG = bytes.fromhex(
  '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489'
  '0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082'
)


def folder(path: pathlib.Path, config: dict, files: dict) -> pathlib.Path:
  path.mkdir(parents=True, exist_ok=True)
  (path / 'config.json').write_text(json.dumps(config))
  for name, content in files.items():
    data = content.encode() if isinstance(content, str) else content
    (path / name).write_bytes(data)
  return path


def lare(path, curves, *, seed=(0, 1), method=('lare',), **files):
  """A folder of LaRe; curves: (method, seed) -> values of the evaluation."""
  rows = ['method,seed,iteration,name,value']
  rows += [
    f'{method_},{seed_},{10 * (i + 1)},evaluation,{value}'
    for (method_, seed_), values in curves.items()
    for i, value in enumerate(values)
  ]
  config = {
    'task': 'spread', 'decoder_hidden': None, 'seed': list(seed),
    'method': list(method), 'iterations': 20,
  }  # fmt: skip
  return folder(path, config, {'curves.csv': '\n'.join(rows) + '\n', **files})


def dynlin(path, **files):
  """A folder of DynLin-UCB with two algorithms."""
  parts = ('mean', 'standard_error', 'standard_deviation')
  header = ['panel', 'algorithm', 'round', 'runs']
  header += [f'{k}_regret_{p}' for k in ('offline', 'reward') for p in parts]
  rows = [','.join(header)]
  for name, slope in (('dynlin_log', 1), ('lin_log', 3)):
    for now in (100, 200):
      numbers = [slope * now, slope, 0, 2 * slope * now, slope, 0]
      rows.append(','.join(map(str, ['synthetic', name, now, 4, *numbers])))
  config = {'study': 'comparison', 'seed': 0, 'seeds': 4}
  return folder(path, config, {'curves.csv': '\n'.join(rows) + '\n', **files})


def scaling(path):
  """A folder of the study of scaling: regret grows tenfold a horizon."""
  rows = ['rho,horizon,system,offline_regret']
  rows += [
    f'{rho},{horizon},{system},{regret * 10**system}'
    for rho in (0.2, 0.5)
    for horizon, regret in ((100, 1), (1000, 10))
    for system in range(3)
  ]
  config = {'study': 'scaling', 'seed': 0}
  return folder(path, config, {'scaling.csv': '\n'.join(rows) + '\n'})
