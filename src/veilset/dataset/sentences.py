# SPDX-License-Identifier: Apache-2.0
"""What is said of a file that cannot be used, wherever it lies."""

from __future__ import annotations

from pathlib import PurePosixPath

from veilset.errors import DatasetError, DecodeError, RunError


def check_name(name: str) -> None:
    """Refuse a name that leads out of the data set.

    Raises:
        DatasetError: If it does.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise DatasetError(f"The image name {name!r} leads out of the data set. Repair its source.")


def check_size(n_bytes: int, max_bytes: int) -> None:
    """Refuse a file that is larger than an image may be.

    Raises:
        DecodeError: If it is.
    """
    if n_bytes > max_bytes:
        raise DecodeError(
            "over-limit",
            f"The file has {n_bytes:,} bytes, the limit is {max_bytes:,}. Make it smaller.",
        )


def unreadable(error: OSError) -> DecodeError:
    """Give the sentence about a file of an image that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return DecodeError("missing", "The file is gone. Restore it and run again.")
    return DecodeError(
        "unreadable", f"The file cannot be read ({error.strerror}). Check its permissions."
    )


def unwritable(place: str, error: OSError) -> RunError:
    """Give the sentence about a file that cannot be written."""
    return RunError(
        f"{place} cannot be written ({error.strerror}). "
        "Mend that, then run the same command again: it goes on from here."
    )
