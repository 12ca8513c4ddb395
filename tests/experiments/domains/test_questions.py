"""Questions as a domain: where they come from, and what is shown of them."""

import dataclasses
import json

import pytest

from experiments.domains import questions as question_tasks
from experiments.domains import worked_solutions
from jaxcredit.environments import questions
from jaxcredit.networks.tokenizers import tokenizer as tokenizer_lib
from jaxcredit.rollouts import formats
from tests import shared_data

OPTIONS = question_tasks.QuestionOptions(
  tasks=('chain_sum', 'spell_backward'),
  task_settings='{"chain_sum": {"min_terms": 3, "max_terms": 3}}',
  questions=None,
  evaluate_on=None,
  training_count=11,
  evaluation_count=6,
  instruction='',
  tries=1,
  warm_start_questions=5,
)


def load(seed=0, **changes):
  domain = question_tasks.QuestionDomain(
    dataclasses.replace(OPTIONS, **changes), 1, seed
  )
  domain.load()
  return domain


@pytest.mark.parametrize(
  ('prompt', 'solution'),
  [
    ('problem: 3 - 5 + 4 =', '3-5=-2 -2+4=2 <answer>2</answer>'),
    ('problem: -3 + 5 =', '-3+5=2 <answer>2</answer>'),
    ('problem: 12 =', '<answer>12</answer>'),
    ('problem: 1.5 + 2 =', None),
    ('What is 3 + 4?', None),
  ],
)
def test_sums_step_by_step(prompt, solution):
  assert worked_solutions.chain_sum(prompt) == solution


def test_generated_questions():
  pytest.importorskip('reasoning_gym', reason='the extra procedural is absent')
  domain = load()
  assert (len(domain.train_tasks), len(domain.test_tasks)) == (11, 6)
  kinds = [domain.task_type(q) for q in domain.train_tasks]
  assert kinds == ['chain_sum', 'spell_backward'] * 5 + ['chain_sum']
  assert domain.train_from == (
    '11 questions of chain_sum, spell_backward (train split)'
  )
  shown = []
  solved = domain.demonstrate(lambda: shown.append(1)).solved
  assert len(solved) == len(shown) == 5
  prompts = [
    {q.prompt for q in part}
    for part in (domain.train_tasks, domain.test_tasks, [q for q, _ in solved])
  ]
  assert not prompts[0] & prompts[1] and not prompts[2] & prompts[1]
  for question, solution in solved:
    assert question.score(solution) == 1
    assert ('=' in solution) == (domain.task_type(question) == 'chain_sum')
  # The instruction is the library's unless another is given.
  assert 'answer>' not in domain.train_tasks[0].prompt
  assert 'answer>' in load(instruction='own').train_tasks[0].prompt
  # And the settings reach the kind.
  assert domain.train_tasks[0].prompt.count(' - ') + domain.train_tasks[
    0
  ].prompt.count(' + ') == 2  # fmt: skip


def write(path, count, start=0):
  lines = [
    json.dumps({'question': f'{i} and {i}?', 'answer': f'So.\n#### {2 * i}'})
    for i in range(start, start + count)
  ]
  path.write_text('\n'.join(lines))
  return str(path)


def test_questions_of_files(tmp_path):
  files = {
    'questions': write(tmp_path / 'train.jsonl', 20),
    'evaluate_on': write(tmp_path / 'test.jsonl', 5, 100),
    'tasks': ('gsm8k',),
    'task_settings': '',
  }
  domain = load(**files)
  # As many as asked, of any part of the file, the same for the same seed.
  names = [q.name for q in domain.train_tasks]
  assert len(set(names)) == 11
  assert names == [q.name for q in load(**files).train_tasks]
  assert names != [q.name for q in load(seed=1, **files).train_tasks]
  assert domain.train_from == '11 questions of train.jsonl'
  assert domain.test_from == '5 questions of test.jsonl'
  assert domain.task_type(domain.test_tasks[0]) == 'gsm8k'
  assert len(load(training_count=0, **files).train_tasks) == 20
  # What is shown is what is trained on: nothing else is at hand.
  solved = domain.demonstrate(lambda: None).solved
  assert [q.name for q, _ in solved] == names[:5]
  assert all(q.score(solution) == 1 for q, solution in solved)
  for instruction, words in (
    ('own', 'step by step'),
    ('Be brief.', 'Be brief'),
  ):
    prompt = load(instruction=instruction, **files).train_tasks[0].prompt
    assert words in prompt


def test_real_files():
  path = shared_data.shared_data('svamp')
  (file,) = path.glob('*.jsonl*')
  domain = load(
    tasks=('svamp',), task_settings='', questions=str(file),
    evaluate_on=str(file), evaluation_count=0,
  )  # fmt: skip
  assert len(domain.test_tasks) == 1000


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'tasks': ()}, 'there is no --task'),
    ({'tasks': ('gsm8k', 'svamp')}, 'are of one kind'),
    ({'tasks': ('gsm8k',)}, 'needs a file: give --questions=PATH'),
    ({'questions': 'x.jsonl'}, 'are generated, not read from x.jsonl'),
    ({'task_settings': '{'}, '--task_settings is not JSON'),
    ({'task_settings': '[]'}, 'must be a JSON object of objects'),
    ({'task_settings': '{"gcd": {}}'}, 'has gcd, which is not among --task'),
  ],
)
def test_what_does_not_go_together(changes, message):
  with pytest.raises(ValueError, match=message):
    load(**changes)


def test_a_library_that_is_not_there(monkeypatch):
  def generate(*unused, **options):
    raise questions.CheckerUnavailable("install jaxcredit with 'procedural'")

  monkeypatch.setattr(questions.procedural, 'generate', generate)
  with pytest.raises(ValueError, match="with 'procedural' .here: make proced"):
    load()


def test_rows_of_worked_solutions():
  question = questions.Question(
    'What?', '4', questions.ExactChecker('4'), name='q'
  )
  shown = question_tasks.WorkedSolutions([(question, 'four'), (question, '4')])
  texts = shown.corpus(formats.Message())
  assert texts == ['What?', 'four', 'What?', '4']
  tokenizer = tokenizer_lib.train_tokenizer(texts, 257)
  rows = shown.rows(tokenizer, formats.Message(), 32)
  assert [tokenizer.decode(row.tokens[:-1]) for row in rows] == [
    'What?four', 'What?4',
  ]  # fmt: skip
  assert rows[0].tokens[-1] == tokenizer.eos_id
  assert rows[0].step_of_token == [-1] * 5 + [0] * 5
  # What does not fit is left out.
  assert len(shown.rows(tokenizer, formats.Message(), 9)) == 1
  assert shown.words == '2 worked solutions'
