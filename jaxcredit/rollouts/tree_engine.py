"""An engine that answers the prompt of a group by a tree.

It stands where an engine stands in a collection. The answers to a prompt grow
together (`networks.tree_sampling`) as soon as the first of them is asked for,
and are handed out one by one to the episodes of the group.

A branch that cannot begin with its parent's token samples its first token from
p(y) / (1 - p(parent's)). The learner scores it under p, and its ratio would
not be 1 before the first update: such a token is handed out with log p(y). What
that leaves uncorrected is the choice of the branch, as that of its node.
"""

import dataclasses
from collections.abc import Callable, Hashable, Sequence

import jax

from jaxcredit.networks.sampling import engine as engine_lib
from jaxcredit.networks.sampling import tree_sampling


class TreeEngine:
  """Answers rows, one answer each, by the trees of their groups.

  Args:
    engine: that draws; has no rows.
    plan: how trees grow; its group_size is that of the collection.
    keys: random keys [P], one for each group.
    place: name of a row -> (group, rollout).
    new_tokens: tokens of an answer at most.
    **options: of `tree_sampling.grow`: strings, tokenizer.
  """

  def __init__(
    self,
    engine: engine_lib.Engine,
    plan: tree_sampling.Plan,
    keys: jax.Array,
    place: Callable[[Hashable], tuple[int, int]],
    *,
    new_tokens: int,
    **options,
  ):
    self._engine = engine
    self._plan = plan
    self._keys = keys
    self._place = place
    self._new_tokens = new_tokens
    self._options = options
    self._prompts: dict[int, list[int]] = {}
    self._trees: dict[int, list[tree_sampling.Completion]] = {}
    self._asked: list[Hashable] = []

  @property
  def answering(self) -> int:
    """Rows that have not answered."""
    return len(self._asked)

  def submit(
    self,
    names: Sequence[Hashable],
    tokens: Sequence[Sequence[int]],
    keys: jax.Array,
  ) -> None:
    """Asks for an answer to each row's prompt.

    Args:
      names: of the rows.
      tokens: of the rows.
      keys: not used: the keys are those of the groups.

    Raises:
      ValueError: prompts of one group differ.
    """
    del keys
    for name, prompt in zip(names, tokens, strict=True):
      group, _ = self._place(name)
      if self._prompts.setdefault(group, list(prompt)) != list(prompt):
        raise ValueError(
          f'the prompts of group {group} differ: a tree needs one text to grow '
          'from; the environment must say the same whenever it is reset to a '
          'task'
        )
      self._asked.append(name)

  def release(self, name: Hashable) -> None:
    """Forgets a row."""
    if name in self._asked:
      self._asked.remove(name)

  def step(self) -> list[engine_lib.Completion]:
    """Answers all rows that were asked for."""
    groups = {self._place(name)[0] for name in self._asked}
    new = sorted(groups - self._trees.keys())
    if new:
      trees = tree_sampling.grow(
        self._engine,
        [self._prompts[group] for group in new],
        self._keys[jax.numpy.asarray(new)],
        plan=self._plan,
        new_tokens=self._new_tokens,
        **self._options,
      )
      self._trees.update(zip(new, trees, strict=True))
    names, self._asked = self._asked, []
    return [self._answer(name) for name in names]

  def _answer(self, name: Hashable) -> engine_lib.Completion:
    answer = self._of(name)
    fields = {
      field.name: getattr(answer, field.name)
      for field in dataclasses.fields(engine_lib.Completion)
      if field.name != 'name'
    }
    # Where a support is reported, the learner leaves the same token out.
    if answer.free_log_probs is not None and answer.support is None:
      fields['log_probs'] = answer.free_log_probs
    return engine_lib.Completion(name=name, **fields)

  def _of(self, name: Hashable) -> tree_sampling.Completion:
    group, rollout = self._place(name)
    return self._trees[group][rollout]

  def shared_prefix_length(self, name: Hashable) -> int:
    """Tokens at the head of a row's answer that another answer drew."""
    return self._of(name).position
