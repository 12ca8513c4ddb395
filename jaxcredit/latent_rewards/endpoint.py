"""A language model behind an OpenAI-compatible address.

By Python's own HTTP client. The key comes from a variable of the environment,
goes into one header, and nowhere else: it is in no message, record or repr, no
redirect is followed with it, and it travels over TLS alone, or to this machine.
"""

import json
import os
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxcredit.latent_rewards import http_post, language_model

LanguageModelError = language_model.LanguageModelError
Message = language_model.Message

KEY_VARIABLE = 'OPENAI_API_KEY'
MAX_BYTES = 4 * 2**20
_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
_LOCAL = frozenset({'localhost', '127.0.0.1', '::1'})


class _Again(Exception):
  """It failed in a way that may pass; `wait` is what the server asks for."""

  def __init__(self, reason: str, wait: float | None = None):
    super().__init__(reason)
    self.wait = wait


class Endpoint:
  """A model behind `URL/chat/completions`.

  Args:
    url: such as 'https://api.openai.com/v1' or 'http://localhost:8000/v1'.
    name: of the model there.
    key_variable: of the environment, which holds the key; where it is not set,
      none is sent.
    timeout: seconds for one request: connection, headers and body together.
    tries: of one request.
    max_tokens: of an answer; None: what the server likes.
    sleep: waits between tries.
  """

  def __init__(
    self,
    url: str,
    name: str,
    *,
    key_variable: str = KEY_VARIABLE,
    timeout: float = 120.0,
    tries: int = 4,
    max_tokens: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
  ):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ('http', 'https') or not parts.hostname:
      raise ValueError(f'{url!r} is no address: write https://host/v1')
    if parts.username or parts.password or parts.query or parts.fragment:
      raise ValueError(
        'an address holds no name, key or query here: the key comes from the '
        f'variable {key_variable}'
      )
    if timeout <= 0 or tries < 1:
      raise ValueError(f'timeout {timeout} and tries {tries}: both positive')
    self.name = name
    self._url = url.rstrip('/') + '/chat/completions'
    self._is_local = parts.hostname in _LOCAL
    self._is_safe = parts.scheme == 'https' or self._is_local
    self._key_variable = key_variable
    self._timeout = timeout
    self._tries = tries
    self._max_tokens = max_tokens
    self._sleep = sleep

  def complete(
    self, messages: Sequence[Message], n: int, temperature: float, seed: int
  ) -> list[str]:
    """See `language_model.LanguageModel`."""
    answers: list[str] = []
    # Some servers give one answer, whatever is asked for.
    for number in range(n):
      body = {
        'model': self.name,
        'messages': [dict(message) for message in messages],
        'n': n - len(answers),
        'temperature': temperature,
        'seed': seed + number,
      }
      if self._max_tokens is not None:
        body['max_tokens'] = self._max_tokens
      answers += self._ask(body)
      if len(answers) >= n:
        break
    return answers[:n]

  def _ask(self, body: dict[str, Any]) -> list[str]:
    for number in range(self._tries):
      try:
        return self._texts(self._post(json.dumps(body).encode()))
      except _Again as again:
        if number + 1 == self._tries:
          raise LanguageModelError(
            f'{self._url} failed {self._tries} times, at last: {again}'
          ) from None
        wait = 2.0**number if again.wait is None else again.wait
        self._sleep(min(wait, 30.0))
    raise AssertionError('unreachable')

  def _headers(self) -> tuple[dict[str, str], str]:
    headers = {'Content-Type': 'application/json', 'User-Agent': 'jaxcredit'}
    key = os.environ.get(self._key_variable, '').strip()
    if key:
      if not self._is_safe:
        raise LanguageModelError(
          f'{self._url} is not encrypted, so the key in {self._key_variable} '
          'is not sent: use https, or unset the variable'
        )
      if not key.isascii() or not key.isprintable():
        raise LanguageModelError(f'{self._key_variable} holds no key')
      headers['Authorization'] = f'Bearer {key}'
    return headers, key

  def _post(self, body: bytes) -> bytes:
    headers, key = self._headers()
    try:
      reply = http_post.post(
        self._url,
        body,
        headers,
        timeout=self._timeout,
        max_bytes=MAX_BYTES,
        use_proxy=not self._is_local,
      )
    except http_post.TooLong:
      raise LanguageModelError(
        f'{self._url} answers with more than {MAX_BYTES} bytes'
      ) from None
    except http_post.Malformed as error:
      raise _Again(f'its answer is no HTTP ({_shown(str(error), key)})') from (
        None
      )
    except TimeoutError:
      raise _Again(f'no answer within {self._timeout:g} s') from None
    except (OSError, ValueError) as error:
      raise _Again(f'no connection ({_shown(str(error), key)})') from None
    if not 200 <= reply.status < 300:
      raise self._failure(reply, key)
    return reply.body

  def _failure(
    self, reply: http_post.Reply, key: str
  ) -> LanguageModelError | _Again:
    """What an HTTP status means to the user."""
    status = reply.status
    if status in (401, 403):
      has = 'is not accepted' if key else 'is not set'
      return LanguageModelError(
        f'{self._url} refuses access ({status}): the key in the variable '
        f'{self._key_variable} {has}'
      )
    if 300 <= status < 400:
      return LanguageModelError(
        f'{self._url} leads elsewhere ({status}): give the address it leads to'
      )
    said = _shown(reply.body.decode('utf-8', 'replace'), key)
    if status in _RETRIED:
      return _Again(f'{status} {said}', _seconds(reply.headers))
    return LanguageModelError(
      f'{self._url} does not take the request ({status} {said}): see that the '
      f'address is right and the model {self.name!r} is there'
    )

  def _texts(self, answer: bytes) -> list[str]:
    try:
      choices = json.loads(answer)['choices']
      texts = [choice['message']['content'] for choice in choices]
    except (KeyError, RecursionError, TypeError, ValueError):
      raise _Again('its answer is not that of a chat') from None
    if not texts or not all(isinstance(text, str) for text in texts):
      raise _Again('its answer holds no text')
    return texts


def _shown(said: str, key: str) -> str:
  """What a server said, fit to be shown; it may repeat what it was sent."""
  said = ' '.join((said.replace(key, '***') if key else said).split())[:300]
  return ''.join(c if c.isprintable() else '?' for c in said)


def _seconds(headers: Mapping[str, str]) -> float | None:
  """What Retry-After says, where it says seconds."""
  said = (headers.get('Retry-After') or '').strip()
  return float(said) if said.isascii() and said.isdigit() else None
