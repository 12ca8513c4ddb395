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


def _kind(field: dataclasses.Field, hints: Mapping[str, Any]) -> Any:
  """The type of an option, None for a value that is not given left out."""
  hint = hints[field.name]
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    (hint,) = (h for h in typing.get_args(hint) if h is not type(None))
  return hint


def kind_of(options: type, name: str) -> type:
  """The type of an option of a dataclass."""
  (field,) = (f for f in dataclasses.fields(options) if f.name == name)
  return _kind(field, typing.get_type_hints(options))


def define_one(
  name: str,
  field: dataclasses.Field,
  kind: Any,
  default: Any,
  help: str | None = None,
) -> flags.FlagHolder:
  """Defines the flag of one option.

  Options that are tuples of numbers or of choices have flags that are given
  several times.

  Args:
    name: of the flag.
    field: made by `options.option`.
    kind: type of the option, such as int or tuple[int, ...].
    default: of the flag.
    help: in place of that of the field.
  """
  metadata = field.metadata
  help = help or metadata['help']
  holder = _define(name, metadata, kind, default, help)
  above = metadata.get('above')
  if above is not None:
    flags.register_validator(
      holder,
      lambda value: value is None or _exceeds(value, above),
      message=f'must be above {above}',
    )
  return holder


def _exceeds(value: Any, above: float) -> bool:
  values = value if isinstance(value, list) else [value]
  return all(number > above for number in values)


def _bounds(metadata: Mapping[str, Any]) -> tuple[Any, Any]:
  """Bounds for absl, which has none that is excluded."""
  low, above = metadata.get('low'), metadata.get('above')
  return above if low is None else low, metadata.get('high')


def _define(
  name: str,
  metadata: Mapping[str, Any],
  kind: Any,
  default: Any,
  help: str,
) -> flags.FlagHolder:
  low, high = _bounds(metadata)
  if typing.get_origin(kind) is tuple:
    default = default and list(default)
    return _define_several(
      name, metadata, typing.get_args(kind)[0], default, help
    )
  if metadata.get('choices') is not None:
    return flags.DEFINE_enum(name, default, list(metadata['choices']), help)
  if kind is bool:
    return flags.DEFINE_bool(name, default, help)
  if kind is int:
    return flags.DEFINE_integer(name, default, help, low, high)
  if kind is float:
    return flags.DEFINE_float(name, default, help, low, high)
  return flags.DEFINE_string(name, default, help)


def _define_several(
  name: str,
  metadata: Mapping[str, Any],
  kind: type,
  default: list[Any] | None,
  help: str,
) -> flags.FlagHolder:
  """Defines the flag of an option that is a tuple."""
  low, high = _bounds(metadata)
  if metadata.get('choices') is not None:
    choices = list(metadata['choices'])
    return flags.DEFINE_multi_enum(name, default, choices, help)
  if kind is int:
    return flags.DEFINE_multi_integer(name, default, help, low, high)
  if kind is float:
    return flags.DEFINE_multi_float(name, default, help, low, high)
  return flags.DEFINE_list(name, default, help)


def _value(value: Any) -> Any:
  """A flag's or a record's value as an option holds it."""
  return tuple(value) if isinstance(value, list) else value


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
    values = {name: _value(f.value) for name, f in self.holders.items()}
    return self.kind(**values, **others)

  def recorded(self, config: Mapping[str, Any], **others: Any) -> Any:
    """The options that a run recorded; what it lacks has its default.

    Args:
      config: name of a flag -> value.
      **others: fields without flags.
    """
    values = {
      name: _value(config[holder.name])
      for name, holder in self.holders.items()
      if holder.name in config
    }
    return self.kind(**values, **others)


@dataclasses.dataclass(frozen=True)
class UnionFlags:
  """Flags of several dataclasses, of which a run uses one.

  A flag that is not given has the default of the dataclass that is used.

  Attributes:
    kinds: the dataclasses, by name.
    holders: flag of each field that one of them has.
  """

  kinds: Mapping[str, type]
  holders: Mapping[str, flags.FlagHolder]

  def _names(self, name: str) -> set[str]:
    return {field.name for field in dataclasses.fields(self.kinds[name])}

  def read(self, name: str, defaults: Mapping[str, Any] | None = None) -> Any:
    """The options of one of the dataclasses.

    Args:
      name: of it.
      defaults: values of flags that are not given.

    Raises:
      ValueError: a value that the options do not allow.
    """
    values = {n: f.value for n, f in self.holders.items()}
    return self.recorded(name, {**(defaults or {}), **_given(values)})

  def recorded(self, name: str, config: Mapping[str, Any]) -> Any:
    """The options of one of the dataclasses, as a run recorded them."""
    names = self._names(name)
    values = {n: _value(v) for n, v in config.items() if n in names}
    return self.kinds[name](**_given(values))

  def given(self) -> dict[str, Any]:
    """Values of the flags that are given, by name of the field."""
    return _given({n: _value(f.value) for n, f in self.holders.items()})

  def unused(self, name: str) -> list[str]:
    """Flags that are given and that a dataclass does not have."""
    names = self._names(name)
    return sorted(
      n
      for n, f in self.holders.items()
      if f.value is not None and n not in names
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
  return {name: v for name, v in values.items() if v is not None}


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


def define_union(
  kinds: Mapping[str, type],
  names: Mapping[str, str] | None = None,
  without: Collection[str] = (),
) -> UnionFlags:
  """Defines a flag for each option that one of several dataclasses has.

  Args:
    kinds: the dataclasses, by name; '' needs no mention. Fields of one name
      have one type.
    names: names of flags that differ from the field's.
    without: fields that get no flag.
  """
  fields: dict[str, dataclasses.Field] = {}
  users: dict[str, list[str]] = {}
  types_of: dict[str, type] = {}
  for name, kind in kinds.items():
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
      if field.name not in without and 'help' in field.metadata:
        fields.setdefault(field.name, field)
        users.setdefault(field.name, []).append(name)
        types_of.setdefault(field.name, _kind(field, hints))
  holders = {}
  for name, field in fields.items():
    help = field.metadata['help']
    if any(users[name]):
      help += f' Of {", ".join(users[name])}.'
    flag = (names or {}).get(name, name)
    holders[name] = define_one(flag, field, types_of[name], None, help)
  return UnionFlags(kinds, holders)
