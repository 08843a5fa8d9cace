# SPDX-License-Identifier: Apache-2.0
"""Matrix products stay on one thread, and the number of threads comes back."""

from __future__ import annotations

import pytest

from veilset.verify.blas import _controls, one_blas_thread


def test_one_thread_inside_and_the_old_number_after() -> None:
    controls = _controls()
    if not controls:
        pytest.skip("this NumPy brings no OpenBLAS of its own")
    ((get, set_to),) = controls
    before = get()
    set_to(3)
    try:
        with one_blas_thread():
            inside = get()
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            raise ZeroDivisionError
        assert (inside, get()) == (1, 3)
    finally:
        set_to(before)
