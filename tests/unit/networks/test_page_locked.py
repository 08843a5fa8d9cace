# SPDX-License-Identifier: Apache-2.0
"""Memory that a GPU fetches from, with a stand-in for the CUDA library."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading

import numpy as np
import pytest

from veilset.networks.page_locked import MAX_LOCKED_BYTES, Staging, find_cuda_runtime


class FakeCuda:
    """Keeps which memory is locked; refuses from a number of bytes on."""

    def __init__(self, most: int = 1 << 40) -> None:
        self.locked: dict[int, int] = {}
        self.most = most
        self.n_calls = 0

    def cudaHostRegister(
        self, pointer: ctypes.c_void_p, n_bytes: ctypes.c_size_t, flags: ctypes.c_uint
    ) -> int:
        self.n_calls += 1
        if n_bytes.value > self.most:
            return 2
        assert pointer.value is not None
        self.locked[pointer.value] = n_bytes.value
        return 0

    def cudaHostUnregister(self, pointer: ctypes.c_void_p) -> int:
        assert pointer.value is not None
        return 0 if self.locked.pop(pointer.value, 0) else 713


def is_locked(cuda: FakeCuda, array: np.ndarray) -> bool:
    start, stop = array.ctypes.data, array.ctypes.data + array.nbytes
    return any(at <= start and stop <= at + n for at, n in cuda.locked.items())


def test_arrays_of_one_thread_share_locked_memory() -> None:
    cuda = FakeCuda()
    staging = Staging(cuda)
    first = staging.array((2, 3, 10, 7))
    assert first.shape == (2, 3, 10, 7)
    assert first.dtype == np.float32
    assert first.flags.c_contiguous
    assert is_locked(cuda, first)
    smaller = staging.array((2, 3, 4, 7))
    assert smaller.ctypes.data == first.ctypes.data
    assert cuda.n_calls == 1


def test_a_larger_array_takes_the_place_of_a_smaller() -> None:
    cuda = FakeCuda()
    staging = Staging(cuda)
    staging.array((10,))
    larger = staging.array((1000,))
    gc.collect()
    assert is_locked(cuda, larger)
    assert list(cuda.locked.values()) == [1024 * 4]


def test_nothing_stays_locked() -> None:
    cuda = FakeCuda()
    staging = Staging(cuda)
    staging.array((10,))
    del staging
    gc.collect()
    assert not cuda.locked


def test_threads_do_not_share_memory() -> None:
    cuda = FakeCuda()
    staging = Staging(cuda)
    mine = staging.array((8,))
    others = []
    thread = threading.Thread(target=lambda: others.append(staging.array((8,))))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, others[0])
    assert is_locked(cuda, mine)


def test_what_is_too_large_stays_in_ordinary_memory() -> None:
    cuda = FakeCuda()
    array = Staging(cuda).array((MAX_LOCKED_BYTES // 4 + 1,))
    assert array.size == MAX_LOCKED_BYTES // 4 + 1
    assert not cuda.n_calls


def test_memory_that_cannot_be_locked_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    staging = Staging(FakeCuda(most=100))
    with caplog.at_level(logging.WARNING):
        assert staging.array((5, 20)).shape == (5, 20)
        assert staging.array((5, 20)).shape == (5, 20)
    assert [each.getMessage() for each in caplog.records] == [
        "CUDA cannot lock 512 bytes of memory (error 2). "
        "Pictures go to the GPU through ordinary memory."
    ]


def test_without_the_library_arrays_are_ordinary() -> None:
    assert Staging(None).array((3, 4)).shape == (3, 4)


@pytest.mark.gpu
def test_the_library_locks_memory() -> None:
    cuda = find_cuda_runtime()
    if cuda is None:
        pytest.skip("no CUDA runtime library is installed")
    pointer = np.zeros(1 << 20, np.uint8)
    address = ctypes.c_void_p(pointer.ctypes.data)
    code = cuda.cudaHostRegister(address, ctypes.c_size_t(pointer.nbytes), ctypes.c_uint(0))
    if code in (35, 100):
        pytest.skip("there is no NVIDIA GPU")
    assert code == 0
    assert cuda.cudaHostUnregister(address) == 0
