# SPDX-License-Identifier: Apache-2.0
"""Page-locked ("pinned") memory: a GPU fetches from it by itself, while the CPU goes on.

From any other memory the CUDA driver copies to a page-locked buffer of its own first. ONNX
Runtime takes an array where it lies, so it is enough to lock the pages of the array.
"""

from __future__ import annotations

import ctypes
import logging
import math
import threading
import weakref
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MAX_LOCKED_BYTES = 64 << 20
"""Largest array that is locked, for each thread: what is locked is lost to everybody else."""

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
_log = logging.getLogger(__name__)


class CudaRuntime(Protocol):
    """The two functions of the CUDA runtime library; both give 0 if all went well."""

    def cudaHostRegister(  # noqa: N802  CUDA's name
        self, pointer: ctypes.c_void_p, n_bytes: ctypes.c_size_t, flags: ctypes.c_uint
    ) -> int:
        """Lock the pages of some memory."""

    def cudaHostUnregister(self, pointer: ctypes.c_void_p) -> int:  # noqa: N802  CUDA's name
        """Let go of them."""


def find_cuda_runtime() -> CudaRuntime | None:
    """Give the CUDA runtime library that ONNX Runtime has loaded; None if there is none."""
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


class Staging:
    """Arrays in page-locked memory, one for each thread, used again and again."""

    def __init__(self, cuda: CudaRuntime | None) -> None:
        """Begin; nothing is locked yet.

        Args:
            cuda: What locks memory; None for arrays in ordinary memory.
        """
        self._cuda = cuda
        self._of_thread = threading.local()

    def array(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Give an array of any content, valid until the thread asks for the next.

        It lies in ordinary memory where it would be too large, or cannot be locked.

        Args:
            shape: Of the array.

        Returns:
            ``shape`` float32, contiguous.
        """
        n = math.prod(shape)
        if self._cuda is None or n * 4 > MAX_LOCKED_BYTES:
            return np.empty(shape, np.float32)
        locked: _Locked | None = getattr(self._of_thread, "locked", None)
        if locked is None or locked.values.size < n:
            # Powers of two, so that a data set of many sizes locks memory a few times only.
            try:
                locked = _Locked(self._cuda, 1 << (n - 1).bit_length())
            except OSError as error:
                _log.warning("%s Pictures go to the GPU through ordinary memory.", error)
                self._cuda = None
                return np.empty(shape, np.float32)
            self._of_thread.locked = locked
        return locked.values[:n].reshape(shape)


class _Locked:
    """An array whose pages are locked as long as it lives."""

    def __init__(self, cuda: CudaRuntime, n: int) -> None:
        self.values: NDArray[np.float32] = np.empty(n, np.float32)
        pointer = ctypes.c_void_p(self.values.ctypes.data)
        code = cuda.cudaHostRegister(pointer, ctypes.c_size_t(self.values.nbytes), ctypes.c_uint(0))
        if code:
            raise OSError(
                f"CUDA cannot lock {self.values.nbytes:,} bytes of memory (error {code})."
            )
        # The array is held by the finalizer: its pages must be there when they are let go.
        weakref.finalize(self, _let_go, cuda, pointer, self.values)


def _let_go(cuda: CudaRuntime, pointer: ctypes.c_void_p, values: NDArray[np.float32]) -> None:
    if code := cuda.cudaHostUnregister(pointer):
        _log.debug("CUDA could not let go of %d bytes (error %d).", values.nbytes, code)
