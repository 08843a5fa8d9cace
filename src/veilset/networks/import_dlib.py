# SPDX-License-Identifier: Apache-2.0
"""The door to dlib, which is not installed with Veilset."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from veilset.errors import MissingExtraError


def import_dlib(who: str, extra: str) -> ModuleType:
    """Import dlib.

    Args:
        who: What needs it, as the beginning of a sentence.
        extra: The extra of Veilset that brings it.

    Raises:
        MissingExtraError: If it is not installed or cannot be imported.
    """
    if importlib.util.find_spec("dlib") is None:
        raise MissingExtraError(
            f"{who} needs dlib, which is not installed. Install it with: "
            f"pip install 'veilset[{extra}]'"
        )
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise MissingExtraError(
            f"dlib cannot be imported: {error}. Install it again with: "
            f"pip install 'veilset[{extra}]'"
        ) from error
