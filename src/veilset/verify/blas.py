# SPDX-License-Identifier: Apache-2.0
"""Keep NumPy's matrix products on the thread that asks for them.

The threads of a stage fill the cores already. OpenBLAS splits products of more than
64 x 64 x 64 among threads of its own, which then wait for each other: on two busy cores one
survival of a face took 17 ms instead of 1 ms.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

# As the OpenBLAS of NumPy's wheels names them, and OpenBLAS elsewhere.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let products run on the calling thread inside the block; the whole process is affected.

    Where NumPy does not bring its own OpenBLAS nothing is changed; results are the same.

    Example:
        >>> with one_blas_thread():
        ...     float((np.eye(2) @ np.ones(2)).sum())
        2.0
    """
    controls = _controls()
    before = [get() for get, _ in controls]
    for _, set_to in controls:
        set_to(1)
    try:
        yield
    finally:
        for (_, set_to), n_threads in zip(controls, before, strict=True):
            set_to(n_threads)


def _controls() -> list[tuple[Any, Any]]:
    """Find the functions that get and set the number of threads of NumPy's OpenBLAS."""
    folder = Path(np.__file__).parent
    found = []
    for path in sorted((folder.parent / "numpy.libs").glob("*openblas*")):
        try:
            # Loaded by NumPy already: this gives the same library, not a second one.
            library = ctypes.CDLL(str(path))
        except OSError as error:
            log.info("%s cannot be opened: %s", path.name, error)
            continue
        for getter, setter in _NAMES:
            if hasattr(library, getter) and hasattr(library, setter):
                found.append((getattr(library, getter), getattr(library, setter)))
                break
    return found
