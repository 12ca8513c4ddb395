"""Broken files give errors that name the file, the line and the fault."""

import json
import lzma
import pickle

import pytest

from jaxcredit.environments import questions

GOOD = {
  'gsm8k': {'question': 'What?', 'answer': 'So.\n#### 1,800'},
  'svamp': {'Body': 'A body', 'Question': 'How many?', 'Answer': 2.0},
  'medqa': {
    'question': 'Which?',
    'options': {'B': 'right', 'A': 'wrong'},
    'answer_idx': 'B',
    'answer': 'right',
  },
  'competition_math': {'problem': 'Find x.', 'solution': r'\boxed{5}'},
}


def load(name, path):
  return getattr(questions, name).load(path)


def write(path, *entries):
  lines = [
    e if isinstance(e, bytes) else json.dumps(e).encode() for e in entries
  ]
  path.write_bytes(b'\n'.join(lines))
  return path


@pytest.mark.parametrize('name', GOOD)
def test_good_files(name, tmp_path):
  path = write(tmp_path / 'some.jsonl', GOOD[name], b'', GOOD[name])
  asked = load(name, path)
  # Blank lines count as lines.
  assert [q.name for q in asked] == ['some.jsonl:1', 'some.jsonl:3']
  assert asked[0].score(asked[0].reference) == 1


def test_the_last_mark_counts(tmp_path):
  answer = 'He writes #### 3, then more.\n#### 5'
  path = write(tmp_path / 'two.jsonl', {'question': 'What?', 'answer': answer})
  (asked,) = questions.gsm8k.load(path)
  assert asked.checker.reference == '5' and asked.score(answer) == 1


@pytest.mark.parametrize('name', GOOD)
@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (b'{"question": ', 'not JSON'),
    (b'[]', 'must be a JSON object'),
    (b'3', 'must be a JSON object'),
    (b'{"a": "\xff"}', 'not UTF-8'),
    (b'[' * 100_000, 'not JSON: .*recursion'),
    (b'9' * 5_000, 'not JSON: .*integer'),
    (b'{}', 'has no|must'),
  ],
)
def test_broken_lines(name, line, message, tmp_path):
  path = write(tmp_path / 'broken.jsonl', GOOD[name], line)
  with pytest.raises(questions.RecordError, match=message) as caught:
    load(name, path)
  assert str(caught.value).startswith(f'{path}:2: ')
  assert caught.value.line == 2
  again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
  assert str(again) == str(caught.value)


@pytest.mark.parametrize(
  ('name', 'change', 'message'),
  [
    ('gsm8k', {'question': ' '}, "no text 'question'"),
    ('gsm8k', {'answer': 3}, "no text 'answer'"),
    ('gsm8k', {'answer': '18'}, "no '####' before the final number"),
    ('gsm8k', {'answer': '#### many'}, "not a number: 'many'"),
    ('gsm8k', {'answer': '#### \ud800'}, r"not a number: '.*ud800'"),
    ('gsm8k', {'answer': '#### 9^9^9'}, 'not a number'),
    ('svamp', {'Body': ''}, "no text 'Body'"),
    ('svamp', {'Question': None}, "no text 'Question'"),
    ('svamp', {'Answer': 'two'}, "'Answer' must be a number, not 'two'"),
    ('svamp', {'Answer': True}, "'Answer' must be a number, not True"),
    ('svamp', {'Answer': float('nan')}, "'Answer' must be a number, not nan"),
    ('svamp', {'Answer': [2]}, "'Answer' must be a number"),
    ('medqa', {'options': ['x', 'y']}, "'options' must map 2 to 26"),
    ('medqa', {'options': {'A': 'x'}}, "'options' must map 2 to 26"),
    ('medqa', {'options': {'A': 'x', 'C': 'y'}}, 'must be A, B, not A, C'),
    ('medqa', {'options': {'A': 'x', 'B': ' '}}, 'option B has no text'),
    ('medqa', {'options': {'A': 'x', 'B': 3}}, 'option B has no text'),
    ('medqa', {'answer_idx': 'C'}, "must be one of A, B, not 'C'"),
    ('medqa', {'answer': 'wrong'}, "'wrong', but option B is 'right'"),
    ('competition_math', {'problem': 1}, "no text 'problem'"),
    ('competition_math', {'solution': '5'}, 'no answer in'),
    ('competition_math', {'solution': r'\boxed{}'}, 'no answer in'),
    ('competition_math', {'answer': ' '}, "no text 'answer'"),
    ('competition_math', {'answer': 4.5}, "no text 'answer' but 4.5"),
    ('competition_math', {'problem': [1]}, r"no text 'problem' but \[1\]"),
    ('competition_math', {'answer': 'x' * 1001}, '1 to 1000 characters'),
  ],
)
def test_wrong_fields(name, change, message, tmp_path):
  path = write(tmp_path / 'wrong.jsonl', GOOD[name], {**GOOD[name], **change})
  with pytest.raises(questions.RecordError, match=message) as caught:
    load(name, path)
  assert str(caught.value).startswith(f'{path}:2: ')
  assert str(caught.value).encode('utf-8')


def test_files_that_are_not_there(tmp_path):
  with pytest.raises(FileNotFoundError, match='give a .jsonl file'):
    questions.gsm8k.load(tmp_path / 'none.jsonl')
  with pytest.raises(FileNotFoundError, match='give a .jsonl file'):
    questions.gsm8k.load(tmp_path)
  empty = write(tmp_path / 'empty.jsonl', b'', b' ')
  with pytest.raises(FileNotFoundError, match='holds no questions'):
    questions.gsm8k.load(empty)
  other = write(tmp_path / 'some.csv', b'a,b')
  with pytest.raises(questions.RecordError, match=r'are read from \.jsonl'):
    questions.gsm8k.load(other)


@pytest.mark.parametrize('kept', [0, 30, -20])
def test_a_packed_file_that_is_cut_or_is_none(kept, tmp_path):
  lines = '\n'.join(json.dumps(GOOD['gsm8k']) for _ in range(3000))
  packed = lzma.compress(lines.encode())
  path = tmp_path / 'cut.jsonl.xz'
  path.write_bytes(packed[:kept] if kept else b'not packed')
  with pytest.raises(questions.RecordError, match='not a readable .xz file'):
    questions.gsm8k.load(path)
