# SPDX-License-Identifier: Apache-2.0
"""The key: the right answers and what they are of. It stays with whoever asks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from veilset.attack.people.questions import Question
from veilset.attack.people.secret import Secret
from veilset.errors import ConfigError
from veilset.files import discard_part, part_path, sha256_hex, writing

KEY_FORMAT = "veilset people key 1"
BEGUN_FORMAT = "veilset people key 1, begun"


@dataclass(frozen=True, slots=True)
class Key:
    """The right answers of all packs.

    Attributes:
        settings: Of all packs, in the order in which they were given.
        packs: The questions of each pack, by the digest that its answers carry.
        n_shown: Candidates of each question.
        sha256: Digest of the file it was read from, "" before it is written.
    """

    settings: tuple[str, ...]
    packs: Mapping[str, tuple[Question, ...]]
    n_shown: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """A key before its pages are written: what it takes to write the same pages again.

    Attributes:
        secret: Drawn once for all pages.
        drawn_from: Digest of the plan and the photographs.
    """

    secret: Secret
    drawn_from: str


def read_begun(path: Path) -> Begun | None:
    """Read what ``begin_key`` wrote; None if there is no key.

    Raises:
        ConfigError: If a whole key is there, or something else.
    """
    try:
        found = json.loads(path.read_bytes())
        if found["format"] != BEGUN_FORMAT:
            raise ValueError(found["format"])
        return Begun(Secret(bytes.fromhex(found["secret"])), str(found["drawn_from"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise _key_exists(path) from error


def begin_key(path: Path, begun: Begun) -> None:
    """Write the secret where nobody but its owner may read it, before any page is written.

    Raises:
        ConfigError: If there is another key already.
        RunError: If it cannot be written.
    """
    _write(path, {"format": BEGUN_FORMAT} | _told(begun), begun)


def write_key(path: Path, key: Key, begun: Begun) -> None:
    """Write the key, when all of its pages are written.

    Args:
        path: Where the key is, or was begun.
        key: The right answers.
        begun: What the pages were made with.

    Raises:
        ConfigError: If there is another key: answers to its pages would be lost with it.
        RunError: If it cannot be written.
    """
    told = {
        "format": KEY_FORMAT,
        **_told(begun),
        "settings": list(key.settings),
        "n_shown": key.n_shown,
        "packs": [
            {"pack": digest, "questions": [asdict(each) for each in questions]}
            for digest, questions in key.packs.items()
        ],
    }
    _write(path, told, begun)


def _told(begun: Begun) -> dict[str, object]:
    return {"secret": begun.secret.data.hex(), "drawn_from": begun.drawn_from}


def _write(path: Path, told: Mapping[str, object], begun: Begun) -> None:
    """Write a key under a temporary name and rename it; only this key, begun, is replaced."""
    data = (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()
    if read_begun(path) not in (None, begun):
        raise _key_exists(path)
    part = part_path(path)
    try:
        with writing(path):
            # Private from its first byte on: rights that are taken away later come too late.
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            part.replace(path)
    finally:
        discard_part(part)


def _key_exists(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} is there already, and answers may belong to it. Give another folder, or "
        "delete the old key and its pages."
    )


def read_key(path: Path) -> Key:
    """Read what ``write_key`` wrote.

    Raises:
        ConfigError: If it cannot be read, is no key, or is one whose pages were not all written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The key {path} cannot be read ({error.strerror or error}). Give the key.json "
            "that 'veilset attack ask' wrote."
        ) from error
    try:
        found = json.loads(data)
        if found["format"] != BEGUN_FORMAT:
            return _key(found, sha256_hex(data))
    except (ValueError, TypeError, KeyError, LookupError, RecursionError) as error:
        raise ConfigError(
            f"{path} is no key, or damaged. Give the key.json that 'veilset attack ask' wrote."
        ) from error
    raise ConfigError(
        f"{path} is not whole: 'veilset attack ask' was interrupted. Run it again in the same way, "
        "so that it writes the same pages and finishes the key."
    )


def _key(found: Mapping[str, Any], sha256: str) -> Key:
    if found["format"] != KEY_FORMAT:
        raise ValueError(found["format"])
    packs = {str(pack["pack"]): _questions(pack["questions"]) for pack in found["packs"]}
    key = Key(tuple(found["settings"]), packs, int(found["n_shown"]), sha256)
    _check(key)
    return key


def _questions(found: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    return tuple(
        Question(**(each | {"shown": tuple(each["shown"]), "people": tuple(each["people"])}))
        for each in map(dict, found)
    )


def _check(key: Key) -> None:
    for each in (question for questions in key.packs.values() for question in questions):
        is_sound = (
            each.setting in key.settings
            and len(each.shown) == len(each.people) == key.n_shown >= 2
            and isinstance(each.answer, int)
            and 1 <= each.answer <= key.n_shown
            and each.people[each.answer - 1] == each.person
        )
        if not is_sound:
            raise ValueError(each.question_id)
