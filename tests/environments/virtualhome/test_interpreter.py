"""Applicability, effects and goals against a slow interpreter."""

import json
import pathlib
import random

import pytest

from jaxcredit.environments import virtualhome
from jaxcredit.environments.virtualhome import (
  conditions,
  grounding,
  problems,
  wording,
)
from jaxcredit.environments.virtualhome import domain as domain_lib
from tests.environments.virtualhome import slow_interpreter
from tests.shared_data import shared_data


def domain_text():
  path = pathlib.Path(domain_lib.__file__).with_name('virtualhome_domain.json')
  return '\n'.join(json.loads(path.read_text(encoding='utf-8'))['pddl'])


def walk_beside(domain, text, problem_text, steps, rng):
  """Random play in both; returns the names of the actions done."""
  parsed = problems.parse_problem(problem_text, domain)
  fast = grounding.Grounding(domain, parsed)
  slow = slow_interpreter.Interpreter(text, problem_text)
  state, done = fast.start, set()
  for _ in range(steps):
    able = {
      (action.name, action.arguments): action
      for action in fast.actions
      if conditions.holds(action.precondition, state)
    }
    assert set(able) == slow.applicable()
    # Facts of wrong types mean nothing, and are not kept.
    right = {fact for fact in slow.state if fast._well_typed(fact)}
    assert set(fast.facts(state)) == right
    slow.state = right
    assert conditions.holds(fast.goal, state) == slow.holds(slow.goal, {})
    choices = sorted(able)
    if not choices:
      break
    # By action first: walking is always possible, and to everything.
    name = rng.choice(sorted({name for name, _ in choices}))
    choice = rng.choice([c for c in choices if c[0] == name])
    state = able[choice].apply(state)
    slow.do(*choice)
    done.add(choice[0])
  return done


def test_sample_problems():
  rng = random.Random(0)
  done = set()
  for problem in virtualhome.sample_problems():
    done |= walk_beside(
      domain_lib.virtualhome(), domain_text(), problem.problem, 16, rng
    )
  assert len(done) > 20, done


def test_recorded_problems():
  rng = random.Random(1)
  tasks = virtualhome.load_problems(shared_data('virtualhome_pddl'))
  small = [task for task in tasks if task.problem.count('(') < 60]
  done = set()
  for problem in rng.sample(small, 25):
    done |= walk_beside(
      domain_lib.virtualhome(), domain_text(), problem.problem, 6, rng
    )
  assert len(done) > 15


# What VirtualHome's domain does not use: subtypes, imply, =, or of goals, and
# quantifiers over two variables.
OTHER = """(define (domain blocks)
  (:types thing - object block - thing table - thing)
  (:predicates (above ?x - block ?y - thing) (held ?x - block) (red ?x - thing))
  (:action take :parameters (?x - block ?y - thing)
    :precondition (and (above ?x ?y) (not (exists (?z - block) (held ?z)))
      (forall (?z - block) (imply (above ?z ?x) (= ?z ?x))))
    :effect (and (held ?x) (not (above ?x ?y))))
  (:action lay :parameters (?x - block ?y - thing)
    :precondition (and (held ?x) (not (= ?x ?y))
      (or (red ?y) (not (exists (?z - block) (above ?z ?y)))))
    :effect (and (above ?x ?y) (not (held ?x))
      (forall (?z - block ?w - thing)
        (when (and (above ?z ?w) (= ?w ?y) (not (red ?z))) (red ?w)))))
)"""
OTHER_PROBLEM = """(define (problem tower) (:domain blocks)
  (:objects a b c - block t - table)
  (:init (above a t) (above b a) (above c t) (red t))
  (:goal (or (and (above a b) (above b c))
    (exists (?x - block ?y - block) (and (above ?x ?y) (not (red ?y))))))
)"""


@pytest.mark.parametrize('seed', range(5))
def test_another_domain(seed):
  done = walk_beside(
    domain_lib.parse_domain(OTHER),
    OTHER,
    OTHER_PROBLEM,
    40,
    random.Random(seed),
  )
  assert done == {'take', 'lay'}


def test_an_action_that_deletes_and_adds_a_fact_adds_it():
  # Walking to a thing deletes that one is next to all that is not beside it.
  problem = virtualhome.sample_problems()[0].parse()
  fast = grounding.Grounding(domain_lib.virtualhome(), problem)
  (walk,) = (
    action
    for action in fast.actions
    if action.name == 'walk_towards' and action.arguments[1] == 'television'
  )
  state = walk.apply(fast.start)
  assert fast.value(('next_to', 'character', 'television'), state)
  assert not fast.value(('next_to', 'character', 'couch'), state)


def test_every_action_and_predicate_has_words():
  domain = domain_lib.virtualhome()
  assert len(domain.actions) == 33
  assert set(wording.ACTIONS) == set(domain.actions)
  for action in domain.actions.values():
    form = wording.ACTIONS[action.name]
    assert form.count('{}') == len(action.parameters) - 1
  assert set(wording.FACTS) <= set(domain.predicates)
  read = set()

  def collect(formula):
    if formula and formula[0] in domain.predicates:
      read.add(formula[0])
    for part in formula:
      if isinstance(part, tuple):
        collect(part)

  for action in domain.actions.values():
    collect(action.precondition)
    collect(action.effect)
  assert read <= set(wording.FACTS)
