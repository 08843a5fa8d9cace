# SPDX-License-Identifier: Apache-2.0
"""Where readers and writers lie, for workers that may run on other machines."""

from __future__ import annotations

from pathlib import Path


def roots_of(*holders: object) -> tuple[Path, ...]:
    """Give the local ``root`` of each reader or writer; what has none, or a URL, is left out.

    Example:
        >>> from types import SimpleNamespace
        >>> roots_of(SimpleNamespace(root=Path("photos")), SimpleNamespace(root="s3://bucket"))
        (PosixPath('photos'),)
    """
    roots = (getattr(holder, "root", None) for holder in holders)
    return tuple(root for root in roots if isinstance(root, Path))
