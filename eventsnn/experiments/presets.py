"""Presets by name, from TOML files and nested dicts, and with some settings changed."""

import os
import sys
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from ..aliases import Description
from ..checks import nearest
from ..errors import InvalidInput, in_table, said_as
from .checking import checked
from .settings import Preset

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")  # a Preset or one of its tables
MAX_BYTES = 2**24  # of a TOML file: a matrix of a million weights
# What stands for a value in text: none as these settings write it, and the words of Python.
WORDS = {"none": None, "None": None, "True": True, "False": False}
# {type of a setting: how a refusal names its values}
KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list, such as [1, 2]",
}
# each is a file catalogue/NAME.toml; they are listed in this order
NAMES = (
    "spoken-digits-small", "spoken-digits", "spoken-digits-quick", "spoken-digits-dcls", "spoken-digits-delrec",
    "yin-yang", "sequence", "shd", "shd-dcls", "shd-delrec", "shd-delrec-small", "ssc", "ssc-dcls", "ssc-delrec",
    "gsc-dcls", "ps-mnist", "braille", "braille-analog",
)  # fmt: skip


def names() -> list[str]:
    """Return the names of the presets."""
    return list(NAMES)


@cache
def _written(name: str) -> Description:
    """What the file of a named preset says; it is read when it is first asked for."""
    place = resources.files(__package__) / "catalogue" / f"{name}.toml"
    return tomllib.loads(place.read_text(encoding="utf-8"))


def _unknown(place: str, key: str, known: Sequence[str]) -> InvalidInput:
    full = [f"{table.name}.{key}" for table in fields(Preset) if key in _keys_of(table)] if place == "preset" else []
    remedy = f"Did you mean {' or '.join(map(repr, full))}?" if full else nearest(key, known)
    return InvalidInput(f"{place} key", None, key, f"one of {', '.join(known)}", remedy)


def _keys_of(table: Field[Any]) -> list[str]:
    """The keys of a field of Preset that is a table of settings; of any other, none."""
    kind = get_type_hints(Preset)[table.name]
    return [item.name for item in fields(kind)] if is_dataclass(kind) else []


def _convert(place: str, value: Any, kind: Any) -> Any:
    """Return a setting as its annotated type; None and "none" stand for no value where that is allowed."""
    if isinstance(value, str) and kind in (Any, bool):
        value = WORDS.get(value, value)
    if kind is Any:
        return value
    optional = isinstance(kind, types.UnionType)
    if optional:
        if value is None or (isinstance(value, str) and WORDS.get(value, value) is None):
            return None
        kind = next(item for item in get_args(kind) if item is not type(None))
    kind = get_origin(kind) or kind
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > sys.float_info.max:
            raise InvalidInput(place, None, "a whole number of many digits", "a number that a float can hold")
        return float(value)
    if kind is list and isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InvalidInput(place, None, value, KINDS[kind] + (", or none" if optional else ""))
    return value


def _updated(settings: Settings, changes: object, place: str) -> Settings:
    """Return a settings dataclass with nested ``changes`` made; unknown keys are refused."""
    if not isinstance(changes, dict):
        raise InvalidInput(place, None, changes, f"a table with keys of {[item.name for item in fields(settings)]}")
    hints = get_type_hints(type(settings))
    values = {}
    for key, value in changes.items():
        if key not in hints:
            raise _unknown(place, key, list(hints))
        inside = f"{place}.{key}" if place != "preset" else key
        old = getattr(settings, key)
        if is_dataclass(old) and not isinstance(old, type):
            values[key] = _updated(old, value, inside)
        else:
            values[key] = _convert(inside, value, hints[key])
    with said_as(in_table(place, *values)):
        return replace(settings, **values)


def from_dict(description: Mapping[str, Any]) -> Preset:
    """Return the Preset of nested dicts such as a TOML file holds; "base" names the preset to start from.

    Raises InvalidInput for unknown keys, naming the nearest known one, and for values of the wrong type or range.
    """
    changes = dict(description)
    base = changes.pop("base", None)
    preset = Preset() if base is None else named(base)
    return checked(_updated(preset, changes, "preset"))


def stored(description: Description) -> Preset:
    """Return the Preset of a finished run's ``to_dict``: what would be refused today is read all the same."""
    return _updated(Preset(), description, "preset")


def named(name: str) -> Preset:
    """Return the preset of that name; raises InvalidInput naming the nearest one."""
    if not isinstance(name, str) or name not in NAMES:
        raise InvalidInput("preset", None, name, f"one of {', '.join(NAMES)}", nearest(str(name), list(NAMES)))
    return from_dict(_written(name))


def load(name_or_path: str | os.PathLike[str]) -> Preset:
    """Return a Preset by its name or from a TOML file."""
    path = Path(name_or_path)
    if str(name_or_path) in NAMES or not (path.suffix == ".toml" or path.is_file()):
        return named(str(name_or_path))
    try:
        description = tomllib.loads(_text(path))
    # a number of thousands of digits is a ValueError, lists in lists without end a RecursionError
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput("preset", None, str(path), "a readable TOML file", f"It is not: {error}.") from None
    return from_dict({"name": path.stem, **description})


def _text(path: Path) -> str:
    """The text of a regular file of a size that settings can have: to open a pipe would wait for its writer."""
    if path.exists() and not path.is_file():
        raise InvalidInput("preset", None, str(path), "a TOML file, which is a regular file")
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput("preset", None, f"{path}: {path.stat().st_size} bytes", f"at most {MAX_BYTES} bytes")
    return path.read_text(encoding="utf-8")


def change(preset: Preset, assignments: Iterable[str]) -> Preset:
    """Return a Preset with settings changed by strings such as "training.epochs=5" or "delays=fixed".

    Values are read as TOML (numbers, true, [1, 2]); anything else is text.
    """
    return checked(altered(preset, assignments))


def altered(preset: Preset, assignments: Iterable[str]) -> Preset:
    """Return what ``change`` does, refusing unknown keys and wrong types, but nothing that other settings can mend."""
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput("setting", None, text, "KEY=VALUE, for example training.epochs=5")
        *tables, last = key.strip().split(".")
        changes: dict[str, Any] = {last: _value(value.strip())}
        for table in reversed(tables):
            changes = {table: changes}
        preset = _updated(preset, changes, "preset")
    return preset


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):
        return text
