# SPDX-License-Identifier: Apache-2.0
"""What to say when a verb needs a library that only an extra brings."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

EXTRAS: Mapping[str, frozenset[str]] = {
    "attack": frozenset({"dlib", "lightning_fabric", "safetensors", "scipy", "skimage", "sklearn",
                         "torch"}),
    "audit": frozenset({"duckdb", "resvg_py"}),
    "review": frozenset({"alembic", "fastapi", "sqlalchemy", "uvicorn"}),
    "study": frozenset({"lightning_fabric", "pycocotools", "resvg_py", "safetensors", "scipy",
                        "timm", "torch", "torchmetrics", "torchvision"}),
    "synthesize": frozenset({"dlib", "gensim", "lightning_fabric", "onnxruntime", "safetensors",
                             "torch", "torchmetrics", "torchvision"}),
}  # fmt: skip
"""Verbs that an extra of the same name belongs to, and the modules that it brings."""


def say_missing(error: ModuleNotFoundError, arguments: Sequence[str]) -> str:
    """Give the sentence for a library that is not installed.

    Most verbs look themselves before they begin. This is the net below them, so that nobody
    who installed less gets a traceback.

    Args:
        error: What an import said.
        arguments: Of the command line, the name of the program left out.

    Raises:
        ModuleNotFoundError: The error itself, where no extra would help.
    """
    library = (error.name or "").partition(".")[0]
    verb = next((each for each in arguments if not each.startswith("-")), "")
    # A library that is there, and damaged, is not to be installed once more.
    if library not in EXTRAS.get(verb, ()) or importlib.util.find_spec(library) is not None:
        raise error
    return (
        f"'veilset {verb}' needs {library}, which is not installed. Install it with: "
        f"pip install 'veilset[{verb}]'"
    )
