# SPDX-License-Identifier: Apache-2.0
"""The command line: one small module for each verb, imported only when it is used."""

from __future__ import annotations

import sys

STOPPED = "stopped. Run the same command again to go on."


def main() -> None:
    """Run the command line.

    0 done, 1 known error, 2 usage, 3 finished with leaks or failures, 130 stopped by Ctrl+C.
    """
    from veilset.cli.app import app
    from veilset.cli.missing import say_missing
    from veilset.cli.unusable import say_unusable
    from veilset.errors import VeilsetError
    from veilset.pages.markup import visible

    try:
        app()
        return
    except VeilsetError as error:
        message, code = str(error), 1
    except ModuleNotFoundError as error:
        message, code = say_missing(error, sys.argv[1:]), 1
    except OSError as error:
        message, code = say_unusable(error), 1
    except KeyboardInterrupt:
        message, code = STOPPED, 130
    # A name in it must not forge a line, nor tell the terminal what to do.
    print(visible(f"veilset: {message}"), file=sys.stderr)  # noqa: T201  the one place that talks
    sys.exit(code)
