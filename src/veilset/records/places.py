# SPDX-License-Identifier: Apache-2.0
"""Where the records of a release lie: in a folder beside the data set, never inside it.

The output is a data set of the same layout and nothing else, so that whatever reads the
original reads it too; boxes, failures and reports are not published by accident.
"""

from __future__ import annotations

from pathlib import Path

from veilset.errors import ConfigError


def record_folder(out: Path | str) -> Path:
    """Give the folder of records that belongs to an output folder.

    Raises:
        ConfigError: If the output is at a URL: records are local.

    Example:
        >>> record_folder(Path("photos-private")).name
        'photos-private.veilset'
    """
    if isinstance(out, str) and "://" in out:
        raise ConfigError(
            "The output is at a URL, and the records of a release are kept on this machine. Say in "
            "which folder with --record FOLDER."
        )
    real = Path(out).resolve()
    return real.with_name(real.name + ".veilset")
