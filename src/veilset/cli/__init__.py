# SPDX-License-Identifier: Apache-2.0
"""The command line: one small module for each verb, imported only when it is used."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line.

    0 done, 1 known error, 2 usage, 3 finished with leaks or failures, 130 stopped by Ctrl+C.
    """
    from veilset.cli.app import app
    from veilset.cli.missing import say_missing
    from veilset.cli.unusable import say_unusable
    from veilset.errors import VeilsetError

    try:
        app()
    except VeilsetError as error:
        print(f"veilset: {error}", file=sys.stderr)  # noqa: T201  the one place that talks
        sys.exit(1)
    except ModuleNotFoundError as error:
        print(f"veilset: {say_missing(error, sys.argv[1:])}", file=sys.stderr)  # noqa: T201  this too
        sys.exit(1)
    except OSError as error:
        print(f"veilset: {say_unusable(error)}", file=sys.stderr)  # noqa: T201  and this
        sys.exit(1)
    except KeyboardInterrupt:
        message = "veilset: stopped. Run the same command again to go on."
        print(message, file=sys.stderr)  # noqa: T201  so does this
        sys.exit(130)
