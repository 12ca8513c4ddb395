"""Trees of answers against a slow sampler that reads each prefix anew."""

import functools

import jax
import numpy as np
import pytest

from jaxcredit.networks import decoder
from jaxcredit.networks.sampling import (
  answer_trees,
  generation,
  sampler,
  stop_strings,
  tree_sampling,
)
from jaxcredit.networks.sampling import sampling_params as sampling
from tests import shared_data
from tests.networks import tiny_decoder
from tests.networks.sampling import test_engine, test_generation, test_sampling

STOP = test_engine.STOP
NEW = 12
PLAIN = sampling.SamplingParams()
Plan = tree_sampling.Plan


def make_engine(**options):
  options = {
    'slots': 16,
    'new_tokens': NEW,
    'decode_steps_per_call': 4,
    **options,
  }
  return test_engine.make_engine(**options)


def grow(engine, prompts, keys, plan, **options):
  return tree_sampling.grow(
    engine, prompts, keys, plan=plan, new_tokens=NEW, **options
  )


def texts(count, seed=0):
  return list(test_engine.prompts(count, seed=seed).values())


def scores_behind(row):
  config, params, _ = tiny_decoder.for_sampling()
  return tiny_decoder.logits_behind(config, params, row)


def slow_answer(prompt, head, key, excluded, how):
  """Draws what follows `head`, (token, log_prob, policy, entropy) by token."""
  options = {
    name: getattr(how, name)
    for name in ('temperature', 'top_k', 'top_p', 'min_p')
  }
  drawn = []
  while len(head) + len(drawn) < NEW and (not drawn or drawn[-1][0] != STOP):
    scores = scores_behind([*prompt, *head, *(d[0] for d in drawn)])
    plain = test_sampling.slow_restrict(scores)
    left = scores.copy()
    if excluded is not None and not drawn:
      left[excluded] = -np.inf
    with np.errstate(divide='ignore'):
      tempered = np.log(test_sampling.slow_restrict(left, **options))
    noise = jax.random.gumbel(
      jax.random.fold_in(key, len(drawn)), scores.shape, np.float32
    )
    token = int(np.argmax(tempered + (noise if how.temperature else 0)))
    entropy = -(plain * np.log(plain)).sum()
    drawn.append((token, tempered[token], np.log(plain[token]), entropy))
  return drawn


def slow_tree(prompt, key, plan, how=PLAIN):
  """Answers as (parent, position, drawn), round by round; no budget."""
  answers, branched = [], set()
  while len(answers) < plan.group_size:
    count = plan.branches if answers else plan.first
    starts = []
    for _ in range(min(count, plan.group_size - len(answers))):
      best = None
      for number, (_, _, drawn) in enumerate(answers):
        tokens = tuple(d[0] for d in drawn)
        end = len(tokens) - plan.skip_last
        for position in range(plan.skip_first, end):
          node = tokens[:position]
          following = {
            other[2][position][0]
            for other in answers
            if tuple(d[0] for d in other[2][:position]) == node
            and len(other[2]) > position
          }
          if node in branched or len(following) > 1:
            continue
          entropy = drawn[position][3]
          if best is None or entropy > best[0] + 1e-6:
            best = (entropy, number, position, node)
      if best is None:
        starts.append((None, 0))
      else:
        branched.add(best[3])
        starts.append(best[1:3])
    for parent, position in starts:
      head, excluded = [], None
      if parent is not None:
        head = answers[parent][2][:position]
        if plan.exclude_parent:
          excluded = answers[parent][2][position][0]
      own = slow_answer(
        prompt,
        [d[0] for d in head],
        jax.random.fold_in(key, len(answers)),
        excluded,
        how,
      )
      answers.append((parent, position, head + own))
  return answers


def check_slow(group, slow):
  assert len(group) == len(slow)
  for answer, (parent, position, drawn) in zip(group, slow, strict=True):
    tokens, log_probs, policy, entropies = zip(*drawn, strict=True)
    assert answer.tokens == list(tokens)
    assert (answer.parent, answer.position) == (parent, position)
    np.testing.assert_allclose(answer.log_probs, log_probs, atol=1e-4)
    np.testing.assert_allclose(answer.policy_log_probs, policy, atol=1e-4)
    np.testing.assert_allclose(answer.entropies, entropies, atol=1e-4)
    assert answer.drawn == [t >= position for t in range(len(tokens))]
    end = 'stop token' if tokens[-1] == STOP else 'length'
    assert answer.end == end


@pytest.mark.parametrize(
  ('plan', 'how'),
  [
    (Plan(6), PLAIN),
    (Plan(9, first=2, branches=3), PLAIN),
    (Plan(7, branches=3, skip_first=0, skip_last=0), PLAIN),
    (Plan(6, branches=2, skip_first=3, skip_last=4), PLAIN),
    (Plan(7, branches=2, exclude_parent=True), PLAIN),
    (Plan(6, exclude_parent=True), sampling.SamplingParams(0.0)),
    (
      Plan(6, branches=2, exclude_parent=True),
      sampling.SamplingParams(0.6, top_k=9, top_p=0.8, min_p=0.02),
    ),
  ],
)
def test_trees_are_those_of_a_slow_sampler(plan, how):
  prompts = texts(4, seed=1)
  keys = jax.random.split(jax.random.key(1), 4)
  engine = make_engine(sampling_params=how)
  groups = grow(engine, prompts, keys, plan)
  parents = set()
  for prompt, key, group in zip(prompts, keys, groups, strict=True):
    check_slow(group, slow_tree(prompt, key, plan, how))
    parents |= {answer.parent for answer in group}
  # There are branches of branches.
  assert len(parents) > 2
  assert engine.stats.generated == sum(
    sum(answer.drawn) for group in groups for answer in group
  )


def same(groups, others):
  for group, other in zip(groups, others, strict=True):
    assert [(a.tokens, a.parent, a.position, a.end) for a in group] == [
      (a.tokens, a.parent, a.position, a.end) for a in other
    ]
    for one, two in zip(group, other, strict=True):
      np.testing.assert_allclose(one.log_probs, two.log_probs, atol=1e-4)


@functools.cache
def reference():
  prompts = texts(7, seed=2)
  keys = jax.random.split(jax.random.key(2), 7)
  plan = Plan(6, branches=2, exclude_parent=True)
  return prompts, keys, plan, grow(make_engine(), prompts, keys, plan)


@pytest.mark.parametrize(
  ('options', 'trees'),
  [
    ({'slots': 1}, None),
    ({'slots': 3}, 7),
    ({'slots': 16, 'decode_steps_per_call': 32}, 7),
    ({'slots': 16, 'share_prefixes': False}, 2),
    ({'slots': 5, 'capacities': (32, 64), 'chunks': (4, 8)}, 4),
  ],
)
def test_a_tree_depends_on_nothing_but_prompt_and_key(options, trees):
  prompts, keys, plan, expected = reference()
  same(grow(make_engine(**options), prompts, keys, plan, trees=trees), expected)
  order = np.random.default_rng(0).permutation(7)[:4]
  some = grow(
    make_engine(**options), [prompts[i] for i in order], keys[order], plan
  )
  same(some, [expected[i] for i in order])


def test_prompts_and_prefixes_are_read_once():
  # Shorter heads than 8 tokens are read rather than copied.
  prompts = [list(range(8, 28)), list(range(30, 9, -1)), [9, 35] * 6]
  keys = jax.random.split(jax.random.key(3), 3)
  # One by one, so that answers are branched off long after they ended.
  plan = Plan(8)

  def work(slots, trees=None, **options):
    engine = make_engine(slots=slots, stop_tokens=(), **options)
    groups = grow(engine, prompts, keys, plan, trees=trees)
    heads = sum(
      len(prompt) - 1 + answer.position
      for prompt, group in zip(prompts, groups, strict=True)
      for answer in group
    )
    # The last token in front of a draw is read by the draw.
    assert engine.stats.prefilled + engine.stats.prefix_cache_hits == heads
    return engine.stats

  once = sum(len(prompt) - 1 for prompt in prompts)
  for slots, trees in ((8, None), (24, 3)):
    assert work(slots, trees).read == once
  alone = work(24, share_prefixes=False)
  assert alone.shared == 0
  assert alone.read > 8 * once
  # Where slots are short some is read again, but not all.
  assert once < work(3, 3).read < alone.read / 2


def learner_scores(prompts, groups, temperature=1.0):
  """Log-probabilities and entropies of each answer, from its whole row."""
  config, params, _ = tiny_decoder.for_sampling()
  rows = [
    [*prompt, *answer.tokens]
    for prompt, group in zip(prompts, groups, strict=True)
    for answer in group
  ]
  tokens = np.zeros((len(rows), 96), np.int32)
  for i, row in enumerate(rows):
    tokens[i, : len(row)] = row
  length = np.array([len(row) for row in rows])
  scores = jax.jit(
    decoder.log_probs, static_argnums=1, static_argnames='temperature'
  )(params, config, tokens, length, temperature=temperature)
  found = iter(zip(*map(np.asarray, scores), strict=True))
  return [
    [
      [x[len(prompt) : len(prompt) + len(answer.tokens)] for x in next(found)]
      for answer in group
    ]
    for prompt, group in zip(prompts, groups, strict=True)
  ]


@pytest.mark.parametrize('exclude', [False, True])
def test_log_probs_of_whole_answers_are_those_of_the_learner(exclude):
  prompts = texts(5, seed=4)
  keys = jax.random.split(jax.random.key(4), 5)
  plan = Plan(7, branches=2, exclude_parent=exclude)
  groups = grow(
    make_engine(sampling_params=sampling.SamplingParams(0.8)),
    prompts,
    keys,
    plan,
  )
  plain = learner_scores(prompts, groups)
  tempered = learner_scores(prompts, groups, temperature=0.8)
  branches = 0
  for group, *scores in zip(groups, plain, tempered, strict=True):
    for number, answer in enumerate(group):
      policy, entropies = scores[0][number]
      np.testing.assert_allclose(answer.policy_log_probs, policy, atol=1e-4)
      np.testing.assert_allclose(answer.entropies, entropies, atol=1e-4)
      expected = scores[1][number][0].copy()
      # Where answers on the way here could not begin with a token.
      line = answer
      while line.parent is not None:
        parent = group[line.parent]
        if exclude:
          assert line.excluded == parent.tokens[line.position]
          assert answer.tokens[line.position] != line.excluded
          lost = scores[1][line.parent][0][line.position]
          if parent.parent is None or line.position != parent.position:
            expected[line.position] -= np.log1p(-np.exp(lost))
            branches += 1
        else:
          assert line.excluded is None
        line = parent
      np.testing.assert_allclose(answer.log_probs, expected, atol=1e-4)
  assert bool(branches) == exclude


def test_the_budget_holds_and_gives_more_answers():
  prompts = texts(5, seed=5)
  keys = jax.random.split(jax.random.key(5), 5)
  budget = 4 * NEW
  plan = Plan(token_budget=budget, branches=3, exclude_parent=True)
  groups = grow(make_engine(stop_tokens=()), prompts, keys, plan)
  for group in groups:
    used = sum(sum(answer.drawn) for answer in group)
    # No answer was cut short, and what is left pays for no further branch.
    assert all(len(answer.tokens) == NEW for answer in group)
    tree = answer_trees.Tree(1, 1)
    for answer in group:
      tree.add(answer.tokens, answer.entropies)
    taken = {tuple(answer.tokens[: answer.position]) for answer in group} - {()}
    open_nodes = {
      tuple(answer.tokens[:t]) for answer in group for t in range(1, NEW - 1)
    } - taken
    shortest = min(NEW - len(node) for node in open_nodes)
    assert budget - shortest < used <= budget
    assert len(group) > 4
    # Nothing but branches that part from their parents.
    assert len(answer_trees.branch_points([a.tokens for a in group])) == (
      len(group) - 1
    )
  # Both bounds at once: the group is the tighter one, then the budget.
  few = Plan(3, token_budget=budget, branches=3, exclude_parent=True)
  few_groups = grow(make_engine(stop_tokens=()), prompts, keys, few)
  assert {len(group) for group in few_groups} == {3}
  many = Plan(99, token_budget=budget, branches=3, exclude_parent=True)
  same(grow(make_engine(stop_tokens=()), prompts, keys, many), groups)


def test_where_no_answer_can_branch_they_are_drawn_from_the_prompt():
  prompts = texts(2)
  keys = jax.random.split(jax.random.key(6), 2)
  groups = grow(make_engine(stop_tokens=range(40)), prompts, keys, Plan(5))
  for group, key, prompt in zip(groups, keys, prompts, strict=True):
    assert [answer.parent for answer in group] == [None] * 5
    for number, answer in enumerate(group):
      slow = slow_answer(
        prompt, [], jax.random.fold_in(key, number), None, PLAIN
      )
      assert answer.tokens == [slow[0][0]]
  assert len({a.tokens[0] for group in groups for a in group}) > 2


def test_stop_strings_span_the_node_of_a_branch():
  config, params, _ = tiny_decoder.for_sampling()
  strings = ['stop here', 'w9 st']
  words = test_generation.Words()
  keys = jax.random.split(jax.random.key(7), 30)
  groups = tree_sampling.sample(
    params, config, [[8 + i % 20, 10 + i % 3] for i in range(30)], keys,
    plan=Plan(6, branches=2), new_tokens=24, strings=strings, tokenizer=words,
    chunks=(16,), decode_steps_per_call=4,
  )  # fmt: skip
  spanning = 0
  for answer in (answer for group in groups for answer in group):
    whole = words.decode(answer.tokens)
    assert answer.text == stop_strings.cut(whole, strings)
    found = any(string in whole for string in strings)
    assert (answer.end == 'stop string') == found
    if found:
      assert not any(s in words.decode(answer.tokens[:-1]) for s in strings)
      own = words.decode(answer.tokens[answer.position :])
      spanning += not any(string in own for string in strings)
    else:
      assert answer.end == 'length' and len(answer.tokens) == 24
  assert spanning > 2


def test_no_compilation_when_lengths_change():
  functions = (
    sampler.prefill, sampler.decode, generation.engine_lib.cache_lib.copy,
    generation.engine_lib.cache_lib.grow, generation.engine_lib.cache_lib.take,
  )  # fmt: skip

  def compiled():
    return sum(function._cache_size() for function in functions)

  def play(seed):
    rng = np.random.default_rng(seed)
    plan = Plan(
      int(rng.integers(2, 9)), branches=int(rng.integers(1, 4)),
      exclude_parent=True,
    )  # fmt: skip
    engine = make_engine(
      slots=8, vocab_size=41, chunks=(8, 32), capacities=(64,), row_tokens=65
    )
    keys = jax.random.split(jax.random.key(seed), 5)
    grow(engine, texts(5, seed=seed), keys, plan, trees=2)

  before = compiled()
  for seed in range(4):
    play(seed)
  # Two lengths of pieces, read by one row or by all; copies of one row or of
  # more; one decoding loop.
  warm = compiled()
  assert 0 < warm - before <= 2 * 2 + 2 + 1
  for seed in range(4, 9):
    play(seed)
  assert compiled() == warm


def test_a_model_that_was_trained():
  folder = shared_data.shared_data('stories260K/hf')
  pretrained_tokenizer = pytest.importorskip(
    'jaxcredit.networks.tokenizers.pretrained_tokenizer', reason='an extra'
  )
  pytest.importorskip('transformers', reason='an extra')
  from jaxcredit.networks import weights

  params, config = weights.from_pretrained(folder, compute_dtype='float32')
  tokenizer = pretrained_tokenizer.load(folder)
  prompt = [1, *tokenizer.encode('Once upon a time')]
  plan = Plan(8, branches=2, exclude_parent=True)
  ended = []
  (group,) = tree_sampling.sample(
    params, config, [prompt], jax.random.split(jax.random.key(8), 1),
    plan=plan, new_tokens=40, stop_tokens=(1,), tokenizer=tokenizer,
    slots=8, chunks=(16,), on_answer=ended.append,
  )  # fmt: skip
  assert len(group) == sum(ended) == 8
  assert len(answer_trees.branch_points([a.tokens for a in group])) == 7
  tokens = np.zeros((8, 64), np.int32)
  length = np.zeros((8,), np.int32)
  for i, answer in enumerate(group):
    length[i] = len(prompt) + len(answer.tokens)
    tokens[i, : length[i]] = [*prompt, *answer.tokens]
  policy, entropies = jax.jit(decoder.log_probs, static_argnums=1)(
    params, config, tokens, length
  )
  for i, answer in enumerate(group):
    inside = slice(len(prompt), int(length[i]))
    np.testing.assert_allclose(
      answer.policy_log_probs, policy[i, inside], atol=1e-3
    )
    np.testing.assert_allclose(
      answer.entropies, entropies[i, inside], atol=1e-3
    )
    shown = answer.tokens[:-1] if answer.end == 'stop token' else answer.tokens
    assert answer.text == tokenizer.decode(shown)
  # The first branch left where the first answer was least certain.
  first = np.asarray(group[0].entropies)
  assert group[1].position == 1 + np.argmax(first[1:-1])


@pytest.mark.parametrize(
  ('plan', 'message'),
  [
    (Plan(), 'needs a group_size, a token_budget, or both'),
    (Plan(4, first=0), 'first must be at least 1, not 0'),
    (Plan(4, branches=0), 'branches must be at least 1'),
    (Plan(4, skip_first=-1), 'skip_first must be at least 0'),
    (Plan(4, skip_last=-1), 'skip_last must be at least 0'),
    (Plan(0), 'group_size=0 is less than the first=1 answers'),
    (Plan(2, first=3), 'group_size=2 is less than the first=3 answers'),
    (
      Plan(token_budget=23, first=2),
      'token_budget=23 does not hold the first=2 answers of up to 12 tokens',
    ),
  ],
)
def test_plans_that_make_no_sense(plan, message):
  keys = jax.random.split(jax.random.key(0), 1)
  with pytest.raises(ValueError, match=message):
    grow(make_engine(), [[8]], keys, plan)


def test_prompts_that_cannot_be():
  keys = jax.random.split(jax.random.key(0), 1)
  with pytest.raises(ValueError, match='2 prompts do not go with 1 keys'):
    grow(make_engine(), [[8], [9]], keys, Plan(2))
  with pytest.raises(ValueError, match='at least one token'):
    grow(make_engine(), [[]], keys, Plan(2))
  with pytest.raises(ValueError, match='trees must be positive, not 0'):
    grow(make_engine(), [[8]], keys, Plan(2), trees=0)
  config, params, _ = tiny_decoder.for_sampling()
  assert not tree_sampling.sample(
    params, config, [], keys[:0], plan=Plan(2), new_tokens=3
  )
