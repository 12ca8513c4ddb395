"""FLOPs, bytes and seconds of a training iteration, as formulas.

With N weights that are multiplied, L layers of width W, H query and K key/value
heads of size D, V tokens and rows of R tokens:

  forward pass   2 N a token, and 4 L H D R / 2 for attention (causal)
  learner        3 forward passes of the blocks, with rematerialisation another
                 without each block's last product; 4 of the output projection,
                 whose logits are computed twice
  cache          2 L K D numbers a token
  a drawn token  reads all weights once for all rows, and each row's cache
  AdamW          16 bytes a parameter: the weight, two moments and a gradient,
                 float32
  ring           (n - 1) / n of the whole passes each of n chips

What is counted in a product is one multiplication and one addition. Norms,
softmax, rotary positions and the loss are left out.
"""

import dataclasses
import math

from experiments.benchmarks.cost import chips as chips_lib
from jaxcredit.networks import config as config_lib

# Assumed shares of the published peaks that programs reach.
COMPUTE_SHARE = 0.4
BANDWIDTH_SHARE = 0.6
LINK_SHARE = 0.6
# Bytes of a number.
HALF, SINGLE = 2, 4
# Tokens that a replica computes at a time.
MICRO_BATCH = 8192


def block_weights(c: config_lib.DecoderConfig) -> int:
  """Weights of the matrices of one block."""
  attention = 2 * c.width * c.heads * c.head_dim
  attention += 2 * c.width * c.kv_heads * c.head_dim
  return attention + 3 * c.width * c.hidden


def parameters(c: config_lib.DecoderConfig) -> int:
  """All parameters, as `decoder.count_parameters` counts them."""
  block = block_weights(c) + 2 * c.width
  if c.qkv_bias:
    block += (c.heads + 2 * c.kv_heads) * c.head_dim
  if c.o_bias:
    block += c.width
  if c.qk_norm:
    block += 2 * c.head_dim
  embeddings = (1 if c.tie_embeddings else 2) * c.vocab_size * c.width
  return c.layers * block + embeddings + c.width


def attention_flops(c: config_lib.DecoderConfig, row_tokens: float) -> float:
  """Forward FLOPs of attention for a token of a causal row, on average."""
  return 4 * c.layers * c.heads * c.head_dim * row_tokens / 2


def forward_flops(
  c: config_lib.DecoderConfig, tokens: float, row_tokens: float
) -> float:
  """A pass over `tokens` tokens in rows of `row_tokens`, with all logits."""
  weights = c.layers * block_weights(c) + c.vocab_size * c.width
  return tokens * (2 * weights + attention_flops(c, row_tokens))


def learner_flops(
  c: config_lib.DecoderConfig, tokens: float, row_tokens: float
) -> float:
  """Forward and backward passes of the learner."""
  blocks = 2 * c.layers * block_weights(c) + attention_flops(c, row_tokens)
  passes = 3 * blocks
  if c.remat:
    # Nothing asks for what a block's last product gives.
    passes += blocks - 2 * c.layers * c.hidden * c.width
  return tokens * (passes + 4 * 2 * c.vocab_size * c.width)


def cache_bytes(
  c: config_lib.DecoderConfig, tokens: float, width: int = HALF
) -> float:
  """Keys and values of `tokens` tokens."""
  return 2 * c.layers * c.kv_heads * c.head_dim * tokens * width


def decoding_bytes(
  c: config_lib.DecoderConfig, rows: float, context: float, width: int = HALF
) -> float:
  """What the memory gives for one token of each of `rows` rows."""
  # The embedding is looked up, but multiplied as the output projection.
  weights = c.layers * block_weights(c) + c.vocab_size * c.width
  return weights * width + cache_bytes(c, rows * context, width)


def state_bytes(c: config_lib.DecoderConfig) -> float:
  """Parameters, AdamW's moments and the gradient."""
  return 4 * SINGLE * parameters(c)


def checkpoint_bytes(
  c: config_lib.DecoderConfig, *, overlap: bool = False
) -> float:
  """Parameters and moments; with overlap the older parameters as well."""
  return (3 + overlap) * SINGLE * parameters(c)


def ring_bytes(whole: float, count: int) -> float:
  """What a chip receives as `count` chips gather, or scatter, `whole` bytes."""
  return whole * (count - 1) / count


def link_speed(chip: chips_lib.Chip, count: int) -> float:
  """Bytes a second of a collective over `count` chips.

  Beyond a domain, its chips share out what comes from outside and pass it on
  within: the slower of the two ways counts.
  """
  if count <= chip.domain:
    return chip.link
  return min(chip.link, chip.domain * chip.network)


@dataclasses.dataclass(frozen=True)
class Workload:
  """What an iteration plays and learns.

  Attributes:
    name: of the settings.
    groups: P.
    group_size: G.
    steps: of an episode, on average.
    prompt: tokens read before an answer, on average.
    answer: tokens of an answer, on average.
    longest: tokens of the longest answer of a round, for which all wait.
    rebuilds: whether each step is a row of its own; else an episode is.
    iterations: of a run.
    epochs: passes over the rows.
    updates: optimizer steps of a pass.
    scored: forward passes beside, as of a reference policy, which is kept.
    critic: whether a critic of the policy's size learns beside it.
    environment_seconds: of one step of one environment on a core.
    environment_workers: processes on each host.
  """

  name: str
  groups: int
  group_size: int
  steps: float
  prompt: float
  answer: float
  longest: float
  rebuilds: bool
  iterations: int
  epochs: int = 1
  updates: int = 1
  scored: int = 0
  critic: bool = False
  environment_seconds: float = 0.0
  environment_workers: int = 16

  @property
  def episodes(self) -> int:
    return self.groups * self.group_size

  @property
  def row_tokens(self) -> float:
    return (self.prompt + self.answer) * (1 if self.rebuilds else self.steps)

  @property
  def tokens(self) -> float:
    """Tokens that the learner sees in a pass."""
    return self.episodes * self.steps * (self.prompt + self.answer)


@dataclasses.dataclass(frozen=True)
class Layout:
  """Axes of the mesh."""

  data: int
  fsdp: int
  tensor: int

  @property
  def replicas(self) -> int:
    """Parts into which rows are cut."""
    return self.data * self.fsdp

  @property
  def chips(self) -> int:
    return self.replicas * self.tensor


@dataclasses.dataclass(frozen=True)
class Cost:
  """Seconds of an iteration, and bytes of a chip.

  Attributes:
    prefill: prompts are read.
    decoding: answers are drawn.
    environment: steps of the environments, on the hosts.
    collection: parameters are collected for the sampler, once.
    compute: products of the learner and of passes beside.
    gathering: parameters are gathered and gradients scattered over "fsdp", for
      each micro-batch.
    reduction: gradients are added up over "data", for each micro-batch.
    tensor: activations are added up over "tensor".
    optimizer: the optimizer's pass over its state.
    memory: bytes of the learner's state and of the fuller of what the sampler
      and the learner need beside it.
    received: bytes that a chip receives from others.
  """

  prefill: float
  decoding: float
  environment: float
  collection: float
  compute: float
  gathering: float
  reduction: float
  tensor: float
  optimizer: float
  memory: float
  received: float

  @property
  def rollout(self) -> float:
    return self.prefill + self.decoding + self.environment + self.collection

  @property
  def learning(self) -> float:
    """Compute and the links work at the same time, at best."""
    links = self.gathering + self.reduction + self.tensor
    return max(self.compute, links) + self.optimizer

  @property
  def seconds(self) -> float:
    return self.rollout + self.learning


def iteration(
  c: config_lib.DecoderConfig,
  chip: chips_lib.Chip,
  layout: Layout,
  work: Workload,
) -> Cost:
  """What one iteration costs.

  Args:
    c: of the policy.
    chip: what it runs on.
    layout: the mesh.
    work: the iteration.
  """
  flops, links = COMPUTE_SHARE * chip.flops, LINK_SHARE
  bandwidth = BANDWIDTH_SHARE * chip.bandwidth
  size, weights = parameters(c), c.layers * block_weights(c)
  logits = c.vocab_size * c.width
  # A replica holds whole rows: some hold none where there are more of them.
  held = math.ceil(work.episodes / layout.replicas)
  context = work.row_tokens if work.rebuilds else work.row_tokens / 2
  # The sampler: in each round all rows read, and draw as long as the longest.
  read = held * work.prompt
  prefill = read * (2 * weights + attention_flops(c, context))
  drawn = held * (2 * (weights + logits) + 2 * attention_flops(c, context))
  step = max(
    drawn / layout.tensor / flops,
    decoding_bytes(c, held, context) / layout.tensor / bandwidth,
  )
  hosts = max(layout.chips // chip.host_chips, 1)
  waves = math.ceil(work.episodes / (hosts * work.environment_workers))
  # The learner.
  copies = 1 + work.critic
  tokens = work.tokens / layout.replicas
  rows = work.episodes * (work.steps if work.rebuilds else 1)
  # Where there are fewer rows than replicas, the others compute padding.
  tokens *= max(math.ceil(rows / work.updates / layout.replicas), 1) / (
    rows / work.updates / layout.replicas
  )
  passes = work.epochs * copies
  compute = passes * learner_flops(c, tokens, work.row_tokens)
  compute += work.scored * forward_flops(c, tokens, work.row_tokens)
  micro = work.updates * math.ceil(tokens / work.updates / MICRO_BATCH)
  learned = size / layout.tensor
  # Half-precision weights forward and backward, a gradient back.
  gathered = ring_bytes(
    2 * HALF * size / layout.tensor + SINGLE * learned, layout.fsdp
  )
  gathered *= passes * micro
  gathered += (
    ring_bytes(HALF * size / layout.tensor, layout.fsdp) * work.scored * micro
  )
  # An all-reduce passes everything twice.
  reduced = 2 * ring_bytes(SINGLE * learned / layout.fsdp, layout.data)
  reduced *= passes * micro
  sums = 2 * c.layers * (2 + bool(c.remat))
  activations = 2 * ring_bytes(HALF * c.width, layout.tensor)
  exchanged = sums * activations * tokens * passes
  exchanged += 2 * c.layers * activations * tokens * work.scored
  sampled = 2 * c.layers * activations * work.steps
  sampled *= held * (work.prompt + work.longest)
  collected = ring_bytes(HALF * size / layout.tensor, layout.fsdp)
  speed = {
    'fsdp': links * link_speed(chip, layout.fsdp * layout.tensor),
    'data': links * link_speed(chip, layout.chips),
    'tensor': links * link_speed(chip, layout.tensor),
  }
  state = copies * state_bytes(c) / layout.tensor / layout.fsdp
  if work.scored:
    state += SINGLE * learned / layout.fsdp
  sampler = HALF * size / layout.tensor
  sampler += cache_bytes(c, held * work.row_tokens) / layout.tensor
  # With rematerialisation a layer's input is kept; one layer is gathered.
  learner = HALF * MICRO_BATCH * c.width * c.layers
  learner += HALF * block_weights(c) / layout.tensor + SINGLE * 2**26
  return Cost(
    prefill=work.steps * prefill / layout.tensor / flops,
    decoding=work.steps * work.longest * step + sampled / speed['tensor'],
    environment=work.steps * waves * work.environment_seconds,
    collection=collected / speed['fsdp'],
    compute=compute / layout.tensor / flops,
    gathering=gathered / speed['fsdp'],
    reduction=reduced / speed['data'],
    tensor=exchanged / speed['tensor'],
    optimizer=passes * work.updates * 7 * SINGLE * learned
    / layout.fsdp / bandwidth,
    memory=state + max(sampler, learner),
    received=gathered + reduced + exchanged + sampled + collected,
  )  # fmt: skip


def layouts(c: config_lib.DecoderConfig, chip: chips_lib.Chip, count: int):
  """Yields the meshes of `count` chips that the model allows.

  "tensor" divides the key/value heads and stays within a domain.
  """
  tensor = 1
  while tensor <= min(c.kv_heads, chip.domain, count):
    fsdp = 1
    while fsdp <= count // tensor:
      yield Layout(count // tensor // fsdp, fsdp, tensor)
      fsdp *= 2
    tensor *= 2


def best(
  c: config_lib.DecoderConfig,
  chip: chips_lib.Chip,
  count: int,
  work: Workload,
) -> tuple[Layout, Cost] | None:
  """The fastest mesh whose chips hold what they must; None where none does."""
  found = [
    (layout, cost)
    for layout in layouts(c, chip, count)
    if (cost := iteration(c, chip, layout, work)).memory <= 0.9 * chip.memory
  ]
  return min(found, key=lambda pair: pair[1].seconds, default=None)
