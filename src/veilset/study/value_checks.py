# SPDX-License-Identifier: Apache-2.0
"""Checks of single values of a study; each says where the value stands, and what would do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from veilset.errors import ConfigError

# A full stop separates the parts of a run's name.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def check_name(where: str, name: str) -> None:
    """Refuse what could not be a part of the name of a run."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: {name!r} cannot be a name. Use small letters, digits, - and _ only."
        )


def check_choice(where: str, value: str, choices: Sequence[str]) -> None:
    """Refuse what is not among the choices."""
    if value not in choices:
        raise ConfigError(f"{where}: {value!r} is not known. Choose: {', '.join(choices)}.")


def check_above_0(where: str, value: float | None, what: str) -> None:
    """Refuse a number that is not above 0, or infinite; None passes."""
    if value is not None and not 0 < value < float("inf"):
        raise ConfigError(f"{where}: {value!r} is not above 0. Give a {what}.")


def check_unique(where: str, values: Sequence[object]) -> None:
    """Refuse an empty list, and one that names something twice."""
    if not values:
        raise ConfigError(f"{where}: the list is empty. Give at least one.")
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{where}: {value!r} is there twice. Remove one.")
