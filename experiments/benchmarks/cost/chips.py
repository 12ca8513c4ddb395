"""Accelerators by their published figures."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
  """One chip, in FLOP/s, bytes and bytes a second.

  Attributes:
    name: of the product.
    flops: dense bfloat16 products, peak.
    memory: bytes of high-bandwidth memory.
    bandwidth: of that memory.
    link: what a chip sends over all of its links to chips of its domain; half
      of the figure for both directions, which is what is published.
    domain: chips that these links join: a pod, or the GPUs of a server.
    network: what a chip sends to chips outside of its domain.
    host_chips: chips of one host.
    price: dollars a chip-hour, on demand; None where no dated source was found.
    source: of the figures.
    price_source: of the price.
  """

  name: str
  flops: float
  memory: float
  bandwidth: float
  link: float
  domain: int
  network: float
  host_chips: int
  price: float | None = None
  source: str = ''
  price_source: str = ''


CHIPS = (
  Chip(
    'TPU v5e', 197e12, 16e9, 819e9, 200e9, 256, 6.4e12 / 8 / 256, 8,
    source='https://docs.cloud.google.com/tpu/docs/v5e',
  ),
  Chip(
    'TPU v5p', 459e12, 95e9, 2765e9, 600e9, 8960, 50e9 / 8, 4,
    source='https://docs.cloud.google.com/tpu/docs/v5p-training',
  ),
  Chip(
    'TPU v6e', 918e12, 32e9, 1638e9, 400e9, 256, 25.6e12 / 8 / 256, 8,
    source='https://docs.cloud.google.com/tpu/docs/v6e; network: 25.6 Tb/s a '
    'pod, not checked against that page',
  ),
  Chip(
    'H100 SXM', 989e12, 80e9, 3350e9, 450e9, 8, 400e9 / 8, 8, 6.88,
    'https://glennklockwood.com/garden/processors/h100; network: an adapter of '
    '400 Gb/s a GPU, not checked against a data sheet',
    'AWS p5.48xlarge, 55.04 dollars an hour for 8, us-east-1, on demand, as '
    'retrieved on 9 November 2026 by github.com/datareceipts/data-receipts',
  ),
)  # fmt: skip
