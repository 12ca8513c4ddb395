"""Fills the templates of pages, with what all pages have in common.

What a model or a game wrote is escaped. A content security policy forbids
everything from outside and every script but the one of the template, which it
names by its hash: a script that text might smuggle in does not run.
"""

import base64
import hashlib
from typing import Any

import jinja2
import markupsafe

from jaxcredit.reports import credit_colours

_SCRIPT = 'hover.js.jinja'


def _environment() -> jinja2.Environment:
  return jinja2.Environment(
    loader=jinja2.PackageLoader('jaxcredit.reports', 'templates'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )


def _themes() -> dict[str, dict[str, Any]]:
  """Colours by theme, those of credit and of values as scales."""
  return {
    theme: {
      **colours,
      'credit': credit_colours.credit_scale(theme),
      'scale': credit_colours.value_scale(theme),
    }
    for theme, colours in credit_colours.THEMES.items()
  }


def policy(script: str) -> str:
  """The content security policy of a page with this script alone."""
  digest = hashlib.sha256(script.encode('utf-8')).digest()
  allowed = ''
  if script:
    allowed = f"script-src 'sha256-{base64.b64encode(digest).decode()}'; "
  return (
    f"default-src 'none'; {allowed}style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
  )


def render(name: str, *, scripted: bool = True, **values: Any) -> str:
  """A page as text.

  Args:
    name: of the template.
    scripted: whether the page has the script for hovering.
    **values: what the template asks for.
  """
  environment = _environment()
  script = ''
  if scripted:
    script, _, _ = environment.loader.get_source(environment, _SCRIPT)
  return environment.get_template(name).render(
    themes=_themes(),
    policy=policy(script),
    # Written here, and as it was hashed.
    script=markupsafe.Markup(script),
    **values,
  )
