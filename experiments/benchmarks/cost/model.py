"""What training costs on accelerators: the tables of docs/scaling.md.

  python -m experiments.benchmarks.cost.model            # prints the tables
  python -m experiments.benchmarks.cost.model --write    # puts them in the page
  python -m experiments.benchmarks.cost.model --measure  # times this machine

The formulas are those of cost_formulas, the chips' figures those of chips. What
this machine took, and what the formulas make of the speeds of its products and
copies, is kept in docs/figures/cost_measurements.json until it is measured
anew.
"""

import json
import pathlib
import re
import sys

from absl import app, flags

from experiments.benchmarks.cost import chips as chips_lib
from experiments.benchmarks.cost import formulas as cost_formulas
from experiments.benchmarks.cost import measurement as cost_measurement
from jaxcredit.networks import config as config_lib

_MEASURE = flags.DEFINE_bool('measure', False, 'Time this machine first.')
_REPEATS = flags.DEFINE_integer('repeats', 7, 'Timed calls; the median.', 1)
_WRITE = flags.DEFINE_bool('write', False, 'Put the tables into the page.')

_DOCS = pathlib.Path(__file__).parents[3] / 'docs'
PAGE = _DOCS / 'scaling.md'
MEASUREMENTS = _DOCS / 'figures' / 'cost_measurements.json'
COUNTS = (8, 64, 512, 4096)


def _policy(name, vocabulary, width, layers, heads, kv, hidden, **options):
  config = config_lib.DecoderConfig(
    vocab_size=vocabulary, width=width, layers=layers, heads=heads,
    kv_heads=kv, head_dim=128, hidden=hidden, remat=True,
    compute_dtype='bfloat16', **options,
  )  # fmt: skip
  return name, config


# As their config.json files give them.
POLICIES = dict([
  ('Qwen2.5-1.5B', config_lib.DecoderConfig.qwen2_5_1_5b()),
  _policy(
    'Qwen2.5-7B', 152_064, 3584, 28, 28, 4, 18_944, qkv_bias=True,
    tie_embeddings=False,
  ),
  _policy(
    'Llama-3.1-70B', 128_256, 8192, 80, 64, 8, 28_672, tie_embeddings=False
  ),
  _policy('Qwen3-1.7B', 151_936, 2048, 28, 16, 8, 6144, qk_norm=True),
  _policy('Llama-3.2-3B', 128_256, 3072, 28, 24, 8, 8192),
])  # fmt: skip
SIZES = ('Qwen2.5-1.5B', 'Qwen2.5-7B', 'Llama-3.1-70B')

# Settings of the papers (experiments/flagfiles). Lengths of texts are assumed
# where they are not published: the page says which.
GIGPO = cost_formulas.Workload(
  'GiGPO, ALFWorld', 16, 8, steps=50, prompt=800, answer=200, longest=512,
  rebuilds=True, iterations=150, updates=25, scored=1,
  environment_seconds=1 / 15,
)  # fmt: skip
TEMPO = cost_formulas.Workload(
  'TEMPO, MATH', 512, 7, steps=1, prompt=150, answer=1000, longest=8192,
  rebuilds=False, iterations=220, updates=8,
)  # fmt: skip
SPA = cost_formulas.Workload(
  'SPA, ALFWorld (PPO alone)', 8, 4, steps=30, prompt=60, answer=60,
  longest=512, rebuilds=False, iterations=50, epochs=4, updates=4, critic=True,
  scored=1, environment_seconds=1 / 15,
)  # fmt: skip
RUNS = (
  (GIGPO, 'Qwen2.5-1.5B'),
  (GIGPO, 'Qwen2.5-7B'),
  (TEMPO, 'Qwen3-1.7B'),
  (SPA, 'Llama-3.2-3B'),
)

# arXiv 2505.10978, its Figure on time: an iteration of GiGPO on ALFWorld with
# Qwen2.5-1.5B on two H100, in seconds.
PUBLISHED = {'rollout': 221.97, 'scores': 24.99 + 25.96, 'update': 89.86}


def number(value: float) -> str:
  """Three digits that count, without exponents."""
  if value == 0:
    return '0'
  if abs(value) >= 100:
    return f'{value:,.0f}'
  return f'{value:.3g}'


def markdown(header: list[str], rows: list[list[str]]) -> str:
  """A table whose first column is of words and the others of numbers."""
  lines = [header, ['---'] + ['---:'] * (len(header) - 1), *rows]
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def chip_table() -> str:
  rows = []
  for chip in chips_lib.CHIPS:
    figures = (
      chip.flops / 1e12, chip.memory / 1e9, chip.bandwidth / 1e9,
      chip.link / 1e9, chip.domain, chip.network / 1e9,
    )  # fmt: skip
    price = '-' if chip.price is None else f'{chip.price:.2f}'
    rows.append([chip.name, *map(number, figures), price])
  return markdown(
    [
      'chip', 'bf16 TFLOP/s', 'memory GB', 'memory GB/s', 'links GB/s',
      'chips so joined', 'network GB/s', 'dollars an hour',
    ],
    rows,
  )  # fmt: skip


def policy_table() -> str:
  rows = []
  for name, config in POLICIES.items():
    rows.append([name] + [number(x) for x in (
      cost_formulas.parameters(config) / 1e9,
      cost_formulas.forward_flops(config, 1, 1000) / 1e9,
      cost_formulas.learner_flops(config, 1, 1000) / 1e9,
      cost_formulas.decoding_bytes(config, 0, 0) / 1e9,
      cost_formulas.cache_bytes(config, 1) / 1e3,
      cost_formulas.state_bytes(config) / 1e9,
      cost_formulas.checkpoint_bytes(config) / 1e9,
      cost_formulas.checkpoint_bytes(config, overlap=True) / 1e9,
    )])  # fmt: skip
  return markdown(
    [
      'policy', 'parameters, 10^9', 'forward GFLOP a token',
      'learner GFLOP a token', 'GB read to draw a token', 'cache KB a token',
      'learner state GB', 'checkpoint GB', 'with --overlap GB',
    ],
    rows,
  )  # fmt: skip


def iteration_table(policy: str) -> str:
  """An iteration of GiGPO's settings on all chips and counts."""
  rows = []
  for chip in chips_lib.CHIPS:
    for count in COUNTS:
      found = cost_formulas.best(POLICIES[policy], chip, count, GIGPO)
      if found is None:
        rows.append([chip.name, str(count), 'does not fit', *['-'] * 10])
        continue
      layout, cost = found
      mesh = f'{layout.data} x {layout.fsdp} x {layout.tensor}'
      links = cost.gathering + cost.reduction + cost.tensor
      products = cost_formulas.learner_flops(
        POLICIES[policy], GIGPO.tokens, GIGPO.row_tokens
      )
      rows.append([chip.name, str(count), mesh] + [number(x) for x in (
        cost.prefill + cost.collection, cost.decoding, cost.environment,
        cost.compute, links, cost.optimizer, cost.seconds,
        100 * products / (cost.seconds * count * chip.flops),
        cost.received / 1e9, cost.memory / 1e9,
      )])  # fmt: skip
  return markdown(
    [
      'chip', 'chips', 'data x fsdp x tensor', 'read s', 'draw s',
      'environment s', 'compute s', 'links s', 'optimizer s', 'iteration s',
      'of the peak, %', 'GB received a chip', 'memory GB a chip',
    ],
    rows,
  )  # fmt: skip


def run_table() -> str:
  rows = []
  for work, policy in RUNS:
    for chip in chips_lib.CHIPS:
      cells = [f'{work.name}, {policy}', chip.name]
      found = cost_formulas.best(POLICIES[policy], chip, 8, work)
      if found is None:
        rows.append([*cells, 'does not fit', '-', '-', '-'])
        continue
      hours = work.iterations * found[1].seconds / 3600
      price = '-' if chip.price is None else number(8 * hours * chip.price)
      rows.append(
        [*cells, *map(number, (found[1].seconds, hours, 8 * hours)), price]
      )
  return markdown(
    ['run', '8 chips of', 'iteration s', 'hours', 'chip-hours', 'dollars'],
    rows,
  )


def published_table() -> str:
  """GiGPO's own times beside the prediction for its two H100."""
  config, chip = POLICIES['Qwen2.5-1.5B'], chips_lib.CHIPS[-1]
  layout = cost_formulas.Layout(1, 1, 2)
  cost = cost_formulas.iteration(config, chip, layout, GIGPO)
  peak = 2 * cost_formulas.COMPUTE_SHARE * chip.flops
  pass_seconds = (
    cost_formulas.forward_flops(config, GIGPO.tokens, GIGPO.row_tokens) / peak
  )
  update = (
    cost_formulas.learner_flops(config, GIGPO.tokens, GIGPO.row_tokens) / peak
  )
  predicted = {
    'rollout': cost.rollout, 'scores': 2 * pass_seconds, 'update': update,
  }  # fmt: skip
  words = {
    'rollout': 'rollout',
    'scores': 'log-probabilities, old and of the reference',
    'update': 'update',
  }
  rows = [
    [words[name], number(predicted[name]), number(seconds),
     number(predicted[name] / seconds)]
    for name, seconds in PUBLISHED.items()
  ]  # fmt: skip
  return markdown(
    ['part', 'predicted s', 'published s', 'predicted / published'], rows
  )


def measured_table() -> str:
  """What this machine took beside the predictions."""
  measured = json.loads(MEASUREMENTS.read_text(encoding='utf-8'))
  rows = []
  for record in measured['learner']:
    guess = cost_measurement.predicted_update(record)
    rows.append([f'update, {record["devices"]} devices'] + [number(x) for x in (
      record['flops'] / 1e9, record['bandwidth'] / 1e9, 1000 * guess,
      1000 * record['seconds'], guess / record['seconds'],
    )])  # fmt: skip
  for record in measured['sampler']:
    guess = cost_measurement.predicted_token(record)
    rows.append([f'a token of {record["rows"]} rows'] + [number(x) for x in (
      record['flops'] / 1e9, record['bandwidth'] / 1e9, 1000 * guess,
      1000 * record['seconds'], guess / record['seconds'],
    )])  # fmt: skip
  return markdown(
    [
      f'{measured["cores"]} cores, load {measured["load"]}',
      'product GFLOP/s',
      'copy GB/s',
      'predicted ms',
      'measured ms',
      'predicted / measured',
    ],
    rows,
  )


def tables() -> dict[str, str]:
  """Name -> Markdown."""
  return {
    'chips': chip_table(),
    'policies': policy_table(),
    **{f'iteration {name}': iteration_table(name) for name in SIZES},
    'runs': run_table(),
    'published': published_table(),
    'measured': measured_table(),
  }


def placed(page: str, made: dict[str, str]) -> str:
  """The page with its tables made anew.

  Args:
    page: Markdown, in which `<!-- table: NAME -->` stands above each table.
    made: as `tables` makes them.

  Raises:
    ValueError: a table is in one of the two alone.
  """
  names = re.findall(r'<!-- table: (.*) -->', page)
  if sorted(names) != sorted(made):
    raise ValueError(
      f'the page has the tables {sorted(names)}, and not {sorted(made)}'
    )
  return re.sub(
    r'<!-- table: (.*) -->\n\n(?:\|.*\n)*\n*',
    lambda match: f'{match[0].splitlines()[0]}\n\n{made[match[1]]}\n\n',
    page,
  )


def main(argv):
  del argv
  try:
    if _MEASURE.value:
      measured = cost_measurement.measure(_REPEATS.value)
      MEASUREMENTS.write_text(
        json.dumps(measured, indent=2) + '\n', encoding='utf-8'
      )
    made = tables()
    if _WRITE.value:
      page = PAGE.read_text(encoding='utf-8')
      PAGE.write_text(placed(page, made), encoding='utf-8')
  except (OSError, RuntimeError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  for name, table in made.items():
    print(f'{name}\n\n{table}\n')
  return 0


if __name__ == '__main__':
  app.run(main)
