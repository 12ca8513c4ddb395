"""VirtualHome in text: an episode by hand, refusals, progress, the protocol."""

import random

import hypothesis
import pytest
from hypothesis import strategies

from jaxcredit.environments import progress, protocol, virtualhome
from jaxcredit.environments.household import pddl
from jaxcredit.environments.virtualhome import conditions, engine
from jaxcredit.rollouts import pool as pool_lib

SAMPLE = virtualhome.sample_problems()
PROBLEM = virtualhome.Problem(
  name='snack',
  task='Drink',
  description='I fetch milk.',
  problem="""(define (problem snack) (:domain virtualhome)
    (:objects character - character bathroom kitchen fridge milk cup_1 cup_2
      - object)
    (:init (inside character bathroom) (sitting character)
      (can_open fridge) (closed fridge) (obj_inside milk fridge)
      (obj_next_to milk fridge) (obj_next_to fridge milk)
      (grabbable milk) (drinkable milk) (grabbable cup_1) (grabbable cup_2)
      (inside_room fridge kitchen) (facing fridge milk))
    (:goal (and (holds_rh character milk) (closed fridge)
      (or (next_to character cup_1) (and (facing character cup_2)
        (inside character kitchen)))))
  )""",
)


def test_an_episode_by_hand():
  environment = virtualhome.VirtualHomeEnvironment(max_steps=50)
  seen = environment.reset(PROBLEM)
  assert seen.observation == (
    'You are in bathroom. You sit. There are: bathroom; cup 1; cup 2; fridge '
    '(closed); kitchen; milk (in fridge).'
  )
  things = ('bathroom', 'cup 1', 'cup 2', 'fridge', 'kitchen', 'milk')
  seated = (
    *(f'sleep on {thing}' for thing in things),
    'stand up',
    *(f'turn to {thing}' for thing in things),
    *(f'wake up on {thing}' for thing in things),
  )
  assert seen.admissible == seated
  episode = (
    ('walk to milk', 'That cannot be done: you sit.', 1 / 3),
    ('stand up', 'You stand up.', 1 / 3),
    (
      'grab milk',
      'That cannot be done: you are not next to milk.',
      1 / 3,
    ),
    (
      'walk to milk',
      'You walk to milk (in fridge). Next to you: fridge.',
      1 / 3,
    ),
    (
      'grab milk',
      'That cannot be done: milk is in fridge and fridge is closed.',
      1 / 3,
    ),
    ('open fridge', 'You open fridge.', 0),
    (
      'grab milk',
      'You grab milk. Right hand: milk. Left hand: nothing.',
      1 / 3,
    ),
    ('find fridge', 'You find fridge (open).', 1 / 3),
    ('grab fridge', 'That cannot be done: fridge cannot be grabbed.', 1 / 3),
    ('close fridge', 'You close fridge.', 2 / 3),
    ('turn to cup 2', 'You turn to cup 2.', 5 / 6),
    (
      'put milk in cup 3',
      'That cannot be done: there is no such thing.',
      5 / 6,
    ),
    ('dance', 'That cannot be done: there is no such action.', 5 / 6),
    ('walk into kitchen', 'You walk into kitchen.', 1),
  )
  for action, answer, share in episode:
    before, listed = environment.state, seen.admissible
    seen = environment.step(action)
    assert seen.observation == answer
    assert environment.progress() == pytest.approx(share)
    assert (action in listed) == (not answer.startswith('That cannot'))
    if action not in listed:
      assert environment.state == before and seen.admissible == listed
    assert seen.reward == (share == 1)
    assert seen.terminated == (share == 1)
    assert not seen.truncated


@pytest.mark.parametrize(
  ('actions', 'refused', 'why'),
  [
    (
      (
        'stand up',
        'walk to cup 1',
        'grab cup 1',
        'walk to cup 2',
        'grab cup 2',
      ),
      'walk to fridge|open fridge|grab milk',
      'cup 1 is in your right hand',
    ),
    ((), 'sit on cup 1', 'you are not next to cup 1'),
    ((), 'put cup 1 on cup 2', 'you are not next to cup 2'),
    (('stand up', 'walk to fridge'), 'switch on fridge', 'no switch'),
    (('stand up',), 'stand up', 'you do not sit'),
  ],
)
def test_reasons(actions, refused, why):
  environment = virtualhome.VirtualHomeEnvironment()
  environment.reset(PROBLEM)
  *more, last = refused.split('|')
  for action in (*actions, *more):
    seen = environment.step(action)
    assert not seen.observation.startswith('That cannot')
  seen = environment.step(last)
  assert seen.observation.startswith('That cannot be done: ')
  assert why in seen.observation


def test_truncation_and_anchors():
  environment = virtualhome.VirtualHomeEnvironment(max_steps=3, anchor='state')
  first = environment.reset(PROBLEM)
  answers = [
    environment.step(a) for a in ('dance', 'turn to milk', 'turn to cup 1')
  ]
  assert [a.truncated for a in answers] == [False, False, True]
  assert answers[0].anchor == first.anchor
  assert len({a.anchor for a in answers}) == 3
  # The order does not matter to the state, nor what was said.
  again = virtualhome.VirtualHomeEnvironment(anchor='state')
  again.reset(PROBLEM)
  again.step('turn to cup 1')
  assert again.step('turn to milk').anchor == answers[-1].anchor
  plain = virtualhome.VirtualHomeEnvironment()
  assert plain.reset(PROBLEM).anchor == first.observation
  # Success in the last step is no truncation.
  short = virtualhome.VirtualHomeEnvironment(
    max_steps=len(virtualhome.solve(SAMPLE[0]))
  )
  short.reset(SAMPLE[0])
  seen = [short.step(a) for a in virtualhome.solve(SAMPLE[0])][-1]
  assert seen.terminated and not seen.truncated


def test_a_fork_goes_its_own_way():
  environment = virtualhome.VirtualHomeEnvironment()
  environment.reset(PROBLEM)
  fork = environment.fork()
  fork.step('stand up')
  assert fork.state != environment.state
  environment.step('stand up')
  assert fork.state_text() == environment.state_text()


def test_wrong_arguments():
  with pytest.raises(ValueError, match='anchor must be one of'):
    virtualhome.VirtualHomeEnvironment(anchor='smell')
  with pytest.raises(ValueError, match='max_steps must be positive'):
    virtualhome.VirtualHomeEnvironment(max_steps=0)
  with pytest.raises(RuntimeError, match='reset the environment'):
    virtualhome.VirtualHomeEnvironment().step('stand up')
  with pytest.raises(ValueError, match='the sentence must be one of'):
    virtualhome.sentence(PROBLEM, 'poem')


WORDS = strategies.sampled_from(
  ['walk', 'to', 'put', 'on', 'in', 'grab', 'couch', 'television', 'of', '{}']
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
  strategies.lists(
    strategies.one_of(
      strategies.text(max_size=30),
      strategies.lists(WORDS, max_size=6).map(' '.join),
      strategies.integers(0, 10**6),
    ),
    max_size=12,
  ),
  strategies.integers(0, len(SAMPLE) - 1),
)
def test_any_text_is_accepted(texts, number):
  environment = virtualhome.VirtualHomeEnvironment(max_steps=8, anchor='state')
  assert isinstance(environment, protocol.TextEnvironment)
  seen = environment.reset(SAMPLE[number])
  for count, text in enumerate(texts, start=1):
    if isinstance(text, int):  # One of those that are listed.
      text = seen.admissible[text % len(seen.admissible)]
    before = seen
    seen = environment.step(text)
    assert isinstance(seen, protocol.TextStep)
    listed = text.strip() in before.admissible
    refused = seen.observation.startswith('That cannot be done: ')
    assert listed != refused
    if refused:
      assert seen.anchor == before.anchor
      assert len(seen.observation) > len('That cannot be done: .')
    assert list(seen.admissible) == sorted(set(seen.admissible))
    assert seen.reward == seen.terminated == environment.goal_holds()
    assert seen.truncated == (count >= 8 and not seen.terminated)
    assert 0 <= environment.progress() <= 1
    assert (environment.progress() == 1) == seen.terminated


def test_progress_never_falls_with_a_condition_more():
  environment = virtualhome.VirtualHomeEnvironment()
  rng = random.Random(0)
  for problem in (PROBLEM, *SAMPLE):
    environment.reset(problem)
    goal = environment.tables.grounding.goal
    size = len(environment.tables.grounding.atoms)
    for _ in range(40):
      state = rng.getrandbits(size)
      share = conditions.progress(goal, state)
      assert (share == 1) == conditions.holds(goal, state)
      # All goals here ask for facts, none for their absence.
      assert (
        conditions.progress(goal, state | 1 << rng.randrange(size)) >= share
      )


def test_progress_of_an_episode():
  actions = ['stand up', 'walk to milk', 'open fridge']
  environment = virtualhome.VirtualHomeEnvironment()
  shares = [
    share for _, share in progress.replay(environment, PROBLEM, actions)
  ]
  assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_what_cannot_hold_counts_as_missing():
  text = PROBLEM.problem.replace(
    '(closed fridge)\n', '(closed fridge) (inside milk cup_1) (= cup_1 cup_1)\n'
  )
  assert text != PROBLEM.problem
  environment = virtualhome.VirtualHomeEnvironment()
  environment.reset(
    virtualhome.Problem('odd', 'Drink', 'I cannot.', text, source='odd')
  )
  # The fridge is closed, a cup is itself; three of five are missing.
  assert environment.progress() == pytest.approx(2 / 5)


def test_episodes_are_functions_of_their_actions():
  def play():
    environment = virtualhome.VirtualHomeEnvironment()
    rng = random.Random(3)
    seen = environment.reset(SAMPLE[13])
    answers = [seen]
    for _ in range(30):
      seen = environment.step(rng.choice(seen.admissible))
      answers.append(seen)
    return answers

  first = play()
  engine.compiled.cache_clear()
  assert play() == first


def test_in_a_pool():
  tasks = SAMPLE[:3]
  with pool_lib.EnvironmentPool(
    virtualhome.VirtualHomeEnvironment, 3, workers=1
  ) as pool:
    answers = pool.reset(dict(enumerate(tasks)))
    alone = virtualhome.VirtualHomeEnvironment()
    for number, task in enumerate(tasks):
      assert answers[number] == alone.reset(task)
    plans = [virtualhome.solve(task) for task in tasks]
    answers = pool.step({n: plan[0] for n, plan in enumerate(plans)})
    for number, task in enumerate(tasks):
      alone.reset(task)
      assert answers[number] == alone.step(plans[number][0])
    assert not pool.failures


@pytest.mark.parametrize(
  ('old', 'new', 'fault'),
  [
    ('(closed fridge)', '(shut fridge)', ':5: unknown predicate shut'),
    ('(closed fridge)', '(closed fridge milk)', ':5: closed takes 1 arguments'),
    ('(closed fridge)', '(closed oven)', ':5: oven is not among the :objects'),
    (
      '- character bath',
      '- robot bath',
      ': character is of unknown type robot',
    ),
    ('(:goal (and', '(:goal (all', ':9: unknown predicate all'),
    ('(facing character cup_2)', '(facing you cup_2)', ':9: you (facing)'),
    ('(facing character cup_2)', '()', ''),
    ('character - character', 'c d - character', ': '),
  ],
)
def test_malformed_problems(old, new, fault):
  text = PROBLEM.problem.replace(old, new, 1)
  assert text != PROBLEM.problem
  problem = virtualhome.Problem('x', 'Drink', 'x', text, source='x')
  if not fault:
    virtualhome.VirtualHomeEnvironment().reset(problem)
    return
  with pytest.raises(virtualhome.GameError) as caught:
    virtualhome.VirtualHomeEnvironment().reset(problem)
  assert fault in str(caught.value)
  assert isinstance(caught.value, pddl.GameError)
