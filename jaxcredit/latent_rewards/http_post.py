"""One HTTP request with one deadline: connection, headers and body together.

A timeout of a socket counts for each read, so that a server which sends a byte
a second is never late. Here the request runs in a thread of its own. The caller
waits for the deadline and no longer; then the connection is shut, which ends
the thread.
"""

import contextlib
import dataclasses
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

# Of an answer that is an error; it is shown, and cut.
_ERROR_BYTES = 2**12


class Malformed(Exception):
  """What the server sent is no HTTP; says what is wrong."""


class TooLong(Exception):
  """The body is longer than it may be."""


@dataclasses.dataclass(frozen=True)
class Reply:
  """What the server answered.

  Attributes:
    status: of HTTP.
    headers: of HTTP.
    body: as it was sent; of an error (from 300 on) its beginning.
  """

  status: int
  headers: Mapping[str, str]
  body: bytes


def post(
  url: str,
  body: bytes,
  headers: Mapping[str, str],
  *,
  timeout: float,
  max_bytes: int,
  use_proxy: bool = True,
) -> Reply:
  """Sends a request; redirects are not followed.

  Args:
    url: with http or https.
    body: of the request.
    headers: of the request.
    timeout: seconds for all of it.
    max_bytes: of the answer's body.
    use_proxy: whether the proxies count that the environment names.

  Raises:
    TimeoutError: the deadline passed.
    Malformed: the answer is no HTTP.
    TooLong: the body is longer than max_bytes.
    OSError: there is no connection.
  """
  request = urllib.request.Request(url, body, dict(headers), method='POST')
  exchange = _Exchange(request, timeout, max_bytes, use_proxy)
  thread = threading.Thread(target=exchange.run, name='http_post', daemon=True)
  thread.start()
  try:
    thread.join(timeout)
    is_late = thread.is_alive()
  finally:
    # Also where the user interrupts.
    exchange.shut()
  if is_late:
    raise TimeoutError(f'no answer within {timeout:g} s')
  if exchange.error is not None:
    raise exchange.error
  return exchange.reply


class _Exchange:
  """A request and its answer, which a thread waits for."""

  def __init__(
    self,
    request: urllib.request.Request,
    timeout: float,
    max_bytes: int,
    use_proxy: bool,
  ):
    self.reply: Reply | None = None
    self.error: Exception | None = None
    self._request = request
    self._timeout = timeout
    self._max_bytes = max_bytes
    self._connections: list[http.client.HTTPConnection] = []
    self._sockets: list[socket.socket] = []
    self._is_shut = False
    handlers: list[Any] = [_NoRedirect, _Http(self), _Https(self)]
    if not use_proxy:
      handlers.append(urllib.request.ProxyHandler({}))
    self._opener = urllib.request.build_opener(*handlers)

  def run(self) -> None:
    """What the thread does."""
    try:
      self.reply = self._receive()
    except urllib.error.URLError as error:
      reason = error.reason
      self.error = reason if isinstance(reason, OSError) else OSError(reason)
    # ValueError: a request that cannot be sent. A server that hangs up is of
    # both kinds, this and the next.
    except (OSError, TooLong, ValueError) as error:
      self.error = error
    except http.client.HTTPException as error:
      self.error = Malformed(f'{type(error).__name__}: {error}')
    finally:
      self.shut()

  def open(self, connection_class, *arguments, **options):
    """Makes a connection which `shut` can reach."""
    connection = connection_class(*arguments, **options)
    connect = connection.connect

    def connect_and_keep():
      connect()
      # The connection forgets its socket once the answer begins.
      self._sockets.append(connection.sock)
      if self._is_shut:
        self.shut()

    connection.connect = connect_and_keep
    self._connections.append(connection)
    return connection

  def shut(self) -> None:
    """Ends whatever the thread waits for."""
    self._is_shut = True
    for found in [*self._sockets, *(c.sock for c in self._connections)]:
      if found is not None:
        with contextlib.suppress(OSError):
          found.shutdown(socket.SHUT_RDWR)

  def _receive(self) -> Reply:
    try:
      with self._opener.open(self._request, timeout=self._timeout) as response:
        return Reply(response.status, response.headers, self._body(response))
    except urllib.error.HTTPError as error:
      with error:
        return Reply(error.code, error.headers, error.read(_ERROR_BYTES))

  def _body(self, response: http.client.HTTPResponse) -> bytes:
    pieces, size = [], 0
    while piece := response.read1(2**16):
      pieces.append(piece)
      size += len(piece)
      if size > self._max_bytes:
        raise TooLong
    return b''.join(pieces)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
  def redirect_request(self, *arguments):
    return None


class _Kept:
  """Has the exchange make the connections."""

  def __init__(self, exchange: _Exchange):
    super().__init__()
    self._exchange = exchange

  def do_open(self, http_class, request, **options):
    def connection(*arguments, **more):
      return self._exchange.open(http_class, *arguments, **more)

    return super().do_open(connection, request, **options)


class _Http(_Kept, urllib.request.HTTPHandler):
  pass


class _Https(_Kept, urllib.request.HTTPSHandler):
  pass
