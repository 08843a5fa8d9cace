# SPDX-License-Identifier: Apache-2.0
"""Child processes that die at one of their changes to the file system."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.truncate", "os.mkdir")


def run_in_child(work: Callable[[], object], kill_at: int) -> int:
    """Fork, work there, and give how the child ended: 0, or the signal's number below 0.

    Args:
        work: What is done.
        kill_at: The change before which the child is killed, from 1; 0 for none.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    n_seen = 0

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal n_seen
        is_opened = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if event in _CHANGES or is_opened:
            n_seen += 1
            if n_seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        work()
    except BaseException as error:
        print(kill_at, repr(error), file=sys.stderr)  # noqa: T201  the test reads it
        os._exit(1)
    os._exit(0)
