"""An endpoint that answers, is slow, refuses, or says nonsense."""

import contextlib
import http.server
import json
import socket
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


def send_slowly(handler, pieces):
  """Never silent for long, and not at an end for two seconds."""
  for piece in pieces:
    handler.wfile.write(piece)
    handler.wfile.flush()
    time.sleep(0.05)


def drip_status(handler):
  send_slowly(handler, [b'H', b'T', b'T', b'P', b'/', *[b'1'] * 40])


def drip_headers(handler):
  handler.wfile.write(b'HTTP/1.1 200 OK\r\nX-Long: ')
  send_slowly(handler, [b'x'] * 40)


def drip_interim_answers(handler):
  send_slowly(handler, [b'HTTP/1.1 100 Continue\r\n\r\n'] * 40)


def drip_body(handler):
  handler.wfile.write(b'HTTP/1.1 200 OK\r\n\r\n')
  send_slowly(handler, [b' '] * 40)


def drip_chunks(handler):
  handler.wfile.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
  send_slowly(handler, [b'1\r\n \r\n'] * 40)


def drip_error(handler):
  handler.wfile.write(b'HTTP/1.1 500 Broken\r\nContent-Length: 99\r\n\r\n')
  send_slowly(handler, [b'x'] * 40)


def never(handler):
  """Says nothing until the client is gone."""
  handler.connection.settimeout(5)
  assert handler.connection.recv(1) == b''


SLOW = [
  slow, drip_status, drip_headers, drip_interim_answers, drip_body, drip_chunks,
  drip_error, never,
]  # fmt: skip


@pytest.mark.parametrize('step', SLOW)
def test_one_deadline_for_the_whole_request(serve, step):
  server = serve(step)
  start = time.monotonic()
  with pytest.raises(language_model.LanguageModelError, match='within 0.3 s'):
    make(server, timeout=0.3, tries=2).complete(MESSAGES, 1, 1.0, 0)
  assert 0.6 <= time.monotonic() - start < 1.8
  assert len(server.requests) == 2


def test_no_thread_stays_behind(serve):
  def threads():
    return [t for t in threading.enumerate() if t.name == 'http_post']

  for step in (never, drip_headers, says(chat('x'))):
    with contextlib.suppress(language_model.LanguageModelError):
      make(serve(step), timeout=0.2, tries=1).complete(MESSAGES, 1, 1.0, 0)
  end = time.monotonic() + 5
  while threads() and time.monotonic() < end:
    time.sleep(0.01)
  assert threads() == []


def test_a_connection_that_nobody_takes_up():
  """The system accepts it; no program does, and no handshake is answered."""
  with socket.create_server(('127.0.0.1', 0)) as listener:
    port = listener.getsockname()[1]
    for scheme in ('http', 'https'):
      model = endpoint.Endpoint(
        f'{scheme}://127.0.0.1:{port}/v1', 'm', timeout=0.2, tries=1
      )
      start = time.monotonic()
      with pytest.raises(
        language_model.LanguageModelError, match='within 0.2 s'
      ):
        model.complete(MESSAGES, 1, 1.0, 0)
      assert time.monotonic() - start < 1.5


def test_a_name_that_is_not_resolved_in_time(monkeypatch):
  gone = threading.Event()
  monkeypatch.setattr(socket, 'getaddrinfo', lambda *a, **k: gone.wait(5))
  model = endpoint.Endpoint(
    'https://host.invalid/v1', 'm', key_variable='NONE', timeout=0.2, tries=1
  )
  start = time.monotonic()
  with pytest.raises(language_model.LanguageModelError, match='within 0.2 s'):
    model.complete(MESSAGES, 1, 1.0, 0)
  assert time.monotonic() - start < 1.5
  gone.set()


def endless(handler):
  """A gigabyte, if somebody takes it."""
  handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n')
  for _ in range(1_000):
    handler.wfile.write(b' ' * 1_000_000)
    handler.server.sent += 1_000_000


def test_a_gigabyte_is_cut_off(serve):
  server = serve(endless)
  server.sent = 0
  with pytest.raises(language_model.LanguageModelError, match='more than 4194'):
    make(server).complete(MESSAGES, 1, 1.0, 0)
  # What the sockets hold lies beyond what was read.
  assert server.sent < 10 * endpoint.MAX_BYTES


def raw(reply):
  """Bytes that need not be HTTP, and an end."""

  def step(handler):
    handler.wfile.write(reply)
    handler.close_connection = True

  return step


OK = b'HTTP/1.1 200 OK\r\n'
MALFORMED = {
  'nothing': b'',
  'no HTTP': b'SSH-2.0-OpenSSH_9.6\r\n',
  'zeros': b'\0' * 1000,
  'no status': b'HTTP/1.1\r\n\r\n',
  'status of letters': b'HTTP/1.1 abc OK\r\n\r\n',
  'status out of range': b'HTTP/1.1 9999 OK\r\n\r\n',
  'version': b'HTTP/9.9 200 OK\r\n\r\n{}',
  'long status line': b'HTTP/1.1 200 ' + b'x' * 100_000 + b'\r\n\r\n',
  'long header': OK + b'A: ' + b'x' * 100_000 + b'\r\n\r\n',
  'many headers': OK + b'A: b\r\n' * 200 + b'\r\n',
  'header without a colon': OK + b'nothing\r\n\r\n{}',
  'headers cut': OK + b'Content-Le',
  'length of letters': OK + b'Content-Length: x\r\n\r\n{}',
  'negative length': OK + b'Content-Length: -5\r\n\r\n{}',
  'huge length': OK + b'Content-Length: ' + b'9' * 5_000 + b'\r\n\r\n{}',
  'body cut': OK + b'Content-Length: 500\r\n\r\n{"choices"',
  'chunk of letters': OK + b'Transfer-Encoding: chunked\r\n\r\nxyz\r\n',
  'negative chunk': OK + b'Transfer-Encoding: chunked\r\n\r\n-5\r\nab\r\n',
  'huge chunk': OK + b'Transfer-Encoding: chunked\r\n\r\n' + b'f' * 5_000,
  'chunk cut': OK + b'Transfer-Encoding: chunked\r\n\r\n50\r\n{"',
  'error with a chunk cut': b'HTTP/1.1 500 X\r\nTransfer-Encoding: chunked'
  b'\r\n\r\n50\r\nab',
  'Retry-After of letters': b'HTTP/1.1 503 X\r\nRetry-After: \xff\r\n\r\n',
  'huge Retry-After': b'HTTP/1.1 503 X\r\nRetry-After: '
  + b'9' * 5_000
  + b'\r\n\r\n',
  'redirect to nowhere': b'HTTP/1.1 302 X\r\n\r\n',
  'redirect to a file': b'HTTP/1.1 302 X\r\nLocation: file:///x\r\n\r\n',
  'authentication': b'HTTP/1.1 407 X\r\nProxy-Authenticate: \xff\r\n\r\n',
  'other encoding': OK + b'Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08',
  **{
    f'JSON {text.decode()}': OK + b'\r\n' + text
    for text in (
      b'3', b'"x"', b'[]', b'{}', b'{"choices": 3}', b'{"choices": {"a": 1}}',
      b'{"choices": [3]}', b'{"choices": [[]]}', b'{"choices": [{}]}',
      b'{"choices": [{"message": 3}]}', b'{"choices": [{"message": []}]}',
      b'{"choices": [{"message": {"content": {}}}]}', b'NaN',
    )
  },
}  # fmt: skip


@pytest.mark.parametrize('name', MALFORMED)
def test_malformed_answers_are_one_error_of_the_endpoint(serve, name):
  server = serve(raw(MALFORMED[name]))
  with pytest.raises(language_model.LanguageModelError) as caught:
    make(server, timeout=5.0, tries=2).complete(MESSAGES, 1, 1.0, 0)
  told = str(caught.value)
  assert told.startswith(server.url)
  assert len(told) < 600
  assert told.isprintable()


def test_what_is_no_http_is_called_so(serve):
  for name in ('no HTTP', 'many headers', 'status of letters'):
    with pytest.raises(language_model.LanguageModelError, match='is no HTTP'):
      make(serve(raw(MALFORMED[name])), tries=1).complete(MESSAGES, 1, 1.0, 0)


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
