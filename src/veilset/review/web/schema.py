# SPDX-License-Identifier: Apache-2.0
"""Write the OpenAPI document that the client is built from.

Run ``python -m veilset.review.web.schema web/openapi.json`` after a change of routes or
models; a test fails until that is done.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from veilset.review.web.app import api_document


def document_text() -> str:
    """Give the document as text, the same every time."""
    return json.dumps(api_document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document to the file that is named, or to standard output."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m veilset.review.web.schema [FILE]\n")
        return 2
    if arguments:
        Path(arguments[0]).write_text(document_text(), encoding="utf-8")
    else:
        sys.stdout.write(document_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
