"""PDDL read and carried out the slow way: sets of facts, nothing compiled.

Shares no code with the package: it has a reader of its own, and evaluates
formulas over all objects whenever it is asked.
"""

import itertools
import re


def read(text):
  """Nested lists of lower-case words."""
  text = re.sub(r';.*', '', text).lower()
  tokens = text.replace('(', ' ( ').replace(')', ' ) ').split()

  def take():
    token = tokens.pop(0)
    if token != '(':
      return token
    result = []
    while tokens[0] != ')':
      result.append(take())
    tokens.pop(0)
    return result

  return take()


def typed(words):
  pairs, waiting = [], []
  words = list(words)
  while words:
    word = words.pop(0)
    if word == '-':
      kind = words.pop(0)
      pairs += [(name, kind) for name in waiting]
      waiting = []
    else:
      waiting.append(word)
  return pairs


class Interpreter:
  """A state of a problem, and the actions that a domain allows in it."""

  def __init__(self, domain_text, problem_text):
    domain, problem = read(domain_text), read(problem_text)
    self.actions = {}
    for part in domain[1:]:
      if part[0] == ':action':
        fields = dict(zip(part[2::2], part[3::2], strict=True))
        self.actions[part[1]] = (
          typed(fields[':parameters']),
          fields[':precondition'],
          fields[':effect'],
        )
    self.parents = {}
    for part in domain[1:]:
      if part[0] == ':types' and '-' in part:
        self.parents = dict(typed(part[1:]))
    sections = {part[0]: part[1:] for part in problem[1:]}
    self.kinds = dict(typed(sections[':objects']))
    self.state = {tuple(fact) for fact in sections[':init']}
    (self.goal,) = sections[':goal']

  def things(self, kind):
    found = []
    for name, own in self.kinds.items():
      while own and own != kind:
        own = self.parents.get(own)
      if own:
        found.append(name)
    return found

  def over(self, pairs):
    for values in itertools.product(*(self.things(kind) for _, kind in pairs)):
      yield {name: v for (name, _), v in zip(pairs, values, strict=True)}

  def holds(self, formula, binding, state=None):
    state = self.state if state is None else state
    if not formula:
      return True
    word = formula[0]
    if word == 'and':
      return all(self.holds(f, binding, state) for f in formula[1:])
    if word == 'or':
      return any(self.holds(f, binding, state) for f in formula[1:])
    if word == 'not':
      return not self.holds(formula[1], binding, state)
    if word == 'imply':
      return not self.holds(formula[1], binding, state) or self.holds(
        formula[2], binding, state
      )
    if word in ('exists', 'forall'):
      answers = [
        self.holds(formula[2], {**binding, **inner}, state)
        for inner in self.over(typed(formula[1]))
      ]
      return any(answers) if word == 'exists' else all(answers)
    names = [binding.get(name, name) for name in formula[1:]]
    if word == '=':
      return names[0] == names[1]
    return (word, *names) in state

  def changes(self, effect, binding):
    """Facts added and deleted by an effect in the present state."""
    if not effect:
      return set(), set()
    word = effect[0]
    if word == 'and':
      parts = [self.changes(e, binding) for e in effect[1:]]
    elif word == 'forall':
      parts = [
        self.changes(effect[2], {**binding, **inner})
        for inner in self.over(typed(effect[1]))
      ]
    elif word == 'when':
      if not self.holds(effect[1], binding):
        return set(), set()
      return self.changes(effect[2], binding)
    elif word == 'not':
      added, deleted = self.changes(effect[1], binding)
      return deleted, added
    else:
      return {(word, *(binding.get(n, n) for n in effect[1:]))}, set()
    return (
      set().union(*(added for added, _ in parts)),
      set().union(*(deleted for _, deleted in parts)),
    )

  def applicable(self):
    """(action, arguments) of all that can be done."""
    return {
      (name, tuple(binding.values()))
      for name, (pairs, precondition, _) in self.actions.items()
      for binding in self.over(pairs)
      if self.holds(precondition, binding)
    }

  def do(self, name, arguments):
    pairs, _, effect = self.actions[name]
    binding = {n: a for (n, _), a in zip(pairs, arguments, strict=True)}
    added, deleted = self.changes(effect, binding)
    self.state = (self.state - deleted) | added
