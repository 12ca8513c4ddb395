"""Groups of answers for the tests of prefix trees."""

import re

from jaxcredit.reports import prefix_tree_records

SCRIPT = "<script>document.title='broken in'</script>"
IMAGE = '"><img src=x onerror="document.title=\'broken in\'">'
# Controls, a right-to-left override, half a character, an unassigned one.
ODD = '\x00\x1b[31m\x7f\x85\u202e\u2028\ud83d\uffff'


def answer(text, reward, ended=True):
  """An answer of one token a word; words in [brackets] are not its own."""
  tokens = re.findall(r'\S+\s*', text)
  return prefix_tree_records.Answer(
    tokens=tokens,
    token_ids=[int.from_bytes(t.strip().encode()) for t in tokens],
    mask=[not token.startswith('[') for token in tokens],
    reward=reward,
    ended=ended,
  )


def pens():
  """Four answers: one branch after 'so', one behind a tool's output."""
  return prefix_tree_records.with_tempo(
    prefix_tree_records.Group(
      question='Three boxes of 12 pens.\nHow many?',
      title='Pens',
      answers=[
        answer('so we multiply [36] it is 36', 1.0),
        answer('so we multiply [36] it is 15', 0.0),
        answer('so we add [15] it is 15', 0.0, ended=False),
        answer('so we multiply [36]', 0.0),
      ],
    )
  )


def odd():
  """A group whose every text is hostile or cannot be shown as it is."""
  texts = [SCRIPT, IMAGE, ODD, 'שלום', '']
  return prefix_tree_records.with_tempo(
    prefix_tree_records.Group(
      question=SCRIPT,
      title=IMAGE,
      answers=[
        prefix_tree_records.Answer(
          ['a', text], [1, i + 2**70], [True, i != 0], float(i % 2)
        )
        for i, text in enumerate(texts)
      ],
    )
  )


def large(count=64, size=1024):
  """Each answer leaves the one before it a little later: a deep tree."""
  answers = []
  for g in range(count):
    branch = 10 * (g + 1)
    ids = [t if t < branch else 10_000 * (g + 1) + t for t in range(size)]
    answers.append(
      prefix_tree_records.Answer(
        [f' {i}' for i in ids], ids, [True] * size, float(g % 3 == 0)
      )
    )
  return prefix_tree_records.with_tempo(
    prefix_tree_records.Group('count', answers)
  )
