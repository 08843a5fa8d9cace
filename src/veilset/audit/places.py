# SPDX-License-Identifier: Apache-2.0
"""What lies in the folder of an audit, and what of it may be removed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from veilset.audit.looking import STAGE as LOOK_STAGE
from veilset.errors import RunError
from veilset.locks import LOCK
from veilset.runs import FINISHED, LEDGER, STARTED, discard_run, make_folder

WORK = ".work"
LOOK = "annotations"
CATEGORIES = "categories.csv"
PRIVATE = "private"

_MADE = ("audit.json", "index.html", "card.md", "croissant.json", "tables", "figures", CATEGORIES,
         PRIVATE, WORK)  # fmt: skip


def clear_audit(out: Path, *, keeps_look: bool) -> None:
    """Remove an earlier audit; leave a folder that holds anything else as it is.

    Counting is as quick as checking whether it is still true: it is always done anew. The
    look at the images is not: it stays, and the same look goes on or is counted again.

    Args:
        out: Folder of the audit; made if missing.
        keeps_look: Whether this audit looks at images too.

    Raises:
        RunError: If the folder holds the look of an earlier audit, and this one has none.
    """
    make_folder(out)
    names = {entry.name for entry in os.scandir(out)}
    has_look = _has_look(out)
    known = {*_MADE, STARTED, FINISHED, LEDGER, LOCK, *([LOOK] if has_look else [])}
    if not names <= known or not _is_audit(out):
        return
    if has_look and not keeps_look:
        raise RunError(
            f"{out / LOOK} holds what an earlier audit estimated, which may have taken hours. Ask "
            "for the same estimates again to count it, give another folder, or delete that one."
        )
    discard_run(out)
    for name in _MADE:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def kept_beside(out: Path) -> tuple[str, ...]:
    """Give what may lie in the folder before its audit starts: the look of an earlier one."""
    return (LOOK,) if _has_look(out) else ()


def _is_audit(out: Path) -> bool:
    """Whether the folder is an audit's, or one that was being cleared when it was stopped."""
    started = _started(out)
    return started is not None and (not started or started.get("stage") == "audit")


def _has_look(out: Path) -> bool:
    return (_started(out / LOOK) or {}).get("stage") == LOOK_STAGE


def _started(folder: Path) -> dict[str, Any] | None:
    """Give what the run in a folder is, {} while it is being removed; None if there is none."""
    try:
        value = json.loads((folder / STARTED).read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
