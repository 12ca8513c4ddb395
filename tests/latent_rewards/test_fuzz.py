"""No text crashes the checker or keeps it long: each gets a verdict."""

import time

import hypothesis
import jax
import jax.numpy as jnp
from hypothesis import strategies as st

from jaxcredit.latent_rewards import (
  answers,
  examples,
  interpreter,
  language,
  refusal,
  screen,
  tasks,
)
from tests.latent_rewards import hostile, programs

SECONDS = 10.0
ARRAYS = [jnp.asarray(array) for array in programs.arrays(3)]
SOURCES = [programs.function(body) for body in programs.FORMS.values()]
SOURCES += [
  examples.source(task, quality)
  for task in tasks.NAMES
  for quality in examples.QUALITIES
]
TOKENS = sorted(
  {
    *' '.join(SOURCES).replace('(', ' ( ').replace(',', ' , ').split(),
    *(text for text, _ in hostile.EXPRESSIONS.values() if len(text) < 80),
    '\n', '\n  ', '\t', '(', ')', '[', ']', ':', ',', '=', '**', '__', '.',
    'import os', 'while 1:', 'lambda:', '"""', "'", '#', '\\', '\x00', '\u202e',
    '9' * 40, 'async', 'yield', ':=', '*', '@', ';', 'f"{', 'else', 'is',
  }
)  # fmt: skip


def judge(text: str) -> None:
  """All that is done to a text in the trainer's process."""
  start = time.monotonic()
  try:
    source = answers.source_of(text)
  except refusal.Refused:
    source = text
  try:
    program = language.check(source)
    jax.eval_shape(lambda *x: interpreter.run(program, *x), *ARRAYS)
  except refusal.Refused:
    pass
  assert time.monotonic() - start < SECONDS


@hypothesis.settings(max_examples=120)
@hypothesis.given(
  st.one_of(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=300),
    st.lists(st.sampled_from(TOKENS), max_size=60).map(' '.join),
    st.lists(st.sampled_from(TOKENS), max_size=30).map(''.join),
    st.builds(
      lambda piece, count: piece * count,
      st.sampled_from(TOKENS),
      st.integers(1, 6_000),
    ),
  )
)
def test_random_text(text):
  judge(text)
  judge(f'def factors(observation, action):\n  return [{text}]')


@st.composite
def mutated(draw):
  """A program from which something was cut, doubled, or replaced."""
  text = draw(st.sampled_from(SOURCES))
  for _ in range(draw(st.integers(1, 4))):
    start = draw(st.integers(0, len(text)))
    stop = min(len(text), start + draw(st.integers(0, 12)))
    middle = draw(
      st.one_of(
        st.sampled_from(TOKENS),
        st.just(text[start:stop] * draw(st.integers(0, 40))),
        st.integers(-(10**12), 10**12).map(str),
      )
    )
    text = text[:start] + middle + text[stop:]
  return text


@hypothesis.settings(max_examples=200)
@hypothesis.given(mutated())
def test_mutated_programs(text):
  judge(text)


def test_the_longest_texts_that_are_read_are_read_soon():
  for piece in ('(', '-', 'x = 1\n', 'not ', '"', "'''\n", '\\\n', '#\n', ' \n',
                'a.', 'if 1:\n ', 'x[', '1+', '"a" ', 'lambda: '):  # fmt: skip
    text = piece * (screen.MAX_CHARACTERS // len(piece))
    judge(text)
    judge(f'def factors(observation, action):\n  return [{text}')
