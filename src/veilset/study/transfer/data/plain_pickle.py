# SPDX-License-Identifier: Apache-2.0
"""Pickles that hold plain values and NumPy arrays, read without running anything of theirs.

The Python version of CIFAR-10 is distributed as pickles, and a pickle may call any function
it names. Here four names are known, and even they reach functions of this file, which only
take down what they are given: NumPy never sees it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from veilset.errors import DatasetError

MAX_BYTES = 1 << 26
"""Bytes of the longest file that is read; a batch of CIFAR-10 has 31 million."""


@dataclass(slots=True)
class StoredArray:
    """An array as a pickle describes it, unchecked.

    Attributes:
        state: ``(version, shape, StoredType, is_fortran, bytes)`` where NumPy wrote it.
    """

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


@dataclass(slots=True)
class StoredType:
    """A type of numbers as a pickle describes it, unchecked: ``arguments[0]`` names it."""

    arguments: tuple[object, ...] = ()
    state: object = field(default=None)

    def __setstate__(self, state: object) -> None:
        self.state = state


def _array(*_: object) -> StoredArray:
    return StoredArray()


def _type(*arguments: object) -> StoredType:
    return StoredType(arguments)


_KNOWN: dict[tuple[str, str], Callable[..., object] | None] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "dtype"): _type,
    # Handed to the first one, never called.
    ("numpy", "ndarray"): None,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        known = _KNOWN[module, name]
        # A new object each time: a pickle can set attributes of what it names.
        return (lambda *arguments: known(*arguments)) if known else object()


def read_plain_pickle(path: Path) -> object:
    """Read a pickle of dictionaries, lists, texts, numbers and arrays.

    Texts of Python 2 come as bytes; arrays come as ``StoredArray``.

    Raises:
        DatasetError: If it cannot be read, is damaged, or names anything else. Nothing that
            it names is ever run.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{path} has more than {MAX_BYTES:,} bytes. Check the folder.")
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    # A damaged pickle fails with nearly any exception of Python.
    except Exception as error:
        raise DatasetError(
            f"{path} is damaged or no batch of CIFAR-10 ({error}). Nothing in it was run. "
            "Download it again, the binary version if you can choose."
        ) from error
