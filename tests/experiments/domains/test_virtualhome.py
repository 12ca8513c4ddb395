"""VirtualHome as a domain: what is trained on, shown, and tested."""

import dataclasses

import numpy as np
import pytest

from experiments.domains import virtualhome as virtualhome_tasks
from jaxcredit.environments import virtualhome
from jaxcredit.environments.virtualhome import problems
from jaxcredit.rollouts import formats
from tests.shared_data import shared_data

OPTIONS = virtualhome_tasks.VirtualHomeOptions(
  problems=None,
  generated_problems=12,
  evaluation_count=8,
  chores=1,
  sentence='goal',
  anchor='observation',
  warm_start_problems=10,
  warm_start_slips=0.0,
)


def domain(max_steps=20, seed=0, **changes):
  made = virtualhome_tasks.VirtualHomeDomain(
    dataclasses.replace(OPTIONS, **changes), max_steps, seed
  )
  made.load()
  return made


def contents(tasks):
  return {problems.content(task.parse()) for task in tasks}


@pytest.fixture(scope='module')
def recorded_file(tmp_path_factory):
  """Generated problems of both sides, and one that cannot be solved."""
  sample = virtualhome.sample_problems()
  made = [
    *virtualhome.generate_problems(50, 9, sample),
    *virtualhome.generate_problems(90, 5, sample, split='test'),
    dataclasses.replace(
      sample[0],
      name='hopeless',
      problem=sample[0].problem.replace('plugged_in', 'clean'),
    ),
  ]
  path = tmp_path_factory.mktemp('problems') / 'mine.jsonl'
  virtualhome.save_problems(path, made)
  return path


def test_without_recorded_problems():
  made = domain()
  assert len(made.train_tasks) == 12 and len(made.test_tasks) == 8
  assert not contents(made.train_tasks) & contents(made.test_tasks)
  assert made.train_from == '12 problems generated from 21 (seed 1000000)'
  assert made.test_from == '8 problems generated from 21 (seed 3000000)'
  assert made.demonstration_count == 10
  again = domain()
  assert made.train_tasks == again.train_tasks
  assert made.test_tasks == again.test_tasks


def test_recorded_problems(recorded_file):
  everything = virtualhome.load_problems(recorded_file)
  made = domain(
    problems=str(recorded_file), generated_problems=0, evaluation_count=0
  )
  assert list(made.train_tasks) == everything[:9]
  assert list(made.test_tasks) == everything[9:14]
  assert made.left_out == {
    'hopeless': 'no actions reach all conditions of the goal'
  }
  assert made.train_from == '9 recorded problems'
  assert made.test_from == '5 recorded problems'
  fewer = domain(
    problems=str(recorded_file), generated_problems=6, evaluation_count=2
  )
  assert fewer.train_from == '6 problems generated from 9 (seed 1000000)'
  assert len(fewer.train_tasks) == 6
  assert list(fewer.test_tasks) == everything[9:11]
  shown = [task for task, _ in fewer.demonstrate(lambda: None).traces]
  held_back = contents(everything[9:14])
  assert not contents([*fewer.train_tasks, *shown]) & held_back


def test_real_problems_are_split():
  path = shared_data('virtualhome_pddl')
  recorded = virtualhome.load_problems(path)
  some = virtualhome.of_split(recorded, 'test')
  assert len({task.task for task in some}) > 15


def test_problems_too_long_for_an_episode_are_left_out(recorded_file):
  made = domain(
    max_steps=2,
    problems=str(recorded_file),
    generated_problems=0,
    evaluation_count=0,
  )
  for task in (*made.train_tasks, *made.test_tasks):
    assert len(virtualhome.solve(task)) <= 2
  played = len(made.train_tasks) + len(made.test_tasks)
  assert len(made.left_out) == 15 - played
  assert 'the expert needs 3 steps' in made.left_out.values()
  with pytest.raises(ValueError, match='holds too little'):
    domain(max_steps=1, problems=str(recorded_file), generated_problems=0)
  assert all(
    len(virtualhome.solve(task)) <= 4 for task in domain(4).train_tasks
  )


def test_something_must_be_played():
  with pytest.raises(ValueError, match='without recorded problems some must'):
    dataclasses.replace(OPTIONS, generated_problems=0)


def test_without_a_count_there_are_as_many_problems_as_is_usual(monkeypatch):
  asked = {}

  def generate(seed, count, bases, **options):
    asked[options['split']] = count
    return bases[:1]

  monkeypatch.setattr(virtualhome, 'generate_problems', generate)
  made = virtualhome_tasks.VirtualHomeDomain(
    virtualhome_tasks.VirtualHomeOptions(), 20, 0
  )
  made.load()
  assert asked == {'train': 2000, 'test': 120}
  assert made.test_from == '120 problems generated from 21 (seed 3000000)'


def test_options_reach_what_they_name():
  made = domain(anchor='state', sentence='description', max_steps=7)
  environment = made.environment()()
  task = made.train_tasks[0]
  assert environment.reset(task).anchor == environment.state_text()
  for _ in range(7):
    seen = environment.step('dance')
  assert seen.truncated
  assert made.task_sentence(task) == virtualhome.sentence(task, 'description')
  assert made.task_type(task) == task.task
  with pytest.raises(ValueError, match='sentence must be one of'):
    dataclasses.replace(OPTIONS, sentence='poem')


def test_chores_reach_all_that_is_generated():
  made = domain(chores=2, warm_start_problems=4)
  shown = [task for task, _ in made.demonstrate(lambda: None).traces]
  names = {task.task for task in virtualhome.sample_problems()}
  for tasks in (made.train_tasks, made.test_tasks, shown):
    assert any(' and ' in task.task for task in tasks)
    assert {made.task_type(task) for task in tasks} <= names


@pytest.mark.parametrize('slips', [0.0, 0.4])
def test_demonstrations(slips):
  told = []
  made = domain(warm_start_slips=slips, max_steps=30)
  shown = made.demonstrate(lambda: told.append(1))
  assert len(told) == 10 and shown.count == 10
  assert shown.words.startswith('expert: 10 of 10 problems solved, ')
  steps = [step for _, trace in shown.traces for step in trace]
  assert any(step.slip for step in steps) == (slips > 0)
  for problem, trace in shown.traces:
    environment = virtualhome.VirtualHomeEnvironment(max_steps=30)
    seen = environment.reset(problem)
    for step in trace:
      assert step.seen == seen
      assert (step.action in seen.admissible) == (not step.slip)
      seen = environment.step(step.action)
    assert seen.terminated
  again = made.demonstrate(lambda: None)
  assert again.traces == shown.traces
  if slips:
    other = domain(seed=99, warm_start_slips=slips, max_steps=30)
    assert other.demonstrate(lambda: None).traces != shown.traces


def test_an_expert_too_slow_is_left_out():
  problem = virtualhome.sample_problems()[1]
  count = len(virtualhome.solve(problem))
  assert virtualhome_tasks.demonstrate(problem, count - 1, 0) is None
  assert len(virtualhome_tasks.demonstrate(problem, count, 0)) == count


def test_the_corpus_knows_what_a_policy_may_hear():
  made = domain()
  shown = made.demonstrate(lambda: None)
  texts = shown.corpus(formats.Plain())
  environment = made.environment()()
  environment.reset(made.train_tasks[0])
  for nonsense in ('dance', 'grab nothing'):
    answer = environment.step(nonsense).observation
    assert any(answer in text for text in texts)
  sentence = made.task_sentence(shown.traces[0][0])
  assert texts[0].endswith(f'\n{sentence}>')
  assert np.mean([len(trace) for _, trace in shown.traces]) > 2
