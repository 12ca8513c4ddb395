"""Continuous batching against a slow sampler that reads each row anew."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcredit.networks import decoder, sharding
from jaxcredit.networks.sampling import engine as engine_lib
from jaxcredit.networks.sampling import sampler
from jaxcredit.networks.sampling import sampling_params as sampling
from jaxcredit.networks.sampling import slots as slots_lib
from tests.networks import tiny_decoder
from tests.networks.sampling import test_sampling

STOP = 7
NEW = 6
PLAIN = sampling.SamplingParams()


def slow_answer(variant, row, key, how=PLAIN, budget=NEW):
  """Draws token by token; the whole row is read again for each."""
  config, params, _ = tiny_decoder.for_sampling(variant)
  tokens, log_probs, policy = list(row), [], []
  while len(log_probs) < budget and (not log_probs or tokens[-1] != STOP):
    scores = tiny_decoder.logits_behind(config, params, tokens)
    options = {
      name: getattr(how, name)
      for name in ('temperature', 'top_k', 'top_p', 'min_p')
    }
    probability = test_sampling.slow_restrict(scores, **options)
    noise = np.asarray(
      jax.random.gumbel(
        jax.random.fold_in(key, len(log_probs)), scores.shape, jnp.float32
      )
    )
    with np.errstate(divide='ignore'):
      tempered = np.log(probability)
    greedy = not how.temperature
    token = int(np.argmax(tempered if greedy else tempered + noise))
    tokens.append(token)
    log_probs.append(tempered[token])
    policy.append(np.log(test_sampling.slow_restrict(scores)[token]))
  return tokens[len(row) :], log_probs, policy


def make_engine(variant='plain', vocab_size=40, **options):
  config, _, fast = tiny_decoder.for_sampling(variant, vocab_size=vocab_size)
  options = {
    'slots': 8, 'row_tokens': 96, 'new_tokens': NEW, 'stop_tokens': (STOP,),
    'chunks': (16,), **options,
  }  # fmt: skip
  return engine_lib.Engine(fast, config, **options)


def answer_all(engine, rows, keys, release=True):
  """Name -> answer, of rows that are submitted together."""
  engine.submit(list(rows), list(rows.values()), keys)
  found = {}
  while engine.answering:
    for answer in engine.step():
      found[answer.name] = answer
      if release:
        engine.release(answer.name)
  return found


def prompts(count, seed=0, longest=20):
  rng = np.random.default_rng(seed)
  return {
    i: rng.integers(8, 40, rng.integers(1, longest)).tolist()
    for i in range(count)
  }


def check_same(answers, others):
  assert answers.keys() == others.keys()
  for name, answer in answers.items():
    assert answer.tokens == others[name].tokens
    assert answer.end == others[name].end
    np.testing.assert_allclose(
      answer.log_probs, others[name].log_probs, atol=1e-4
    )


def check_slow(answer, slow):
  tokens, log_probs, policy = slow
  assert answer.tokens == tokens
  np.testing.assert_allclose(answer.log_probs, log_probs, atol=1e-4)
  np.testing.assert_allclose(answer.policy_log_probs, policy, atol=1e-4)
  end = 'stop token' if tokens[-1] == STOP else 'length'
  assert answer.end == end


@pytest.mark.parametrize(
  ('variant', 'how'),
  [
    ('plain', PLAIN),
    ('plain', sampling.SamplingParams(temperature=0.0)),
    ('plain', sampling.SamplingParams(1.4, top_k=9, top_p=0.8, min_p=0.05)),
    ('qwen2', PLAIN),
    ('qwen3', sampling.SamplingParams(temperature=0.6)),
    ('windows', PLAIN),
  ],
)
def test_many_rows_through_few_slots_are_those_of_a_slow_sampler(variant, how):
  rows = prompts(20)
  keys = jax.random.split(jax.random.key(0), 20)
  engine = make_engine(
    variant, slots=3, decode_steps_per_call=2, sampling_params=how
  )
  answers = answer_all(engine, rows, keys)
  assert set(answers) == set(rows)
  for i, row in rows.items():
    check_slow(answers[i], slow_answer(variant, row, keys[i], how))
  assert engine.stats.generated == sum(len(a.tokens) for a in answers.values())
  # Slots that are freed do not wait for the longest of their companions.
  assert engine.stats.calls < 20 / 3 * NEW / 2 + NEW


@functools.cache
def reference():
  rows = prompts(20)
  keys = jax.random.split(jax.random.key(0), 20)
  answers = answer_all(
    make_engine(slots=3, decode_steps_per_call=2), rows, keys
  )
  assert {a.end for a in answers.values()} == {'stop token', 'length'}
  return rows, keys, answers


@pytest.mark.parametrize(
  'options',
  [
    {'slots': 1},
    {'slots': 16},
    {'slots': 3, 'decode_steps_per_call': 32},
    {'slots': 3, 'share_prefixes': False},
    {'slots': 3, 'capacities': (32, 64)},
    {'slots': 3, 'chunks': (4, 8)},
    {'slots': 16, 'prefill_tokens': 16},
  ],
)
def test_answers_depend_on_nothing_but_prompt_and_key(options):
  rows, keys, expected = reference()
  check_same(answer_all(make_engine(**options), rows, keys), expected)
  # In another order, beside others, under other names.
  order = np.random.default_rng(1).permutation(20)[:7]
  some = answer_all(
    make_engine(**options), {-i: rows[i] for i in order.tolist()}, keys[order]
  )
  check_same(
    {-name: answer for name, answer in some.items()},
    {i: expected[i] for i in order.tolist()},
  )


def play_turns(engine, turns, reads, keys):
  """Rows that grow by answers and observations; returns rows and answers."""
  count = len(reads[0])
  rows, log_probs = [[] for _ in range(count)], [[] for _ in range(count)]
  for turn in range(turns):
    for i in range(count):
      rows[i] += reads[turn][i]
      log_probs[i] += [None] * len(reads[turn][i])
    answers = answer_all(
      engine, dict(enumerate(rows)), keys[turn], release=False
    )
    for i in range(count):
      rows[i] += answers[i].tokens
      log_probs[i] += zip(
        answers[i].log_probs, answers[i].policy_log_probs, strict=True
      )
  return rows, log_probs


@pytest.mark.parametrize('variant', ['plain', 'windows'])
@pytest.mark.parametrize('temperature', [1.0, 0.7])
def test_log_probs_over_turns_are_those_of_the_learner(variant, temperature):
  config, params, _ = tiny_decoder.for_sampling(variant)
  rng = np.random.default_rng(0)
  count, turns = 5, 4
  reads = [
    [rng.integers(8, 40, rng.integers(1, 14)).tolist() for _ in range(count)]
    for _ in range(turns)
  ]
  keys = jax.random.split(jax.random.key(1), (turns, count))
  engine = make_engine(
    variant,
    sampling_params=sampling.SamplingParams(temperature),
    capacities=(32, 64),
  )
  rows, log_probs = play_turns(engine, turns, reads, keys)
  # What the cache held was not read again: a turn reads its observation, with
  # the last token of the answer before it and without its own last token.
  assert (
    engine.stats.prefilled
    == sum(len(r) for turn in reads for r in turn) - count
  )
  tokens = np.zeros((count, 96), np.int32)
  for i, row in enumerate(rows):
    tokens[i, : len(row)] = row
  length = np.array([len(row) for row in rows])
  score = jax.jit(
    decoder.log_probs, static_argnums=1, static_argnames='temperature'
  )
  for part, heat in ((0, temperature), (1, 1.0)):
    expected, _ = score(params, config, tokens, length, temperature=heat)
    for i, row in enumerate(log_probs):
      for t, value in enumerate(row):
        if value is not None:
          np.testing.assert_allclose(value[part], expected[i, t], atol=1e-4)


def test_a_text_that_changes_is_read_from_where_it_differs():
  engine = make_engine()
  keys = jax.random.split(jax.random.key(2), 2)
  row = list(range(8, 28))
  first = answer_all(engine, {'row': row}, keys[:1], release=False)
  assert engine.stats.prefilled == 19
  changed = row[:12] + [39, 38, 37]
  second = answer_all(engine, {'row': changed}, keys[1:], release=False)
  assert engine.stats.prefilled == 19 + 2
  check_slow(first['row'], slow_answer('plain', row, keys[0]))
  check_slow(second['row'], slow_answer('plain', changed, keys[1]))
  # A head of what is held: nothing is read but the last token.
  third = answer_all(engine, {'row': row[:5]}, keys[:1], release=False)
  assert engine.stats.prefilled == 19 + 2
  check_slow(third['row'], slow_answer('plain', row[:5], keys[0]))


def test_the_prompt_of_a_group_is_read_once():
  prompt, other = list(range(8, 38)), list(range(38, 8, -1))
  rows = {
    **dict.fromkeys(range(8), prompt),
    **dict.fromkeys(range(8, 16), other),
  }
  keys = jax.random.split(jax.random.key(3), 16)
  for slots in (16, 3, 1):
    engine = make_engine(slots=slots, decode_steps_per_call=2)
    answers = answer_all(engine, rows, keys)
    # The last token is left for the first draw.
    assert engine.stats.prefilled == 2 * 29
    assert engine.stats.prefix_cache_hits == 14 * 29
    for i in (0, 7, 9, 15):
      check_slow(answers[i], slow_answer('plain', rows[i], keys[i]))
  engine = make_engine(slots=16, share_prefixes=False)
  check_same(answer_all(engine, rows, keys), answers)
  assert engine.stats.prefilled == 16 * 29


def test_rows_share_what_they_begin_with_and_no_more():
  # A template's head, then texts of their own; some are the others' heads.
  head = list(range(8, 24))
  rows = {
    0: head + [30, 31, 32, 33],
    1: head + [30, 31, 34],
    2: head + [35],
    3: head,
    4: head[:3] + [36] * 20,
    5: [36] * 20,
  }
  keys = jax.random.split(jax.random.key(4), 6)
  for slots in (1, 2, 6):
    engine = make_engine(slots=slots, decode_steps_per_call=3)
    for i, answer in answer_all(engine, rows, keys).items():
      check_slow(answer, slow_answer('plain', rows[i], keys[i]))
    assert engine.stats.prefix_cache_hits >= 3 * 15


def test_rows_come_and_go():
  # Names are released with an answer under way or before they have a slot;
  # others are submitted while some answer.
  engine = make_engine(slots=2, decode_steps_per_call=1)
  rows = prompts(8, seed=5)
  keys = jax.random.split(jax.random.key(5), 8)
  engine.submit([0, 1, 2, 3], [rows[i] for i in range(4)], keys[:4])
  assert engine.answering == engine.waiting == 4
  found = {a.name: a for a in engine.step()}
  assert engine.waiting == 2
  engine.release(0)
  engine.release(3)
  engine.submit([4, 5, 6, 7], [rows[i] for i in range(4, 8)], keys[4:])
  while engine.answering:
    for answer in engine.step():
      found[answer.name] = answer
      engine.release(answer.name)
  found.pop(0, None)
  assert set(found) == {1, 2, 4, 5, 6, 7}
  for i, answer in found.items():
    check_slow(answer, slow_answer('plain', rows[i], keys[i]))
  assert engine.step() == []


def test_the_batch_shrinks_and_grows_with_the_rows():
  engine = make_engine(slots=32)
  sizes = []
  for names in (range(3), range(3, 30), range(30, 33), range(33, 60)):
    rows = {i: [8 + i % 30] * 9 for i in names}
    keys = jax.random.split(jax.random.key(6), len(rows))
    answers = answer_all(engine, rows, keys)
    sizes.append(engine._cache.rows)
    first = names[0]
    check_slow(answers[first], slow_answer('plain', rows[first], keys[0]))
  assert sizes == [8, 32, 8, 32]


def test_budgets_of_answers():
  engine = make_engine(slots=2, decode_steps_per_call=4, stop_tokens=())
  keys = jax.random.split(jax.random.key(7), 2)
  engine.submit(['short'], [[9, 10]], keys[:1], new_tokens=1)
  engine.submit(['long'], [[9, 10]], keys[1:], new_tokens=9)
  found = {}
  while engine.answering:
    found.update({a.name: a for a in engine.step()})
  assert len(found['short'].tokens) == 1
  assert len(found['long'].tokens) == 9


def test_no_compilation_when_lengths_change():
  functions = (
    sampler.prefill, sampler.decode, engine_lib.cache_lib.copy,
    engine_lib.cache_lib.grow, engine_lib.cache_lib.take,
  )  # fmt: skip

  def compiled():
    return sum(function._cache_size() for function in functions)

  def play(seed):
    # Groups of two go through the slots, then four rows take three turns;
    # texts, answers and the numbers of the distribution are of any size.
    rng = np.random.default_rng(seed)
    how = sampling.SamplingParams(
      rng.uniform(0.5, 2), top_p=rng.uniform(0.5, 0.9)
    )
    engine = make_engine(
      vocab_size=41, decode_steps_per_call=2, chunks=(8, 32), capacities=(64,),
      row_tokens=64 + seed % 2, sampling_params=how,
    )  # fmt: skip
    texts = prompts(10, seed=seed, longest=40)
    keys = jax.random.split(jax.random.key(seed), 20)
    answer_all(engine, {i: texts[i // 2] for i in range(20)}, keys)
    rows = {i: texts[i][:10] for i in range(4)}
    for _ in range(3):
      answers = answer_all(engine, rows, keys[:4], release=False)
      for i in rows:
        rows[i] = rows[i] + answers[i].tokens + [9] * rng.integers(1, 9)

  before = compiled()
  for seed in range(3):
    play(seed)
  # Two lengths of pieces, read by one row or by all; copies of one row or of
  # more; one decoding loop.
  warm = compiled()
  assert 0 < warm - before <= 2 * 2 + 2 + 1
  for seed in range(3, 8):
    play(seed)
  assert compiled() == warm


def test_rows_that_hold_all_slots_for_ever_are_an_error():
  engine = make_engine(slots=2, stop_tokens=tuple(range(40)))
  keys = jax.random.split(jax.random.key(0), 3)
  engine.submit([0, 1, 2], [[8], [9], [10]], keys)
  assert len(engine.step()) == 2
  with pytest.raises(ValueError, match='1 rows wait .* release some'):
    engine.step()
  engine.release(1)
  assert [a.name for a in engine.step()] == [2]


def test_it_is_the_same_on_a_mesh():
  rows, keys, expected = reference()
  config, params, _ = tiny_decoder.for_sampling()
  mesh = sharding.make_mesh(data=2, fsdp=2, tensor=2)
  with jax.set_mesh(mesh):
    placed = jax.device_put(params, sharding.shardings(params, mesh))
    engine = engine_lib.Engine(
      sampler.decoding_params(placed), config, slots=8, row_tokens=96,
      new_tokens=NEW, stop_tokens=(STOP,), chunks=(16,),
      decode_steps_per_call=32,
    )  # fmt: skip
    check_same(answer_all(engine, rows, keys), expected)
    keys_of_layer = engine._cache.keys[0]
    assert len(keys_of_layer.addressable_shards) == 8
    assert keys_of_layer.addressable_shards[0].data.size < keys_of_layer.size


@pytest.mark.parametrize(
  ('rows', 'message'),
  [
    ([[]], "row 'a' must be a list of at least one token"),
    ([[[1, 2]]], r'not of shape \(1, 2\)'),
    ([[8, 40]], "row 'a' has tokens from 8 to 40, the vocabulary 0 to 39"),
    ([[-1]], 'has tokens from -1 to -1'),
    ([[8] * 91], "row 'a' has 91 tokens: with 6 .* does not fit a row of 96"),
    ([[8], [9]], '1 names, 2 rows and 1 keys'),
  ],
)
def test_rows_that_cannot_be(rows, message):
  keys = jax.random.split(jax.random.key(0), 1)
  with pytest.raises(ValueError, match=message):
    make_engine().submit(['a'], rows, keys)


def test_starts_of_answers_that_cannot_be():
  engine = make_engine()
  keys = jax.random.split(jax.random.key(0), 1)
  with pytest.raises(ValueError, match='begun=3 of them cannot belong'):
    engine.submit(['a'], [[8, 9]], keys, begun=[3])
  for name in ('begun', 'excluded'):
    with pytest.raises(ValueError, match=f'{name} has 2 numbers for 1 rows'):
      engine.submit(['a'], [[8, 9]], keys, **{name: [0, 0]})


def test_names_that_cannot_be():
  engine = make_engine()
  keys = jax.random.split(jax.random.key(0), 1)
  engine.submit(['a'], [[8]], keys)
  with pytest.raises(ValueError, match="row 'a' is answering already"):
    engine.submit(['a'], [[8, 9]], keys)
  with pytest.raises(ValueError, match="no row 'b' to release"):
    engine.release('b')
  with pytest.raises(ValueError, match='new_tokens must be positive, not 0'):
    engine.submit(['c'], [[8]], keys, new_tokens=0)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'slots': 0}, 'slots must be positive, not 0'),
    ({'decode_steps_per_call': 0}, 'decode_steps_per_call must be positive'),
    ({'chunks': ()}, 'chunks must be positive'),
    ({'row_tokens': 32_769}, 'a row of 32769 tokens is beyond the 32768 pos'),
    ({'prefill_tokens': 0}, 'prefill_tokens must be positive'),
    ({'sampling_params': sampling.SamplingParams(-1.0)}, 'temperature must be'),
    (
      {'sampling_params': sampling.SamplingParams(np.ones(3))},
      'samples all rows alike',
    ),
  ],
)
def test_options_that_cannot_be(options, message):
  with pytest.raises(ValueError, match=message):
    make_engine(**options)


def test_buckets():
  assert slots_lib.bucket(3, (8, 2, 4)) == 4
  assert slots_lib.bucket(9, (8, 2, 4)) == 8
  assert slots_lib.capacities_for(300) == (64, 96, 128, 192, 256, 300)
  assert slots_lib.capacities_for(20) == (20,)
