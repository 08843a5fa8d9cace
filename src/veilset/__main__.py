# SPDX-License-Identifier: Apache-2.0
"""``python -m veilset`` is the command line."""

from veilset.cli import main

if __name__ == "__main__":
    main()
