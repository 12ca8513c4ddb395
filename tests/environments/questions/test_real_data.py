"""GSM8K, SVAMP and MedQA as they are published: read, asked, checked."""

import collections
import functools
import http.server
import json
import lzma
import socketserver
import threading

import pytest

from jaxcredit.environments import questions
from jaxcredit.environments.questions import records
from tests.shared_data import shared_data


def wrong(question):
  """An answer of the right form that is another one."""
  if isinstance(question.checker, questions.ChoiceChecker):
    letters = question.checker.letters
    return letters[letters.index(question.checker.reference) - 1]
  return f'#### {question.checker.reference}1'


def check(asked):
  assert all(q.score(q.reference) == 1 for q in asked)
  assert all(q.score(wrong(q)) == 0 for q in asked)
  assert all(q.score('') == 0 for q in asked)
  assert len({q.name for q in asked}) == len(asked)


@pytest.mark.parametrize(('split', 'count'), [('test', 1319), ('train', 7473)])
def test_gsm8k(split, count):
  path = shared_data(f'gsm8k/{split}.jsonl.xz')
  asked = questions.gsm8k.load(path, strict=True)
  assert len(asked) == count
  check(asked)
  # The official worked answers, as a policy would write them.
  for question, record in zip(asked, records.read(path), strict=True):
    assert question.prompt.startswith(record.fields['question'].strip())
    assert question.score(record.fields['answer']) == 1, question.name


def test_gsm8k_answers_without_their_mark():
  """The last number is the answer, in worked answers cut before the mark."""
  path = shared_data('gsm8k/test.jsonl.xz')
  asked = questions.gsm8k.load(path, instruction='')
  right = sum(
    question.score(record.fields['answer'].partition('####')[0])
    for question, record in zip(asked, records.read(path), strict=True)
  )
  # Some end in a unit or a restatement with another number.
  assert 1150 < right < 1319
  assert asked[0].prompt.endswith("farmers' market?")


def test_svamp():
  path = shared_data('svamp/svamp.jsonl.xz')
  asked = questions.svamp.load(path)
  assert len(asked) == 1000
  check(asked)
  for question, record in zip(asked, records.read(path), strict=True):
    assert question.score(f'The answer is {record.fields["Answer"]}.') == 1
    assert question.score(record.fields['Equation']) in (0, 1)
  assert asked[0].checker.reference == '145'


def test_medqa():
  path = shared_data('medqa/test.jsonl.xz')
  asked = questions.medqa.load(path)
  assert len(asked) == 1273
  check(asked)
  for question, record in zip(asked, records.read(path), strict=True):
    right = record.fields['answer_idx']
    for text in (
      right.lower(),
      f'({right})',
      f'A patient has it. The answer is **{right}**.',
      rf'\boxed{{{right}}}',
      record.fields['answer'],
      f'The answer is: {record.fields["answer"]}',
    ):
      assert question.score(text) == 1, (question.name, text)
  assert asked[0].choices == ('A', 'B', 'C', 'D')
  answers = collections.Counter(q.checker.reference for q in asked)
  assert set(answers) == {'A', 'B', 'C', 'D'}


@pytest.mark.parametrize(
  'name', ['gsm8k/test', 'gsm8k/train', 'svamp/svamp', 'medqa/test']
)
def test_packed_and_plain_files_hold_the_same(name, tmp_path):
  packed = shared_data(f'{name}.jsonl.xz')
  plain = tmp_path / packed.name.removesuffix('.xz')
  plain.write_bytes(lzma.decompress(packed.read_bytes()))
  assert [r.fields for r in records.read(plain)] == [
    r.fields for r in records.read(packed)
  ]


@pytest.fixture
def served(tmp_path):
  """Address of a server of the files in a folder."""
  folder = tmp_path / 'served'
  folder.mkdir()

  class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
      pass

  handler = functools.partial(Quiet, directory=folder)
  with socketserver.ThreadingTCPServer(('127.0.0.1', 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f'http://127.0.0.1:{server.server_address[1]}'
    server.shutdown()
    thread.join()


def test_gsm8k_through_tensorflow_datasets(tmp_path, served, monkeypatch):
  """Its builder downloads, prepares and reads, without TensorFlow."""
  pytest.importorskip('tensorflow_datasets')
  from tensorflow_datasets.text.gsm8k import gsm8k as builder

  folder, address = served
  lines = [
    json.dumps({'question': f'What is {n} + {n}?', 'answer': f'#### {2 * n}'})
    for n in range(5)
  ]
  splits = ('train', 'test', 'train_socratic', 'test_socratic')
  for split in splits:
    (folder / f'{split}.jsonl').write_text('\n'.join(lines) + '\n')
  monkeypatch.setattr(
    builder, '_URLS', {s: f'{address}/{s}.jsonl' for s in splits}
  )
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  data = tmp_path / 'data'
  asked = questions.gsm8k.from_tensorflow_datasets('test', data_dir=data)
  check(asked)
  assert sorted(q.prompt.splitlines()[0] for q in asked) == [
    f'What is {n} + {n}?' for n in range(5)
  ]
  part = questions.gsm8k.from_tensorflow_datasets('test[:2]', data_dir=data)
  assert [q.prompt for q in part] == [q.prompt for q in asked[:2]]
  with pytest.raises(RuntimeError, match=r'gsm8k could not be prepared'):
    questions.gsm8k.from_tensorflow_datasets('middle', data_dir=data)
