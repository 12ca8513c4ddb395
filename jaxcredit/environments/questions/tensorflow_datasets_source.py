"""Records from TensorFlow Datasets, read without TensorFlow.

The library's random-access sources need the array_record format, which it
writes without TensorFlow; preparing a data set for the first time downloads
it.
"""

import os

from jaxcredit.environments.questions import records


def read(
  name: str, split: str, data_dir: str | os.PathLike | None = None
) -> list[records.Record]:
  """Reads a split.

  Args:
    name: of the data set.
    split: of it, or a slice such as 'train[:100]'.
    data_dir: where data sets are kept; None for the library's own place.

  Returns:
    Its records; their line is the place in the split, from 1.

  Raises:
    ModuleNotFoundError: tensorflow-datasets is not installed.
    RuntimeError: the data set is not there and cannot be downloaded.
  """
  try:
    import tensorflow_datasets
    import tensorflow_datasets.text  # registers the data sets of text
  except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
      f'{name} is read through tensorflow-datasets, which is not installed '
      f"({error}): install jaxcredit with its extra 'train', or give a file"
    ) from None
  try:
    source = tensorflow_datasets.data_source(
      name,
      split=split,
      data_dir=data_dir,
      builder_kwargs={'file_format': 'array_record'},
    )
  # What a download can raise is not listed anywhere.
  except Exception as error:
    raise RuntimeError(
      f'{name} could not be prepared by tensorflow-datasets '
      f'({type(error).__name__}: {error}); without a network, copy a prepared '
      'data set into data_dir, or give a .jsonl file'
    ) from error
  return [
    records.Record(
      {key: _text(value) for key, value in row.items()},
      f'{name}/{split}',
      number,
    )
    for number, row in enumerate(source, start=1)
  ]


def _text(value):
  return value.decode('utf-8') if isinstance(value, bytes) else value
