"""An endpoint that answers, is slow, refuses, or says nonsense."""

import contextlib
import http.server
import json
import threading
import time

import pytest

from jaxcredit.latent_rewards import endpoint, language_model

KEY = 'sk-a-secret-of-the-test'
MESSAGES = [{'role': 'user', 'content': 'write'}]


def chat(*texts):
  return json.dumps(
    {'choices': [{'message': {'content': text}} for text in texts]}
  ).encode()


class Server(http.server.ThreadingHTTPServer):
  """Answers requests with steps (handler -> None), the last one again."""

  def __init__(self, *steps):
    super().__init__(('127.0.0.1', 0), Handler)
    self.steps = list(steps)
    self.requests = []

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_address[1]}/v1'


class Handler(http.server.BaseHTTPRequestHandler):
  def do_POST(self):
    body = self.rfile.read(int(self.headers['Content-Length']))
    self.server.requests.append(
      (self.path, dict(self.headers), json.loads(body))
    )
    steps = self.server.steps
    step = steps.pop(0) if len(steps) > 1 else steps[0]
    # The client may be gone.
    with contextlib.suppress(OSError):
      step(self)

  def log_message(self, *arguments):
    pass


def says(body, status=200, **headers):
  def step(handler):
    handler.send_response(status)
    for name, value in headers.items():
      handler.send_header(name.replace('_', '-'), value)
    handler.send_header('Content-Length', str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)

  return step


@pytest.fixture
def serve():
  servers = []

  def start(*steps):
    server = Server(*steps)
    thread = threading.Thread(
      target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True
    )
    thread.start()
    servers.append((server, thread))
    return server

  yield start
  for server, thread in servers:
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def key(monkeypatch):
  monkeypatch.setenv('KEY_OF_A_TEST', KEY)


def make(server, waits=None, **options):
  return endpoint.Endpoint(
    server.url,
    'model-1',
    key_variable='KEY_OF_A_TEST',
    sleep=(waits if waits is not None else []).append,
    **options,
  )


def test_a_good_answer(serve):
  server = serve(says(chat('one', 'two')))
  model = make(server, max_tokens=77)
  assert isinstance(model, language_model.LanguageModel)
  assert model.complete(MESSAGES, 2, 0.5, 3) == ['one', 'two']
  ((path, headers, body),) = server.requests
  assert path == '/v1/chat/completions'
  assert headers['Authorization'] == f'Bearer {KEY}'
  assert body == {
    'model': 'model-1', 'messages': MESSAGES, 'n': 2, 'temperature': 0.5,
    'seed': 3, 'max_tokens': 77,
  }  # fmt: skip


def test_without_a_key_none_is_sent(serve, monkeypatch):
  monkeypatch.delenv('KEY_OF_A_TEST')
  server = serve(says(chat('one')))
  make(server).complete(MESSAGES, 1, 1.0, 0)
  assert 'Authorization' not in server.requests[0][1]


def test_one_answer_at_a_time(serve):
  server = serve(says(chat('a')), says(chat('b')), says(chat('c')))
  assert make(server).complete(MESSAGES, 3, 1.0, 7) == ['a', 'b', 'c']
  asked = [(body['n'], body['seed']) for _, _, body in server.requests]
  assert asked == [(3, 7), (2, 8), (1, 9)]


def test_too_many_answers_are_cut(serve):
  server = serve(says(chat('a', 'b', 'c')))
  assert make(server).complete(MESSAGES, 2, 1.0, 0) == ['a', 'b']


def test_busy_and_then_good(serve):
  waits = []
  server = serve(
    says(b'{}', 429, Retry_After='7'),
    says(b'', 503),
    says(b'', 503, Retry_After='9999'),
    says(chat('one')),
  )
  assert make(server, waits).complete(MESSAGES, 1, 1.0, 0) == ['one']
  assert waits == [7, 2, 30]


@pytest.mark.parametrize(
  ('step', 'words'),
  [
    (says(b'broken', 500), 'failed 3 times, at last: 500 broken'),
    (says(b'{"choices": [', 200), 'not that of a chat'),
    (says(b'[' * 100_000, 200), 'not that of a chat'),
    (says(b'\xff\xfe', 200), 'not that of a chat'),
    (says(b'{"choices": []}', 200), 'holds no text'),
    (says(chat(None), 200), 'holds no text'),
    (says(chat(3), 200), 'holds no text'),
    (says(b'null', 200), 'not that of a chat'),
  ],
)
def test_what_stays_bad_ends(serve, step, words):
  waits = []
  server = serve(step)
  with pytest.raises(language_model.LanguageModelError, match=words):
    make(server, waits, tries=3).complete(MESSAGES, 1, 1.0, 0)
  assert len(server.requests) == 3
  assert waits == [1, 2]


@pytest.mark.parametrize(
  ('step', 'words'),
  [
    (says(b'no', 401), 'KEY_OF_A_TEST is not accepted'),
    (says(b'no', 403), 'KEY_OF_A_TEST is not accepted'),
    (says(b'no such model', 404), "404 no such model.*'model-1' is there"),
    (says(b'\x1b[2J', 400), r'400 \?\[2J'),
    (says(b'', 302, Location='http://127.0.0.1:1/'), 'leads elsewhere'),
    (says(b'x' * (endpoint.MAX_BYTES + 1)), 'more than 4194304 bytes'),
  ],
)
def test_what_will_not_get_better_is_not_tried_again(serve, step, words):
  server = serve(step)
  with pytest.raises(language_model.LanguageModelError, match=words):
    make(server).complete(MESSAGES, 1, 1.0, 0)
  assert len(server.requests) == 1


def test_a_missing_key_is_told(serve, monkeypatch):
  monkeypatch.delenv('KEY_OF_A_TEST')
  server = serve(says(b'', 401))
  with pytest.raises(language_model.LanguageModelError, match='is not set'):
    make(server).complete(MESSAGES, 1, 1.0, 0)


def slow(handler):
  time.sleep(0.4)
  says(chat('late'))(handler)


def drip(handler):
  """Never silent for long, and never at an end."""
  handler.send_response(200)
  handler.end_headers()
  for _ in range(40):
    handler.wfile.write(b' ')
    handler.wfile.flush()
    time.sleep(0.05)


@pytest.mark.parametrize('step', [slow, drip])
def test_a_slow_answer_is_given_up(serve, step):
  server = serve(step)
  start = time.monotonic()
  with pytest.raises(language_model.LanguageModelError, match='within 0.2 s'):
    make(server, timeout=0.2, tries=2).complete(MESSAGES, 1, 1.0, 0)
  assert time.monotonic() - start < 2


def test_nobody_there():
  server = Server(says(b''))
  url = server.url
  server.server_close()
  waits = []
  model = endpoint.Endpoint(url, 'm', sleep=waits.append, tries=2)
  with pytest.raises(language_model.LanguageModelError, match='no connection'):
    model.complete(MESSAGES, 1, 1.0, 0)
  assert waits == [1]


def test_the_key_is_in_no_message(serve, caplog):
  caplog.set_level(0)
  words = f'bad key {KEY}'.encode()
  for status in (400, 401, 500):
    model = make(serve(says(words, status)), tries=1)
    with pytest.raises(language_model.LanguageModelError) as caught:
      model.complete(MESSAGES, 1, 1.0, 0)
    assert KEY not in str(caught.value)
    assert KEY not in repr(vars(model))
  assert KEY not in caplog.text


def test_the_key_goes_over_tls_alone():
  model = endpoint.Endpoint(
    'http://example.com/v1', 'm', key_variable='KEY_OF_A_TEST'
  )
  with pytest.raises(language_model.LanguageModelError, match='not encrypted'):
    model.complete(MESSAGES, 1, 1.0, 0)


def test_a_key_that_is_none(serve, monkeypatch):
  monkeypatch.setenv('KEY_OF_A_TEST', 'a\nInjected: header')
  server = serve(says(chat('x')))
  with pytest.raises(language_model.LanguageModelError, match='holds no key'):
    make(server).complete(MESSAGES, 1, 1.0, 0)
  assert server.requests == []


@pytest.mark.parametrize(
  'url',
  ['', 'x', 'file:///etc/passwd', 'ftp://h/', 'http://', 'https://a:b@h/v1',
   'https://h/v1?key=1'],
)  # fmt: skip
def test_addresses_that_are_none(url):
  with pytest.raises(ValueError, match='address'):
    endpoint.Endpoint(url, 'm')


def test_options_that_make_no_sense():
  for options in ({'timeout': 0}, {'tries': 0}):
    with pytest.raises(ValueError, match='both positive'):
      endpoint.Endpoint('https://h/v1', 'm', **options)


def test_no_proxy_for_this_machine(serve, monkeypatch):
  monkeypatch.setenv('http_proxy', 'http://127.0.0.1:1')
  server = serve(says(chat('x')))
  assert make(server).complete(MESSAGES, 1, 1.0, 0) == ['x']
