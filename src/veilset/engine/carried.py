# SPDX-License-Identifier: Apache-2.0
"""Exceptions on their way from a worker to the process that started it."""

from __future__ import annotations

import logging
import pickle
import traceback
from dataclasses import dataclass

from veilset.errors import RunError, VeilsetError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broken:
    """The work has stopped with an exception.

    Attributes:
        error: What to raise.
    """

    error: Exception


def portable(error: Exception, where: str, *, log_of: str) -> Exception:
    """Give an exception that survives the way; the log tells where in the code it was.

    Args:
        error: What was raised.
        where: Where that was, for people: ``on the node gpu-3``.
        log_of: Whose log it is, for people.
    """
    place = "".join(traceback.format_tb(error.__traceback__))
    # Its own exceptions say for people what is wrong; of a foreign one the place is all there is.
    level = logging.DEBUG if isinstance(error, VeilsetError) else logging.ERROR
    log.log(level, "%s %s\n%s", type(error).__name__, where, place)
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
        is_whole = type(copy) is type(error) and copy.args == error.args
    except Exception:  # noqa: BLE001  any class may fail to pickle in its own way
        is_whole = False
    if not is_whole:
        # Its text may hold what is in a file, so only its name goes on.
        copy = RunError(
            f"An unexpected error stopped the work {where} ({type(error).__name__}). "
            f"Please report it; the log of {log_of} has the place."
        )
    copy.add_note(f"Raised {where}:\n{place}")
    return copy
