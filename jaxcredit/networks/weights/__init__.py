"""Pretrained models in and out: Hugging Face folders, GGUF, llama2.c.

  params, config = weights.from_pretrained('folder', mesh)
  weights.save_pretrained('other folder', params, config)

Nothing is ever unpickled.
"""

from jaxcredit.networks.weights.load import from_pretrained, read_config
from jaxcredit.networks.weights.save import save_pretrained

__all__ = ['from_pretrained', 'read_config', 'save_pretrained']
