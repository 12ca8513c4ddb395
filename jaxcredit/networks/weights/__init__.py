"""Pretrained models and adapters in and out: Hugging Face folders, GGUF.

  params, config = weights.from_pretrained('folder', mesh)
  weights.save_pretrained('other folder', params, config)
  adapters, options = weights.load_adapters('adapter folder', config)

Nothing is ever unpickled.
"""

from jaxcredit.networks.weights.adapters import load_adapters, save_adapters
from jaxcredit.networks.weights.load import from_pretrained, read_config
from jaxcredit.networks.weights.save import save_pretrained

__all__ = [
  'from_pretrained',
  'load_adapters',
  'read_config',
  'save_adapters',
  'save_pretrained',
]
