"""Answers that branch off each other where the policy was least certain.

A tree in place of independent samples. Of each prompt's answers the first are
drawn from the prompt; then, round after round, answers branch off at the nodes
(prefixes of answers) at which the policy's entropy was highest. A branch takes
over the tokens in front of its node with their log-probabilities and their keys
and values in the cache, and draws the rest with a key of its own: a budget of
tokens gives more answers, and more nodes at which they part.

No node is branched off twice, nor one at which answers part already. Positions
count the tokens of the answer, not those of the prompt.

How the answers are distributed:

* Behind its node a branch is drawn from the sampling distribution, as any
  answer is; its first token may be the one that its parent went on with. With
  `exclude_parent` it cannot: `log_probs` of that token are those of the
  distribution without the parent's token, whose probabilities add up to 1
  again, so that `policy_log_probs` minus `log_probs` is the importance ratio.
* Which nodes are branched off depends on the answers drawn so far. So the
  answers of a tree, unlike independent ones, do not weigh alike: their mean
  reward leans towards the nodes with many branches.

Tokens that a branch took over are part of it, as the prefixes that independent
answers share are part of each: credit that compares answers (TEMPO's) takes the
whole answers. `Completion.drawn` marks the tokens that an answer drew itself; a
learner that takes it as its mask counts each drawn token once.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcredit.networks import config as config_lib
from jaxcredit.networks.sampling import answer_trees, generation
from jaxcredit.networks.sampling import engine as engine_lib


@dataclasses.dataclass(frozen=True)
class Plan:
  """How the tree of a prompt grows.

  Attributes:
    group_size: answers of a prompt; None: as many as the budget gives.
    token_budget: tokens drawn for a prompt at most, those taken over not
      counted; None: no bound. No answer is cut short for it: one begins only
      where the budget holds all that it might draw.
    first: answers drawn from the prompt before any branches off.
    branches: answers that branch off in a round. Those of a round are drawn
      side by side, and cannot branch off each other.
    skip_first: tokens at an answer's start in front of which none branches off;
      in front of the first all of them would be drawn anew.
    skip_last: likewise at its end.
    exclude_parent: whether a branch cannot begin with the token that its parent
      went on with.
  """

  group_size: int | None = None
  token_budget: int | None = None
  first: int = 1
  branches: int = 1
  skip_first: int = 1
  skip_last: int = 1
  exclude_parent: bool = False

  def check(self, new_tokens: int) -> 'Plan':
    """Returns self; raises ValueError where it makes no sense.

    Args:
      new_tokens: tokens of an answer at most.
    """
    if self.group_size is None and self.token_budget is None:
      raise ValueError('a plan needs a group_size, a token_budget, or both')
    least = {
      'first': 1, 'branches': 1, 'skip_first': 0, 'skip_last': 0,
    }  # fmt: skip
    for name, bound in least.items():
      if getattr(self, name) < bound:
        raise ValueError(
          f'{name} must be at least {bound}, not {getattr(self, name)}'
        )
    if self.group_size is not None and self.group_size < self.first:
      raise ValueError(
        f'group_size={self.group_size} is less than the first={self.first} '
        'answers drawn from the prompt'
      )
    if (
      self.token_budget is not None
      and self.token_budget < self.first * new_tokens
    ):
      raise ValueError(
        f'token_budget={self.token_budget} does not hold the first='
        f'{self.first} answers of up to {new_tokens} tokens each'
      )
    return self

  def answers(self, new_tokens: int) -> int:
    """About how many answers a prompt gets."""
    if self.group_size is not None:
      return self.group_size
    return max(self.first + self.branches, self.token_budget // new_tokens)


@dataclasses.dataclass(frozen=True)
class Completion:
  """An answer of a tree.

  Attributes:
    tokens: of the whole answer, those taken over and those that end it
      included.
    log_probs: of the tokens under the distribution from which they were drawn,
      by this answer or by the one that drew them first.
    policy_log_probs: of the tokens under the policy itself, at temperature 1.
    entropies: of the policy itself in front of each token, in nats.
    parent: the answer of the group from which it branched off; None for one
      drawn from the prompt.
    position: tokens taken over from the parent: where it branched off.
    excluded: the parent's token with which it could not begin; None where it
      could.
    end: 'stop token', 'stop string', or 'length'.
    support: for each token those among which it was sampled; None without
      `SamplingParams.max_support`.
    text: as that of an `engine.Completion`.
    free_log_probs: as `log_probs`, had no token been excluded; None without
      `Plan.exclude_parent`.
  """

  tokens: list[int]
  log_probs: list[float]
  policy_log_probs: list[float]
  entropies: list[float]
  parent: int | None
  position: int
  excluded: int | None
  end: str
  support: list[list[int]] | None
  text: str | None
  free_log_probs: list[float] | None

  @property
  def drawn(self) -> list[bool]:
    """Marks the tokens that it drew itself."""
    taken = [False] * self.position
    return taken + [True] * (len(self.tokens) - self.position)


@dataclasses.dataclass(frozen=True)
class _Start:
  """Where an answer that is under way began."""

  parent: int | None = None
  position: int = 0


class _Growing:
  """The answers of a prompt, drawn and under way.

  Args:
    plan: how the tree grows.
    new_tokens: tokens of an answer at most.

  Attributes:
    answers: that were drawn in earlier rounds.
    starts: of the answers of this round, by number.
  """

  def __init__(self, plan: Plan, new_tokens: int):
    self._plan = plan
    self._new_tokens = new_tokens
    self._tree = answer_trees.Tree(plan.skip_first, plan.skip_last)
    self._ended: dict[int, Completion] = {}
    self._left = plan.token_budget
    self.answers: list[Completion] = []
    self.starts: dict[int, _Start] = {}

  def next_round(self) -> dict[int, _Start]:
    """Chooses where answers begin; none where the tree is full-grown."""
    count = self._plan.branches if self.answers else self._plan.first
    if self._plan.group_size is not None:
      count = min(count, self._plan.group_size - len(self.answers))
    # What the answers of the round may draw is set aside, so that what one
    # draws does not decide where another begins.
    left = self._left
    self.starts = {}
    while len(self.starts) < count:
      start = self._best(left)
      if start is None:
        break
      if left is not None:
        left -= self._new_tokens - start.position
      self.starts[len(self.answers) + len(self.starts)] = start
    return self.starts

  def _best(self, left: int | None) -> _Start | None:
    """The node of highest entropy whose longest continuation is paid for."""
    least = 0 if left is None else self._new_tokens - left
    if self.answers and self._tree.open_nodes():
      place = self._tree.take(least)
      return place and _Start(*place)
    # Nowhere to branch off, as where all answers are a token long.
    return _Start() if least <= 0 else None

  def excluded(self, start: _Start) -> int | None:
    if start.parent is None or not self._plan.exclude_parent:
      return None
    return self.answers[start.parent].tokens[start.position]

  def end(self, number: int, answer: engine_lib.Completion, text_of) -> bool:
    """Takes an answer in; returns whether the round is over."""
    start = self.starts[number]
    head = Completion([], [], [], [], None, 0, None, '', [], None, [])
    if start.parent is not None:
      head = self.answers[start.parent]

    def whole(name):
      return getattr(head, name)[: start.position] + getattr(answer, name)

    joined = Completion(
      tokens=whole('tokens'),
      log_probs=whole('log_probs'),
      policy_log_probs=whole('policy_log_probs'),
      entropies=whole('entropies'),
      parent=start.parent,
      position=start.position,
      excluded=self.excluded(start),
      end=answer.end,
      support=None if answer.support is None else whole('support'),
      text=None,
      free_log_probs=None
      if answer.free_log_probs is None
      else whole('free_log_probs'),
    )
    self._ended[number] = dataclasses.replace(joined, text=text_of(joined))
    if len(self._ended) < len(self.starts):
      return False
    # In the order of their numbers, not in that in which they ended.
    for number in sorted(self._ended):
      one = self._ended[number]
      self._tree.add(one.tokens, one.entropies)
      self.answers.append(one)
      if self._left is not None:
        self._left -= len(one.tokens) - one.position
    self._ended = {}
    return True


def sample(
  params: dict[str, Any],
  config: config_lib.DecoderConfig,
  prompts: Sequence[Sequence[int]],
  keys: jax.Array,
  *,
  plan: Plan,
  new_tokens: int,
  strings: Sequence[str] = (),
  tokenizer: Any = None,
  trees: int | None = None,
  on_answer: Callable[[int], None] | None = None,
  **options,
) -> list[list[Completion]]:
  """Answers prompts by trees.

  Args:
    params: of the decoder, as `decoder.init` makes them.
    config: of the decoder.
    prompts: tokens of each of P prompts, at least one.
    keys: random keys [P].
    plan: how the trees grow.
    new_tokens: tokens of an answer at most, those taken over included.
    strings: texts that end an answer, wherever they lie among tokens.
    tokenizer: decodes the answers; stop strings need it.
    trees: see `grow`.
    on_answer: called with the number of answers that just ended.
    **options: further ones of `generation.make_engine`.

  Returns:
    P groups of answers.

  Raises:
    ValueError: what `generation.generate` raises, or a plan that makes no
      sense.
  """
  if not len(prompts):
    return []
  engine = generation.make_engine(
    params,
    config,
    max(len(prompt) for prompt in prompts),
    new_tokens=new_tokens,
    strings=strings,
    tokenizer=tokenizer,
    **options,
  )
  return grow(
    engine, prompts, keys, plan=plan, new_tokens=new_tokens, strings=strings,
    tokenizer=tokenizer, trees=trees, on_answer=on_answer,
  )  # fmt: skip


def grow(
  engine: engine_lib.Engine,
  prompts: Sequence[Sequence[int]],
  keys: jax.Array,
  *,
  plan: Plan,
  new_tokens: int,
  strings: Sequence[str] = (),
  tokenizer: Any = None,
  trees: int | None = None,
  on_answer: Callable[[int], None] | None = None,
) -> list[list[Completion]]:
  """Answers prompts by trees, with an engine at hand.

  The tree of a prompt depends on the prompt and its key alone, not on the
  others nor on the slots, up to ties within the rounding of logits and
  entropies.

  Answers that have ended keep their slots until their tree is full-grown, so
  that branches find all keys and values there; where slots run short, those go
  first that cost least to read again.

  Args:
    engine: has no rows.
    prompts: tokens of each of P prompts, at least one.
    keys: random keys [P]; answer g draws with `fold_in(key, g)`.
    plan: how the trees grow.
    new_tokens: tokens of an answer at most, those taken over included.
    strings: with which the engine was built.
    tokenizer: decodes the answers.
    trees: that grow side by side. More leave fewer slots idle, and have more
      read again where slots run short; None: as many as find room.
    on_answer: called with the number of answers that just ended.

  Returns:
    P groups of answers.

  Raises:
    ValueError: a plan that makes no sense, or prompts that do not fit.
  """
  plan = plan.check(new_tokens)
  if len(prompts) != len(keys):
    raise ValueError(f'{len(prompts)} prompts do not go with {len(keys)} keys')
  if trees is None:
    trees = max(1, engine.slots // plan.answers(new_tokens))
  if trees < 1:
    raise ValueError(f'trees must be positive, not {trees}')
  growth = _Growth(engine, prompts, keys, plan, new_tokens)
  waiting = collections.deque(range(len(prompts)))

  def text_of(answer):
    return tokenizer and generation.text_of(answer, tokenizer, strings)

  while waiting or growth.live:
    while waiting and len(growth.live) < trees:
      growth.begin(waiting.popleft())
    ended = growth.step(text_of)
    if on_answer is not None and ended:
      on_answer(ended)
  return growth.groups


class _Growth:
  """Trees and their rows in the engine; a row's name is (prompt, answer)."""

  def __init__(self, engine, prompts, keys, plan, new_tokens):
    self._engine = engine
    self._prompts = prompts
    self._keys = keys
    self._plan = plan
    self._new_tokens = new_tokens
    # Rows that have ended and hold their slots, with the tokens that are
    # nowhere else.
    self._kept: dict[tuple[int, int], int] = {}
    self.live: dict[int, _Growing] = {}
    self.groups: list[list[Completion]] = [[] for _ in prompts]

  def begin(self, prompt: int) -> None:
    self.live[prompt] = _Growing(self._plan, self._new_tokens)
    self._go_on(prompt)

  def _go_on(self, prompt: int) -> None:
    """Submits a tree's next round, or lets go of the tree."""
    tree = self.live[prompt]
    for number, start in tree.next_round().items():
      head = []
      if start.parent is not None:
        head = tree.answers[start.parent].tokens[: start.position]
      excluded = tree.excluded(start)
      self._engine.submit(
        [(prompt, number)],
        [[*self._prompts[prompt], *head]],
        jax.random.fold_in(self._keys[prompt], number).reshape(1),
        new_tokens=self._new_tokens - start.position,
        begun=[start.position],
        # From the first call on, so that the drawing compiles once.
        excluded=[-1 if excluded is None else excluded]
        if self._plan.exclude_parent
        else None,
      )
    if not tree.starts:
      for name in [name for name in self._kept if name[0] == prompt]:
        self._release(name)
      self.groups[prompt] = self.live.pop(prompt).answers

  def _release(self, name: tuple[int, int]) -> None:
    self._engine.release(name)
    del self._kept[name]

  def step(self, text_of) -> int:
    """Lets the engine go on; returns the number of answers that ended."""
    rows = len(self._kept) + self._engine.answering
    while self._kept and rows > self._engine.slots:
      self._release(min(self._kept, key=self._kept.get))
      rows -= 1
    ended = self._engine.step()
    over = []
    for answer in ended:
      prompt, number = answer.name
      tree = self.live[prompt]
      position = tree.starts[number].position
      own = len(answer.tokens) + (0 if position else len(self._prompts[prompt]))
      self._kept[answer.name] = own
      if tree.end(number, answer, text_of):
        over.append(prompt)
    for prompt in over:
      self._go_on(prompt)
    return len(ended)
