"""VirtualHome in text.

What can be done, and what it does, is the planning domain's, to the letter:
walking to a thing is always possible while one stands, hands are full when both
hold something, and a closed fridge gives nothing. An action that the domain
does not allow now changes nothing, and its answer says why.

The opening names all things with their states; later answers tell what changed.

Some of what the domain says surprises, and is kept, so that its problems mean
what they mean elsewhere: closing a thing does not end that it is open, what is
grabbed stays in what it lay in, the second thing that is grabbed is in both
hands, and rooms that were walked into are not left.
"""

import functools
import re

from jaxcredit.environments import commands, protocol
from jaxcredit.environments.virtualhome import (
  conditions,
  grounding,
  problems,
  reasons,
  wording,
)
from jaxcredit.environments.virtualhome import domain as domain_lib

ANCHORS = ('observation', 'state')
_REFUSED = 'That cannot be done'
_NO_ACTION, _NO_THING = 'there is no such action', 'there is no such thing'
# What is said to actions of no sense. Other refusals are made of facts.
REFUSALS = (f'{_REFUSED}: {_NO_ACTION}.', f'{_REFUSED}: {_NO_THING}.')


class Tables:
  """A grounded problem with what stepping looks up.

  Attributes:
    grounding: the problem.
    texts: of the grounding's actions, sorted.
    by_text: text -> action.
    character: the agent's name.
  """

  def __init__(self, problem: problems.Problem):
    parsed = problem.parse()
    domain = domain_lib.virtualhome()
    self.grounding = grounding.Grounding(domain, parsed)
    characters = self.grounding.things('character')
    if len(characters) != 1:
      raise domain_lib.GameError(
        problem.source,
        0,
        f'a problem needs one character, not {len(characters)}',
      )
    (self.character,) = characters
    self.by_text: dict[str, grounding.GroundAction] = {}
    for action in self.grounding.actions:
      text = wording.action_words(action.name, action.arguments[1:])
      if text in self.by_text:
        raise domain_lib.GameError(
          problem.source, 0, f'two actions are called {text!r}'
        )
      self.by_text[text] = action
    self.texts = tuple(sorted(self.by_text))
    self.things = {
      commands.plain(wording.named(thing)): thing
      for thing in self.grounding.things('object')
    }
    # Many actions share a precondition, which is then decided once.
    kinds: dict[conditions.Condition, int] = {}
    self._kind_of_text = [
      kinds.setdefault(self.by_text[text].precondition, len(kinds))
      for text in self.texts
    ]
    self._kinds = tuple(kinds)
    # Facts that are told of things, and those that are told of the agent.
    self.bits = {atom: i for i, atom in enumerate(self.grounding.atoms)}
    self.hands = sum(
      1 << bit
      for atom, bit in self.bits.items()
      if atom[0] in ('holds_rh', 'holds_lh')
    )

  @functools.cached_property
  def _plain(self) -> dict[str, str]:
    return {commands.plain(text): text for text in self.texts}

  def listed(self, text: str) -> str:
    """The action that a text means, as it is listed; else in plain letters."""
    if text in self.by_text:
      return text
    plain = commands.plain(text)
    return self._plain.get(plain, plain)

  def admissible(self, state: int) -> tuple[str, ...]:
    """The texts of all applicable actions, sorted."""
    able = [conditions.holds(kind, state) for kind in self._kinds]
    return tuple(
      text
      for text, kind in zip(self.texts, self._kind_of_text, strict=True)
      if able[kind]
    )

  def partners(self, predicate: str, state: int, name: str = '') -> list[str]:
    """The second arguments of a predicate's facts about `name`."""
    name = name or self.character
    return [
      thing
      for thing in self.grounding.things('object')
      if self.grounding.value((predicate, name, thing), state)
    ]

  def described(self, thing: str, state: int) -> str:
    """A thing's name with its states and where it lies, in brackets."""
    value = self.grounding.value
    words = [
      text
      for predicate, text in wording.STATES.items()
      if value((predicate, thing), state)
    ]
    for predicate, form in wording.PLACES.items():
      words += [
        form.format(wording.named(place))
        for place in self.partners(predicate, state, thing)
      ]
    name = wording.named(thing)
    return f'{name} ({", ".join(words)})' if words else name

  def hand(self, predicate: str, state: int) -> str:
    return wording.listed(map(wording.named, self.partners(predicate, state)))


@functools.lru_cache(maxsize=512)
def compiled(problem: problems.Problem) -> Tables:
  """The tables of a problem; the latest problems stay in memory."""
  return Tables(problem)


_PATTERNS = tuple(
  (name, re.compile(re.escape(form).replace(r'\{\}', '(.+)'), re.DOTALL))
  for name, form in wording.ACTIONS.items()
)


class VirtualHomeEnvironment:
  """A VirtualHome household in text; see `protocol.TextEnvironment`.

  The reward is 1 in each step after which all conditions of the goal hold, else
  0; reaching it terminates. Any text is accepted as an action.

  Args:
    max_steps: steps after which the episode is truncated; None for no limit.
    anchor: what identifies a state. 'observation': the text last seen.
      'state': all changing facts.
  """

  def __init__(
    self, *, max_steps: int | None = None, anchor: str = 'observation'
  ):
    if anchor not in ANCHORS:
      raise ValueError(f'anchor must be one of {ANCHORS}, not {anchor!r}')
    if max_steps is not None and max_steps < 1:
      raise ValueError(f'max_steps must be positive, not {max_steps}')
    self._max_steps = max_steps
    self._anchor_is_state = anchor == 'state'
    self._tables: Tables | None = None

  # The state: public, as experts and tests read it; see `grounding`.
  state: int

  @property
  def tables(self) -> Tables:
    return self._tables

  def reset(self, task: problems.Problem) -> protocol.TextStep:
    """Starts a problem; raises GameError where it is malformed."""
    tables = compiled(task)
    self._tables = tables
    self.state = tables.grounding.start
    self._steps = 0
    rooms = tables.partners('inside', self.state)
    things = (tables.described(t, self.state) for t in tables.things.values())
    lines = []
    if rooms:
      lines.append(f'You are in {wording.listed(map(wording.named, rooms))}.')
    if tables.grounding.value(('sitting', tables.character), self.state):
      lines.append('You sit.')
    if tables.grounding.value(('lying', tables.character), self.state):
      lines.append('You lie.')
    if self.state & tables.hands:
      lines.append(self._hands())
    near = tables.partners('next_to', self.state)
    if near:
      lines.append(f'Next to you: {wording.listed(map(wording.named, near))}.')
    lines.append(f'There are: {"; ".join(sorted(things)) or "no things"}.')
    return self._answer(' '.join(lines), 0.0, False)

  def step(self, action: str) -> protocol.TextStep:
    """Takes an action."""
    if self._tables is None:
      raise RuntimeError('reset the environment before it is stepped')
    text = self._tables.listed(action.strip())
    ground = self._tables.by_text.get(text)
    if executed := bool(ground) and conditions.holds(
      ground.precondition, self.state
    ):
      before = self.state
      self.state = ground.apply(before)
      answer = self._told(text, ground, before)
    else:
      answer = f'{_REFUSED}: {self._why(text)}.'
    self._steps += 1
    won = self.goal_holds()
    return self._answer(answer, float(won), won, executed)

  def fork(self) -> 'VirtualHomeEnvironment':
    """An independent environment in the same state."""
    other = object.__new__(VirtualHomeEnvironment)
    other.__dict__.update(self.__dict__)
    return other

  def state_text(self) -> str:
    """Text that is equal for equal states of a problem, and for no others."""
    return f'{self.state:x}'

  def goal_holds(self) -> bool:
    return conditions.holds(self._tables.grounding.goal, self.state)

  def progress(self) -> float:
    """The share of the goal's conditions that hold now.

    A function of the state: 1 where, and only where, the goal holds. Of
    alternatives the one that is nearest counts. What holds from the start
    counts too.
    """
    return conditions.progress(self._tables.grounding.goal, self.state)

  def _answer(
    self, text: str, reward: float, won: bool, executed: bool | None = None
  ) -> protocol.TextStep:
    return protocol.TextStep(
      text,
      reward,
      won,
      self._max_steps is not None
      and self._steps >= self._max_steps
      and not won,
      self._tables.admissible(self.state),
      self.state_text() if self._anchor_is_state else text,
      executed,
    )

  def _hands(self) -> str:
    hand = self._tables.hand
    return (
      f'Right hand: {hand("holds_rh", self.state)}. '
      f'Left hand: {hand("holds_lh", self.state)}.'
    )

  def _told(
    self, text: str, action: grounding.GroundAction, before: int
  ) -> str:
    tables, state = self._tables, self.state
    if action.name in ('walk_towards', 'find'):
      # The thing's states, which decide what can be done with it.
      thing = action.arguments[1]
      verb = text.removesuffix(wording.named(thing))
      told = f'You {verb}{tables.described(thing, state)}.'
      if action.name == 'walk_towards':
        near = [t for t in tables.partners('next_to', state) if t != thing]
        if near:
          near = wording.listed(map(wording.named, near))
          told = f'{told} Next to you: {near}.'
      return told
    told = f'You {text}.'
    if (before ^ state) & tables.hands:
      return f'{told} {self._hands()}'
    return told

  def _why(self, text: str) -> str:
    """Why an action cannot be done now."""
    tables = self._tables
    known = False
    for name, pattern in _PATTERNS:
      match = pattern.fullmatch(text)
      if not match:
        continue
      known = True
      things = [tables.things.get(word) for word in match.groups()]
      if None in things:
        continue
      action = tables.grounding.domain.actions[name]
      arguments = (tables.character, *things)
      binding = dict(zip(action.parameters, arguments, strict=True))
      return reasons.reason(
        tables.grounding, action.precondition, binding, self.state
      )
    return _NO_THING if known else _NO_ACTION
