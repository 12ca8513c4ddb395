"""The limits of latent rewards lie below what the compiler stands."""

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.benchmarks.cost import compiler_limits
from jaxcredit.latent_rewards import (
  interpreter,
  language,
  program_cost,
  refusal,
)


def cost(kind, length):
  source = compiler_limits.source(kind, length)
  program = language.check(source, ('observation',))
  return interpreter.cost(program, jax.ShapeDtypeStruct((1, 6), np.float32))


@pytest.mark.parametrize('kind', compiler_limits.KINDS)
def test_sources_have_the_chain_that_they_are_named_for(kind):
  name, _ = compiler_limits.KINDS[kind]
  assert cost(kind, 3).chains[name] - cost(kind, 2).chains[name] == 1
  with pytest.raises(refusal.Refused, match='a chain of|sing'):
    cost(kind, program_cost.MAX_CHAIN[name] + 1)


def test_every_kind_of_chain_is_measured():
  measured = {name for name, _ in compiler_limits.KINDS.values()}
  assert measured == set(program_cost.MAX_CHAIN)


@pytest.mark.system
@pytest.mark.parametrize('kind', compiler_limits.KINDS)
def test_the_compiler_stands_twice_the_limit(kind):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  name, _ = compiler_limits.KINDS[kind]
  with flagsaver.flagsaver(seconds=120):
    compiles, words = compiler_limits.compile_in_child(
      kind, 2 * program_cost.MAX_CHAIN[name]
    )
  assert compiles, words
