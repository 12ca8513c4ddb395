"""Flags from dataclasses of options; see `jaxcredit.options`.

_CRITIC = option_flags.define(critic.CriticOptions, prefix='critic_')
...
options = _CRITIC.read()
"""

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from absl import flags

# Flags belong to the module that asks for them.
flags.disclaim_key_flags()


def _kind(field: dataclasses.Field, hints: Mapping[str, Any]) -> type:
  """The type of an option, None for a value that is not given left out."""
  hint = hints[field.name]
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    (hint,) = (h for h in typing.get_args(hint) if h is not type(None))
  return typing.get_origin(hint) or hint


def define_one(
  name: str,
  field: dataclasses.Field,
  kind: type,
  default: Any,
  help: str | None = None,
) -> flags.FlagHolder:
  """Defines the flag of one option.

  Args:
    name: of the flag.
    field: made by `options.option`.
    kind: type of the option.
    default: of the flag.
    help: in place of that of the field.
  """
  metadata = field.metadata
  help = help or metadata['help']
  low, high = metadata.get('low'), metadata.get('high')
  if metadata.get('choices') is not None:
    return flags.DEFINE_enum(name, default, list(metadata['choices']), help)
  if kind is bool:
    return flags.DEFINE_bool(name, default, help)
  if kind is int:
    return flags.DEFINE_integer(name, default, help, low, high)
  if kind is float:
    return flags.DEFINE_float(name, default, help, low, high)
  if kind is tuple:
    return flags.DEFINE_list(name, default and list(default), help)
  return flags.DEFINE_string(name, default, help)


@dataclasses.dataclass(frozen=True)
class OptionFlags:
  """Flags that make an object of options.

  Attributes:
    kind: the dataclass.
    holders: flag of each field that has one.
  """

  kind: type
  holders: Mapping[str, flags.FlagHolder]

  def read(self, **others: Any) -> Any:
    """The options as the flags say.

    Args:
      **others: fields without flags.

    Raises:
      ValueError: a value that the options do not allow.
    """
    values = {name: holder.value for name, holder in self.holders.items()}
    values = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in values.items()
    }
    return self.kind(**values, **others)


def define(
  kind: type,
  *,
  prefix: str = '',
  names: Mapping[str, str] | None = None,
  defaults: Mapping[str, Any] | None = None,
  without: Collection[str] = (),
) -> OptionFlags:
  """Defines a flag for each option of a dataclass.

  Args:
    kind: a dataclass whose fields were made by `options.option`; fields without
      a help text get no flag.
    prefix: of the flags' names.
    names: names of flags that differ from the field's, without prefix.
    defaults: defaults that differ from the dataclass's.
    without: fields that get no flag.
  """
  hints = typing.get_type_hints(kind)
  holders = {}
  for field in dataclasses.fields(kind):
    if field.name in without or 'help' not in field.metadata:
      continue
    name = prefix + (names or {}).get(field.name, field.name)
    default = (defaults or {}).get(field.name, field.default)
    holders[field.name] = define_one(name, field, _kind(field, hints), default)
  return OptionFlags(kind, holders)
