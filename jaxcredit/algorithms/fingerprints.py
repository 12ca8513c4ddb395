"""Fingerprints of states: 64 bits of their content, the same in any process.

A fingerprint is two uint32 words, as JAX has no 64-bit integers by default.
Python's `hash` would differ from process to process, and tuples of pixels (the
released GiGPO code) forget an image's shape and dtype.
"""

import difflib
import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np


def _digests(contents: Iterable[bytes]) -> np.ndarray:
  digests = b''.join(
    hashlib.blake2b(content, digest_size=8).digest() for content in contents
  )
  return np.frombuffer(digests, '<u4').reshape(-1, 2).astype(np.uint32)


def text_fingerprints(texts: Sequence[str]) -> np.ndarray:
  """Fingerprints of texts.

  Args:
    texts: n of them; equal only if they are equal character by character.

  Returns:
    uint32 [n, 2].

  Raises:
    ValueError: `texts` is one text, or an item is not text.

  Example:
    >>> from jaxcredit import fingerprints
    >>> words = fingerprints.text_fingerprints(['a room', 'a hall', 'a room'])
    >>> words.shape, words.dtype
    ((3, 2), dtype('uint32'))
    >>> print((words[0] == words[2]).all(), (words[0] == words[1]).all())
    True False
  """
  if isinstance(texts, str):
    raise ValueError('texts must be a sequence of texts, not one text')
  for index, text in enumerate(texts):
    if not isinstance(text, str):
      raise ValueError(f'texts[{index}] is {type(text).__name__}, not str')
  # surrogatepass: a lone surrogate from a model's bytes is still content.
  return _digests(text.encode('utf-8', 'surrogatepass') for text in texts)


def image_fingerprints(images: Sequence[np.ndarray]) -> np.ndarray:
  """Fingerprints of images: their shape, dtype and bytes.

  Args:
    images: n arrays of numbers, of any shapes.

  Returns:
    uint32 [n, 2].

  Raises:
    ValueError: an item holds objects instead of numbers.

  Example:
    >>> from jaxcredit import fingerprints
    >>> image = np.zeros((2, 2), np.uint8)
    >>> words = fingerprints.image_fingerprints([image, image.reshape(4)])
    >>> print((words[0] == words[1]).all())
    False
  """

  def content(index, image):
    array = np.asarray(image)
    if array.dtype.hasobject:
      raise ValueError(f'images[{index}] holds objects, not numbers')
    # One byte order, so that machines agree.
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder('<'))
    head = f'{array.shape}|{plain.dtype.str}|'.encode()
    return head + plain.tobytes()

  return _digests(content(i, image) for i, image in enumerate(images))


def near_duplicate_groups(
  texts: Sequence, *, threshold: float = 0.95
) -> np.ndarray:
  """Groups texts that are nearly equal, in the order given.

  Of texts [..., G, S] those of one task, the last two axes, are compared.

  The rule of GiGPO's released code: each text joins the first group whose
  first member is at least `threshold` similar, else founds a group. So it
  depends on the order, and is not transitive. Similarity is Ratcliff and
  Obershelp's, 2 * matches / total length, as in Python's difflib but without
  its "autojunk" heuristic, which from 200 characters on ignores frequent
  characters (one changed cell of a 200-character grid then scores 0.30 instead
  of 0.995).

  Args:
    texts: n of them; or nested lists or an array of them, [..., G, S], in which
      None or '' may fill up what is masked.
    threshold: in (0, 1].

  Returns:
    int32 [n] or [..., G, S]: index of the first member of each text's group
    among the n, or the G * S of its task. Fit to be used as anchors.

  Raises:
    ValueError: threshold out of range, what is not text, or lists of different
      lengths.

  Example:
    >>> from jaxcredit import fingerprints
    >>> texts = ['You are in room 1.', 'A lamp.', 'You are in room 2.']
    >>> print(fingerprints.near_duplicate_groups(texts, threshold=0.9))
    [0 1 0]
    >>> task = [['A hall.', 'Room 1.'], ['A hall.', 'Room 2.']]
    >>> print(fingerprints.near_duplicate_groups([task], threshold=0.8))
    [[[0 1]
      [0 1]]]
  """
  if not 0 < threshold <= 1:
    raise ValueError(f'threshold must lie in (0, 1], not {threshold}')
  array = _texts(texts)
  if array.ndim < 2:
    return _near_duplicates(list(array), threshold)
  *leading, g, size = array.shape
  tasks = array.reshape(math.prod(leading), g * size)
  groups = [_near_duplicates(list(task), threshold) for task in tasks]
  return np.array(groups, np.int32).reshape(array.shape)


def _texts(texts) -> np.ndarray:
  """Texts as an array of objects, of any number of axes."""
  if isinstance(texts, str):
    raise ValueError('texts must be a sequence of texts, not one text')
  try:
    array = np.array(texts, object)
  except ValueError:
    array = None
  if array is not None and array.size:
    array = np.where(np.equal(array, None), '', array)
  if array is None or not all(isinstance(text, str) for text in array.flat):
    raise ValueError(
      'texts must be texts, in lists of equal lengths: [n] or [..., G, S]'
    )
  return array


def _near_duplicates(texts: Sequence[str], threshold: float) -> np.ndarray:
  """The groups of n texts, int32 [n]."""
  groups: list[int] = []
  result = np.zeros(len(texts), np.int32)
  known: dict[str, int] = {}
  for index, text in enumerate(texts):
    if text in known:
      result[index] = known[text]
      continue
    matcher = difflib.SequenceMatcher(autojunk=False)
    # difflib caches what it knows of the second text.
    matcher.set_seq2(text)
    found = index
    for first in groups:
      matcher.set_seq1(texts[first])
      # The bounds are cheap; ratio() is quadratic.
      if (
        matcher.real_quick_ratio() >= threshold
        and matcher.quick_ratio() >= threshold
        and matcher.ratio() >= threshold
      ):
        found = first
        break
    if found == index:
      groups.append(index)
    known[text] = found
    result[index] = found
  return result
