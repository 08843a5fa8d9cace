# SPDX-License-Identifier: Apache-2.0
"""The command line without a process of its own, for tests of what it says and does."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from veilset.cli import main


def command(*words: str | Path, code: int | None = 0) -> CompletedProcess[str]:
    """Run a command from its words to its exit status; an unknown error is raised.

    Args:
        words: All that is typed behind ``veilset``.
        code: The status it has to end with; None for any.
    """
    out, errors = io.StringIO(), io.StringIO()
    status: int | str | None = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.setattr(sys, "argv", ["veilset", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    assert isinstance(status, int)
    assert code is None or status == code, errors.getvalue()
    return CompletedProcess(words, status, out.getvalue(), errors.getvalue())
