# SPDX-License-Identifier: Apache-2.0
"""The small text files of official layouts, and the places where people put them."""

from __future__ import annotations

from pathlib import Path

from veilset.errors import DatasetError


def find_file(root: Path, places: tuple[str, ...], task: str) -> Path:
    """Give the first of several places below a folder that holds a file or folder.

    Args:
        root: The folder of the data set.
        places: POSIX paths below it, the official one first.
        task: Name of the data set, for the message.

    Raises:
        DatasetError: If there is none.
    """
    for place in places:
        if (root / place).exists():
            return root / place
    others = f" (also looked for: {', '.join(places[1:])})" if places[1:] else ""
    raise DatasetError(
        f"{task}: {root / places[0]} is missing{others}. "
        "Put the files of the official download there; nothing is downloaded."
    )


def read_lines(path: Path) -> list[str]:
    """Give the lines of a text file without the empty ones, stripped.

    Raises:
        DatasetError: If it cannot be read, is no UTF-8, or holds no line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} cannot be read as text ({error}). Download it again."
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DatasetError(f"{path} holds no line. Download it again.")
    return lines


def check_pictures(folder: Path, names: tuple[str, ...], task: str) -> None:
    """Check that every picture is a file.

    Raises:
        DatasetError: With their number and the first one that is missing.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DatasetError(
            f"{task}: {len(missing)} of {len(names)} pictures are missing in {folder}, "
            f"the first {missing[0]!r}. Unpack the official download again."
        )


def check_count(found: int, published: int, what: str, *, sample: bool) -> None:
    """Check a number against the published one.

    Args:
        found: What the files hold.
        published: What the data set is known to hold.
        what: What was counted, with the name of the data set.
        sample: Whether a part of the data set is wanted, and any number above 0 allowed.

    Raises:
        DatasetError: If it is another.
    """
    if found == published or (sample and found > 0):
        return
    raise DatasetError(
        f"{what}: {found} instead of {published}. Unpack the official download again, "
        "or set sample: true to use a part of the data set."
    )
