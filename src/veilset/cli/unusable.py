# SPDX-License-Identifier: Apache-2.0
"""What to say of a path that the system refuses, where a verb did not say it itself."""

from __future__ import annotations

import errno

# The path, the rights or the disk are to blame, not a fault of Veilset.
_REFUSALS = frozenset(
    {errno.EACCES, errno.EDQUOT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOSPC, errno.ENOTDIR,
     errno.EPERM, errno.EROFS}
)  # fmt: skip


def say_unusable(error: OSError) -> str:
    """Give the sentence for a path that cannot be used.

    Most verbs say it themselves, and what the path was for. This is the net below them.

    Args:
        error: What the system said.

    Raises:
        OSError: The error itself, where another path would not help.
    """
    if error.errno not in _REFUSALS or error.filename is None:
        raise error
    return (
        f"{error.filename} cannot be used ({error.strerror}). Mend that or give another path, then "
        "run the same command again."
    )
