# SPDX-License-Identifier: Apache-2.0
"""Values of a YAML file, taken by key and type; what nobody took was misspelt."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from veilset.errors import ConfigError

_MISSING = object()

# YAML 1.1 wants a point in such a number, and takes this for a text.
_BARE_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")
_BEGINS_WITH_KEY = re.compile(r"[a-z_][\w.\[\]-]*: ")


class _Loader(yaml.SafeLoader):
    """Refuses what YAML lets pass: a key that is there twice."""


def _mapping_of(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key, (at, _) in zip(keys, node.value, strict=True):
        if keys.count(key) > 1:
            line = at.start_mark.line + 1
            raise ConfigError(f"line {line}: the key {key!r} is there twice. Remove one.")
    return dict(
        zip(
            keys,
            (loader.construct_object(value, deep=True) for _, value in node.value),
            strict=True,
        )
    )


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_of)


def load_mapping(path: Path) -> Mapping[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: If it cannot be read, is no YAML or no mapping, or has a key twice.
    """
    try:
        # A SafeLoader: it builds plain values only.
        found = yaml.load(path.read_bytes(), _Loader)  # noqa: S506
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        why = getattr(error, "problem", None) or "it is no text"
        raise ConfigError(f"{where}it is not valid YAML ({why}).") from error
    if not isinstance(found, dict):
        raise ConfigError(
            "it holds no mapping of keys to values. 'veilset study example' prints one that does."
        )
    return found


@contextmanager
def within(place: str, *, colon: str = ": ") -> Iterator[None]:
    """Put a place before what is said of the values in it.

    Args:
        place: Key, or name of the file.
        colon: What comes between it and a sentence.
    """
    try:
        yield
    except ConfigError as error:
        text = str(error)
        if colon == ": " and _BEGINS_WITH_KEY.match(text):
            colon = "."
        elif colon == ", " and not _BEGINS_WITH_KEY.match(text):
            colon = ": "
        raise ConfigError(f"{place}{colon}{text}") from error


class Section:
    """A mapping of a YAML file.

    Attributes:
        values: What it holds.
        folder: Folder from which paths are meant.
    """

    def __init__(self, values: object, where: str, folder: Path) -> None:
        """Begin to read.

        Raises:
            ConfigError: If it is no mapping from texts.
        """
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            what = f"{where}: " if where else ""
            raise ConfigError(f"{what}{values!r} is no mapping of keys to values.")
        self.values: Mapping[str, Any] = values
        self.folder = folder
        self._taken: set[str] = set()

    def names(self) -> list[str]:
        """Give all keys."""
        return list(self.values)

    def take(self, key: str) -> Any:
        """Give a value as it is, None if there is none."""
        self._taken.add(key)
        return self.values.get(key)

    def end(self) -> None:
        """Refuse what nobody took.

        Raises:
            ConfigError: If there is such a key; a near one is offered.
        """
        for key in self.values:
            if key not in self._taken:
                near = difflib.get_close_matches(key, self._taken, n=1)
                known = ", ".join(sorted(self._taken))
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {known}."
                raise ConfigError(f"unknown key {key!r}. {hint}")

    def text(self, key: str, default: Any = _MISSING) -> str:
        """Give a text."""
        value = self._value(key, default)
        # Names as 101 are numbers to YAML.
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return str(self._checked(key, value, isinstance(value, str) or value is default, "a text"))

    def whole(self, key: str, default: Any = None, *, required: bool = False) -> int | None:
        """Give a whole number."""
        value = self._value(key, _MISSING if required else default)
        found: int | None = self._checked(
            key, value, value is default or _is_whole(value), "a whole number"
        )
        return found

    def number(self, key: str, default: Any = None) -> float | None:
        """Give a number."""
        value = self._value(key, default)
        self._checked(key, value, value is default or _is_number(value), "a number")
        return None if value is None else float(value)

    def flag(self, key: str) -> bool:
        """Give true or false; false if it is not there."""
        value = self._value(key, False)
        return bool(self._checked(key, value, isinstance(value, bool), "true or false"))

    def path(self, key: str, default: Any = None, *, required: bool = False) -> Path | None:
        """Give a path, absolute."""
        value = self._value(key, _MISSING if required else default)
        self._checked(key, value, value is None or (isinstance(value, str) and value), "a path")
        return None if value is None else self.resolve(value)

    def resolve(self, text: str) -> Path:
        """Give the path that a text means in this file."""
        return self.folder.absolute() / Path(text).expanduser()

    def texts(self, key: str, default: Any = _MISSING) -> tuple[str, ...]:
        """Give a list of texts."""
        value = self._value(key, default)
        is_list = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
        return tuple(self._checked(key, value, is_list, "a list of texts"))

    def wholes(self, key: str, default: Any = None) -> tuple[int, ...] | None:
        """Give a list of whole numbers."""
        found: tuple[int, ...] | None = self._list(
            key, default, _is_whole, "a list of whole numbers"
        )
        return found

    def numbers(self, key: str, default: Any = None) -> tuple[float, ...] | None:
        """Give a list of numbers."""
        found = self._list(key, default, _is_number, "a list of numbers")
        return None if found is None else tuple(float(each) for each in found)

    def items(self, key: str, *, required: bool = True) -> list[Any]:
        """Give a list of anything."""
        value = self._value(key, _MISSING if required else [])
        return list(self._checked(key, value, isinstance(value, list), "a list"))

    def section(self, key: str, *, required: bool = True) -> Any:
        """Give a mapping in this one, None if it may be missing and is."""
        value = self._value(key, _MISSING if required else None)
        return None if value is None else Section(value, key, self.folder)

    def mapping(self, key: str) -> dict[str, Any]:
        """Give a mapping as it is, {} if it is missing."""
        return dict(Section(self._value(key, {}), key, self.folder).values)

    def scalars(self, key: str) -> dict[str, str | int | float | bool]:
        """Give a mapping to single values, {} if it is missing."""
        found = self.mapping(key)
        for name, value in found.items():
            self._checked(
                f"{key}.{name}", value, isinstance(value, str | int | float), "a single value"
            )
        return found

    def _value(self, key: str, default: Any) -> Any:
        self._taken.add(key)
        value = self.values.get(key)
        if value is None and default is _MISSING:
            raise ConfigError(f"{key}: it is missing. Give it.")
        return default if value is None else value

    def _list(self, key: str, default: Any, is_good: Any, what: str) -> Any:
        value = self._value(key, default)
        if value is default:
            return default
        is_list = isinstance(value, list) and all(is_good(each) for each in value)
        return tuple(self._checked(key, value, is_list, what))

    def _checked(self, key: str, value: Any, is_good: Any, what: str) -> Any:
        if not is_good:
            hint = ""
            if isinstance(value, str) and _BARE_EXPONENT.fullmatch(value):
                hint = " YAML takes it for a text: write a point in it, as 1.0e-4."
            raise ConfigError(f"{key}: {value!r} is not {what}.{hint}")
        return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
