# SPDX-License-Identifier: Apache-2.0
"""Values of a YAML file, taken by key and type; what nobody took was misspelt."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from veilset.errors import ConfigError

_MISSING = object()

_MOST_NODES = 100_000
"""Values of a file, those counted each time that an alias stands for."""

_GREATEST = 2**63
"""Whole numbers are below it, on either side of 0."""

# What PyYAML raises beside its own errors, where a value is not of the type that it is tagged as.
_ODD = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip

# YAML 1.1 wants a point in such a number, and takes this for a text.
_BARE_EXPONENT = re.compile(r"[-+]?\d+[eE][-+]?\d+")
_BEGINS_WITH_KEY = re.compile(r"[a-z_][\w.\[\]-]*: ")


class _Loader(yaml.SafeLoader):
    """Refuses what YAML lets pass: a key that is there twice, a number or text of no use."""


def _mapping_of(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    keys: list[str] = []
    for at, _ in node.value:
        key = loader.construct_object(at, deep=True)
        if not isinstance(key, str):
            raise _refusal(at, f"the key {_shown(key)} is no text. Put it in quotes")
        if key in keys:
            raise _refusal(at, f"the key {key!r} is there twice. Remove one")
        keys.append(key)
    values = (loader.construct_object(value, deep=True) for _, value in node.value)
    return dict(zip(keys, values, strict=True))


def _whole_of(loader: _Loader, node: yaml.ScalarNode) -> int:
    number: int = loader.construct_yaml_int(node)
    if not -_GREATEST < number < _GREATEST:
        raise _refusal(node, "a whole number is out of range. Give one below 2**63")
    return number


def _text_of(loader: _Loader, node: yaml.ScalarNode) -> str:
    text: str = loader.construct_yaml_str(node)
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _refusal(node, "a text holds a character that no file can hold. Remove it")
    return text


def _refusal(node: yaml.Node, text: str) -> ConfigError:
    return ConfigError(f"line {node.start_mark.line + 1}: {text}.")


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_of)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole_of)
_Loader.add_constructor("tag:yaml.org,2002:str", _text_of)


def load_mapping(path: Path) -> Mapping[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: If it cannot be read, is no YAML or no mapping, has a key twice, or holds
            what cannot be a value of a study.
    """
    try:
        found = _load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    except ConfigError:
        raise
    except (yaml.YAMLError, *_ODD) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{where}it is not valid YAML ({_why(error)}).") from error
    if not isinstance(found, dict):
        raise ConfigError(
            "it holds no mapping of keys to values. 'veilset study example' prints one that does."
        )
    return found


def _load(data: bytes) -> object:
    # A SafeLoader: it builds plain values only.
    loader = _Loader(data)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _n_nodes(node, {}) > _MOST_NODES:
            raise ConfigError("its aliases stand for too many values. Write out what is meant.")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _n_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Count values, those of an alias each time; one that holds itself is refused later."""
    if id(node) not in known:
        is_scalar = isinstance(node, yaml.ScalarNode)
        known[id(node)] = 1 + (len(node.value) // 64 if is_scalar else 0)
        parts = [] if is_scalar else node.value
        inner = [each for part in parts for each in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] += sum(_n_nodes(each, known) for each in inner)
    return known[id(node)]


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "values are nested too deeply"
    if isinstance(error, yaml.YAMLError | UnicodeDecodeError):
        return getattr(error, "problem", None) or "it is no text"
    return "a value is not what its tag says, or no number"


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
            raise ConfigError(f"{what}{_shown(values)} is no mapping of keys to values.")
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
        try:
            return self.folder.absolute() / Path(text).expanduser()
        except RuntimeError as error:
            raise ConfigError(f"{text!r} is in the folder of nobody known here.") from error

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
        """Give a mapping as it is, {} if it is missing; what JSON has no place for is refused."""
        found = dict(Section(self._value(key, {}), key, self.folder).values)
        for name, value in found.items():
            what = "a text, a number, true or false, or a list or mapping of them"
            self._checked(f"{key}.{name}", value, _is_plain(value), what)
        return found

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
            raise ConfigError(f"{key}: {_shown(value)} is not {what}.{hint}")
        return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(each) for each in value.values())
    if isinstance(value, list):
        return all(_is_plain(each) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
