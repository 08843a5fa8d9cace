# SPDX-License-Identifier: Apache-2.0
"""What to say when a verb needs a library that only an extra brings."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

EXTRAS = ("attack", "audit", "review", "study", "synthesize")
"""Verbs that an extra of the same name belongs to."""


def say_missing(error: ModuleNotFoundError, arguments: Sequence[str]) -> str:
    """Give the sentence for a library that is not installed.

    Most verbs look themselves before they begin. This is the net below them, so that nobody
    who installed less gets a traceback.

    Args:
        error: What an import said.
        arguments: Of the command line, the name of the program left out.

    Raises:
        ModuleNotFoundError: The error itself, where no extra would help.
    """
    library = (error.name or "").partition(".")[0]
    verb = next((each for each in arguments if not each.startswith("-")), "")
    # A library that is there, and damaged, is not to be installed once more.
    if verb not in EXTRAS or not library or importlib.util.find_spec(library) is not None:
        raise error
    return (
        f"'veilset {verb}' needs {library}, which is not installed. Install it with: "
        f"pip install 'veilset[{verb}]'"
    )
