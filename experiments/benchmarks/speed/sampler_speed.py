"""Times the sampler: plain decoding, and an agent's episodes.

  python -m experiments.benchmarks.speed.sampler_speed

Two loads, of a Qwen3 of 4 layers with random float32 weights (flags change it):

* decoding: a batch of prompts, a fixed number of new tokens;
* the agent's: groups of rollouts that share a prompt and take turns, each an
  observation and an action. Once with the cache kept, shared prompts and
  continuous batching; once as a sampler does that is called once a turn and
  reads the whole history again. Both must draw the same tokens. The tokens
  that count are those of actions: the learner trains on them.

The roofline stands beside each number: the floating-point operations and the
bytes that the load needs at least, and the seconds they would take at the rates
at which this machine multiplies large matrices and copies large arrays.

  --peer_python=tunix=PYTHON   (or hf=..., plain=...; may be repeated)

times a peer with that Python and prints the ratio: in decoding by the script
--peer_script, with episodes by peers/tunix_agent.py (tunix alone). Ours is
timed before and after. Run it on a quiet machine; where it is not quiet, look
at ratios alone.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxcredit.networks import config as config_lib
from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import engine as engine_lib
from jaxcredit.networks.sampling import sampler

_LOADS = flags.DEFINE_multi_enum(
  'load', ['decoding', 'agent'], ['decoding', 'agent'], 'What to time.'
)
_LAYERS = flags.DEFINE_integer('layers', 4, 'Layers.', 1)
_WIDTH = flags.DEFINE_integer('width', 256, 'Width.', 1)
_HIDDEN = flags.DEFINE_integer('hidden', 1024, 'Gated unit.', 1)
_HEADS = flags.DEFINE_integer('heads', 4, 'Query heads.', 1)
_KV_HEADS = flags.DEFINE_integer('kv_heads', 2, 'Key/value heads.', 1)
_HEAD_DIM = flags.DEFINE_integer('head_dim', 64, 'Size of a head.', 2)
_VOCABULARY = flags.DEFINE_integer('vocabulary', 512, 'Tokens.', 2)
_DTYPE = flags.DEFINE_string('dtype', 'float32', 'Of weights and activations.')
_BATCH = flags.DEFINE_integer('batch', 16, 'Decoding: prompts.', 1)
_PROMPT = flags.DEFINE_integer('prompt', 64, 'Decoding: tokens of a prompt.', 2)
_NEW = flags.DEFINE_integer('new', 64, 'Decoding: new tokens.', 2)
_REPEATS = flags.DEFINE_integer('repeats', 7, 'Decoding: timed calls.', 1)
_GROUPS = flags.DEFINE_integer('groups', 8, 'Agent: groups.', 1)
_ROLLOUTS = flags.DEFINE_integer('rollouts', 8, 'Agent: rollouts a group.', 1)
_TURNS = flags.DEFINE_integer('turns', 20, 'Agent: turns of an episode.', 1)
_TASK = flags.DEFINE_integer('task', 200, 'Agent: tokens of the prompt.', 1)
_OBSERVATION = flags.DEFINE_integer(
  'observation', 30, 'Agent: tokens of an observation.', 1
)
_ACTION = flags.DEFINE_integer('action', 8, 'Agent: tokens of an action.', 1)
_SLOTS = flags.DEFINE_integer(
  'slots', 0, 'Agent: rows of the cache; 0: one for each episode.', 0
)
_BASELINE = flags.DEFINE_bool(
  'baseline', True, 'Agent: whether histories are read again each turn, too.'
)
_PEER_SCRIPT = flags.DEFINE_string(
  'peer_script', '../shared/tools/peer_bench.py', 'Times peers.'
)
_PEERS = flags.DEFINE_multi_string(
  'peer_python', [], 'NAME=PYTHON: times the peer (tunix, hf or plain) too.'
)


@dataclasses.dataclass(frozen=True)
class Need:
  """What a load needs at least.

  Attributes:
    operations: floating-point multiplications and additions.
    bytes: of weights and of keys and values, read and written.
  """

  operations: float = 0.0
  bytes: float = 0.0

  def __add__(self, other: 'Need') -> 'Need':
    return Need(self.operations + other.operations, self.bytes + other.bytes)

  def seconds(self, machine: 'Need') -> float:
    return max(self.operations / machine.operations, self.bytes / machine.bytes)


def machine(weights: int) -> Need:
  """Operations and bytes a second that plain JAX reaches here.

  Args:
    weights: bytes of the weights: small ones stay in a CPU's cache, so that
      bytes are timed with an array of this size.
  """
  square = jnp.ones((2048, 2048), jnp.dtype(_DTYPE.value))
  large = jnp.ones((weights // 4,), jnp.float32)
  multiply, add = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
  return Need(
    2 * 2048**3 / best_seconds(lambda: multiply(square, square), 5),
    2 * large.nbytes / best_seconds(lambda: add(large), 20),
  )


def seconds_of(call: Callable, repeats: int) -> list[float]:
  """Times of calls, compiled by a first one."""
  jax.block_until_ready(call())
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(call())
    times.append(time.perf_counter() - start)
  return times


def best_seconds(call: Callable, repeats: int) -> float:
  return min(seconds_of(call, repeats))


def reading(config, rows: int, first: int, last: int, passes: int) -> Need:
  """The need of tokens at positions first to last of some rows.

  Args:
    config: of the decoder.
    rows: that read them.
    first: position of the first token.
    last: position behind the last token.
    passes: times that the weights, and what the rows hold, are read.
  """
  c = config
  size = jnp.dtype(c.compute_dtype).itemsize
  heads = c.head_dim * (2 * c.heads + 2 * c.kv_heads)
  weights = c.layers * c.width * (heads + 3 * c.hidden)
  tokens = rows * (last - first)
  seen = rows * (last - first) * (first + last) / 2
  held = 2 * c.layers * c.kv_heads * c.head_dim
  return Need(
    2 * weights * tokens + 4 * c.layers * c.heads * c.head_dim * seen,
    size * passes * (weights + held * rows * (first + last) / 2),
  )


def drawing(config, rows: int, first: int, count: int) -> Need:
  """The need of `count` tokens drawn one by one behind `first` tokens."""
  c = config
  head = c.width * c.vocab_size
  size = jnp.dtype(c.compute_dtype).itemsize
  return reading(c, rows, first, first + count, count) + Need(
    2 * head * rows * count, size * head * count
  )


def show(name: str, tokens: int, seconds: float, bound: float) -> None:
  print(
    f'{name:<34}{tokens / seconds:10,.0f} tokens/s{seconds:10.3f} s'
    f'{bound / seconds:8.0%} of the roofline',
    flush=True,
  )


def build() -> tuple[config_lib.DecoderConfig, dict]:
  """A decoder with random weights."""
  config = config_lib.DecoderConfig(
    vocab_size=_VOCABULARY.value, width=_WIDTH.value, layers=_LAYERS.value,
    heads=_HEADS.value, kv_heads=_KV_HEADS.value, head_dim=_HEAD_DIM.value,
    hidden=_HIDDEN.value, rope_base=1e6, qk_norm=True,
    compute_dtype=_DTYPE.value,
  )  # fmt: skip
  params = jax.jit(decoder.init, static_argnums=1)(jax.random.key(0), config)
  params = jax.tree.map(lambda x: x.astype(_DTYPE.value), params)
  return config, sampler.decoding_params(params)


def decoding(config, params, rates: Need) -> float:
  """Times one call that answers a batch; returns tokens a second."""
  rng = np.random.default_rng(0)
  batch, prompt, new = _BATCH.value, _PROMPT.value, _NEW.value
  tokens = rng.integers(2, config.vocab_size, (batch, prompt)).astype(np.int32)
  count = np.full((batch,), prompt, np.int32)
  keys = jax.random.split(jax.random.key(1), batch)

  def answer(new_tokens):
    cache = sampler.init_cache(config, batch, prompt + new)
    turn = sampler.sample_turn(
      params, config, cache, keys, tokens, count, max_new_tokens=new_tokens,
      stop_tokens=(),
    )  # fmt: skip
    return turn.tokens, turn.log_probs

  whole = float(np.median(seconds_of(lambda: answer(new), _REPEATS.value)))
  one = float(np.median(seconds_of(lambda: answer(1), _REPEATS.value)))
  print(f'\ndecoding: {batch} prompts of {prompt} tokens, {new} new tokens')
  need = reading(config, batch, 0, prompt, 1)
  more = drawing(config, batch, prompt, new)
  bound = need.seconds(rates) + more.seconds(rates)
  show('prompts and new tokens', batch * new, whole, bound)
  rest = drawing(config, batch, prompt + 1, new - 1)
  show(
    'new tokens but the first',
    batch * (new - 1),
    whole - one,
    rest.seconds(rates),
  )
  print(
    f'  a step needs {rest.operations / (new - 1) / 1e6:.0f} million '
    f'operations and {rest.bytes / (new - 1) / 1e6:.1f} MB, and takes '
    f'{1e3 * (whole - one) / (new - 1):.2f} ms'
  )
  return batch * new / whole


def _run_peer(name: str, command: list[str]) -> dict | None:
  """What a peer's script writes to its file; None, and why, where it fails."""
  with tempfile.TemporaryDirectory() as folder:
    out = os.path.join(folder, 'out.json')
    done = subprocess.run(
      [*command, f'--out={out}'], capture_output=True, text=True, check=False
    )
    if done.returncode:
      print(f'{name} failed:\n{done.stderr[-2000:]}')
      return None
    with open(out, encoding='utf-8') as file:
      return json.load(file)


def decoding_peer(name: str, python: str) -> float | None:
  """Tokens a second of a peer on the load of `decoding`."""
  result = _run_peer(
    name,
    [
      python, _PEER_SCRIPT.value, f'--which={name}', f'--batch={_BATCH.value}',
      f'--prompt_len={_PROMPT.value}', f'--new_tokens={_NEW.value}',
      f'--repeats={_REPEATS.value}',
    ],
  )  # fmt: skip
  return result and result['decode']['tokens_per_s']


def agent_peer(python: str) -> float | None:
  """Tokens a second of tunix on the load of `agent`."""
  sizes = {
    'layers': _LAYERS, 'width': _WIDTH, 'hidden': _HIDDEN, 'heads': _HEADS,
    'kv_heads': _KV_HEADS, 'head_dim': _HEAD_DIM, 'vocabulary': _VOCABULARY,
    'groups': _GROUPS, 'rollouts': _ROLLOUTS, 'turns': _TURNS, 'task': _TASK,
    'observation': _OBSERVATION, 'action': _ACTION,
  }  # fmt: skip
  here = pathlib.Path(__file__).parent
  script = here.parent / 'references' / 'peers' / 'tunix_agent.py'
  result = _run_peer(
    'tunix',
    [
      python, str(script), '--repeats=2',
      *(f'--{name}={flag.value}' for name, flag in sizes.items()),
    ],
  )  # fmt: skip
  return result and result['tokens_per_s']


def make_engine(config, params, **options) -> engine_lib.Engine:
  row = _TASK.value + _TURNS.value * (_OBSERVATION.value + _ACTION.value)
  episodes = _GROUPS.value * _ROLLOUTS.value
  return engine_lib.Engine(
    params,
    config,
    slots=min(_SLOTS.value or episodes, episodes),
    row_tokens=row,
    new_tokens=_ACTION.value,
    capacities=range(128, row, 128),
    **options,
  )


def play(engine, *, keep: bool) -> tuple[list[list[int]], float]:
  """Plays all episodes.

  Args:
    engine: that answers.
    keep: whether an episode keeps its place between turns, or is submitted as
      a new row each time.

  Returns:
    The tokens of each episode, and the seconds.
  """
  rng = np.random.default_rng(0)
  groups, rollouts, turns = _GROUPS.value, _ROLLOUTS.value, _TURNS.value
  count = groups * rollouts
  prompts = rng.integers(2, _VOCABULARY.value, (groups, _TASK.value)).tolist()
  observations = rng.integers(
    2, _VOCABULARY.value, (turns, count, _OBSERVATION.value)
  ).tolist()
  data = np.asarray(
    jax.random.key_data(jax.random.split(jax.random.key(2), (turns, count)))
  )
  rows = [prompts[i // rollouts] + observations[0][i] for i in range(count)]
  turn_of = [0] * count

  def submit(episodes):
    engine.submit(
      episodes,
      [rows[i] for i in episodes],
      jax.random.wrap_key_data(
        np.stack([data[turn_of[i], i] for i in episodes])
      ),
    )

  start = time.perf_counter()
  submit(list(range(count)))
  while engine.answering:
    due = []
    for answer in engine.step():
      i = answer.name
      rows[i] = rows[i] + answer.tokens
      turn_of[i] += 1
      over = turn_of[i] == turns
      if over or not keep:
        engine.release(i)
      if not over:
        rows[i] = rows[i] + observations[turn_of[i]][i]
        due.append(i)
    if due:
      submit(due)
  return rows, time.perf_counter() - start


def agent(config, params, rates: Need) -> float:
  """Times episodes with and without a cache that is kept.

  Returns:
    Tokens that count a second, with the cache kept.
  """
  groups, count = _GROUPS.value, _GROUPS.value * _ROLLOUTS.value
  step = _OBSERVATION.value + _ACTION.value
  drawn = count * _TURNS.value * _ACTION.value
  print(
    f'\nagent: {groups} groups x {_ROLLOUTS.value} rollouts x {_TURNS.value} '
    f'turns; prompt {_TASK.value}, observation {_OBSERVATION.value}, action '
    f'{_ACTION.value} tokens; {drawn} tokens that count'
  )
  kept = reading(config, groups, 0, _TASK.value, 1).seconds(rates)
  again = 0.0
  for turn in range(_TURNS.value):
    begin = _TASK.value + turn * step
    end = begin + _OBSERVATION.value
    draw = drawing(config, count, end, _ACTION.value).seconds(rates)
    kept += reading(config, count, begin, end, 1).seconds(rates) + draw
    again += reading(config, count, 0, end, 1).seconds(rates) + draw

  def timed(name, bound, keep, **options):
    # The first play compiles.
    play(make_engine(config, params, **options), keep=keep)
    engine = make_engine(config, params, **options)
    rows, seconds = play(engine, keep=keep)
    show(name, drawn, seconds, bound)
    stats = engine.stats
    print(
      f'  {stats.prefilled:,} tokens read, {stats.prefix_cache_hits:,} '
      f'taken over from other rows, {stats.generated:,} '
      f'sampled in {stats.calls} calls'
    )
    return rows, seconds

  rows, seconds = timed('cache kept', kept, True)
  if _BASELINE.value:
    others, slow = timed(
      'histories read again each turn', again, False, share_prefixes=False
    )
    same = np.mean([a == b for a, b in zip(rows, others, strict=True)])
    print(
      f'{slow / seconds:.1f} times faster with the cache kept; '
      f'{same:.0%} of the episodes are token for token the same'
    )
  return drawn / seconds


def main(argv):
  del argv
  config, params = build()
  rates = machine(sum(x.nbytes for x in jax.tree.leaves(params)))
  print(
    f'{decoder.count_parameters(params):,} parameters on '
    f'{jax.devices()[0].device_kind} ({os.cpu_count()} cores): '
    f'{rates.operations / 1e9:,.0f} GFLOP/s, {rates.bytes / 1e9:,.1f} GB/s'
  )
  peers = [peer.partition('=') for peer in _PEERS.value]
  if 'decoding' in _LOADS.value:
    ours = decoding(config, params, rates)
    for name, _, python in peers:
      theirs = decoding_peer(name, python)
      if theirs:
        ours = max(ours, decoding(config, params, rates))
        print(f'{name}: {theirs:,.0f} tokens/s; ours {ours / theirs:.2f} times')
  if 'agent' in _LOADS.value:
    ours = agent(config, params, rates)
    for name, _, python in peers:
      theirs = agent_peer(python) if name == 'tunix' else None
      if theirs:
        ours = max(ours, agent(config, params, rates))
        print(f'{name}: {theirs:,.0f} tokens/s; ours {ours / theirs:.2f} times')


if __name__ == '__main__':
  app.run(main)
