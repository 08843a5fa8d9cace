# SPDX-License-Identifier: Apache-2.0
"""Choices by their names."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from veilset.errors import ConfigError

Choice = TypeVar("Choice", bound=StrEnum)


def one_of(choices: type[Choice], text: str, what: str) -> Choice:
    """Give the choice of a name.

    Args:
        choices: What there is.
        text: The name.
        what: What is chosen, for the message.

    Raises:
        ConfigError: If there is none.

    Example:
        >>> one_of(StrEnum("Colour", {"RED": "red"}), "red", "colour")
        <Colour.RED: 'red'>
    """
    names = [str(each) for each in choices]
    if text not in names:
        raise ConfigError(f"There is no {what} {text!r}. Choose: {', '.join(names)}.")
    return choices(text)
