# SPDX-License-Identifier: Apache-2.0
"""Files of PyTorch: read as they were written, and never run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.networks.legacy_files import (
    MACHINE,
    FloatStorage,
    Storage,
    Tensor,
    legacy_file,
    state_file,
    whole,
)
from veilset.errors import ConfigError
from veilset.networks.torch_file import read_tensors


def drawn() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    return {
        "conv.weight": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "bn.bias": rng.normal(size=5).astype(np.float32),
        "bn.steps": np.array(7, np.int64),
        "bn.scale": np.array([0.5], np.float32),
    }


INTACT = state_file(drawn())


def test_tensors_come_back_as_they_were_written() -> None:
    found = read_tensors(INTACT)
    assert list(found) == list(drawn())
    for name, values in drawn().items():
        assert found[name].dtype == values.dtype
        assert found[name].shape == values.shape
        np.testing.assert_array_equal(found[name], values)
        assert not found[name].flags.writeable


def test_tensors_may_share_a_storage_and_lie_in_another_order() -> None:
    numbers = np.arange(24, dtype=np.float32)
    storage = Storage("s", numbers)
    # As conversions from TensorFlow leave them: the last axis of the file is the first here.
    turned = Tensor(storage, 0, (4, 3, 2), (1, 4, 12))
    part = Tensor(storage, 5, (2, 3), (3, 1))
    found = read_tensors(legacy_file({"turned": turned, "part": part}, {"s": numbers}))
    np.testing.assert_array_equal(found["turned"], numbers.reshape(2, 3, 4).transpose(2, 1, 0))
    np.testing.assert_array_equal(found["part"], [[5, 6, 7], [8, 9, 10]])


NUMBERS = np.arange(6, dtype=np.float32)
STORAGE = Storage("s", NUMBERS)


def one(tensor: object) -> bytes:
    return legacy_file({"a": tensor}, {"s": NUMBERS})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "ends too early"),
        (b"PK\x03\x04 and more", r"PyTorch 1\.6 and later.*_use_new_zipfile_serialization"),
        (b"GIF89a", "opcode 0x47"),
        (legacy_file({}, {}, magic=1), "does not begin as such files do"),
        (legacy_file({}, {}, version=1002), "does not begin as such files do"),
        (legacy_file({}, {}, machine={**MACHINE, "little_endian": False}), "not little-endian"),
        (legacy_file({"a": 3}, {}), "'a' is not a tensor"),
        (legacy_file([1], {}), "no attribute"),
        (legacy_file({1: 2}, {}), "a key is not a text"),
        (legacy_file({}, {"s": NUMBERS}), "numbers of no tensor"),
        (legacy_file({"a": whole(NUMBERS, "s")}, {}), "just the numbers"),
        (one(Tensor(STORAGE, 1, (6,), (1,))), "over the end of its storage"),
        (one(Tensor(STORAGE, 0, (3, 2), (2, 2))), "over the end of its storage"),
        (one(Tensor(STORAGE, 0, (2**40,), (0,))), "over the end of its storage"),
        (one(Tensor(STORAGE, 0, (1,), (2**70,))), "over the end of its storage"),
        (one(Tensor(STORAGE, -1, (2,), (1,))), "impossible shape"),
        (one(Tensor(STORAGE, 0, (0,), (1,))), "impossible shape"),
        (one(Tensor(STORAGE, 0, (2, 2), (1,))), "impossible shape"),
        (one(Tensor(STORAGE, 0, (1,) * 9, (1,) * 9)), "impossible shape"),
        # Of another type than is written: that is the point.
        (one(Tensor("s", 0, (2,), (1,))), "not described as tensors are"),  # type: ignore[arg-type]
        (
            legacy_file({"a": whole(NUMBERS, "s"), "b": whole(NUMBERS[:3], "s")}, {"s": NUMBERS}),
            "described in two ways",
        ),
        (INTACT[:-1], "numbers are missing"),
        (INTACT + b"\0", "just the numbers"),
    ],
)
def test_what_is_no_such_file_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_tensors(data)


class Evil:
    """Does something when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.reduced


def attacks(mark: Path) -> list[Evil]:
    """Things that leave a mark when they are unpickled."""
    return [
        Evil(os.system, f"mkdir {mark}"),
        Evil(subprocess.check_call, ["mkdir", str(mark)]),
        Evil(eval, f"__import__('os').mkdir({str(mark)!r})"),
        Evil(exec, f"import os; os.mkdir({str(mark)!r})"),
        Evil(os.mkdir, str(mark)),
    ]


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_file_names_is_never_run(number: int, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    evil = attacks(mark)[number]
    alone = pickle.dumps(evil, protocol)
    files = [alone, legacy_file(evil, {}), legacy_file({"a": evil}, {}), INTACT[:21] + alone]
    named = OrderedDict(a=whole(NUMBERS, "s"))
    named.evil = evil  # type: ignore[attr-defined]  # BUILD would set it
    files.append(legacy_file(named, {"s": NUMBERS}))
    for data in files:
        with watched() as events, pytest.raises(ConfigError):
            read_tensors(data)
        assert not events
    assert not mark.exists()
    pickle.loads(alone)
    assert mark.exists(), "the attack has to be one"


_events: list[str] = []
_is_watching = [False]


def _hook(event: str, _arguments: tuple[object, ...]) -> None:
    if _is_watching[0] and not event.startswith("cpython."):
        _events.append(event)


sys.addaudithook(_hook)  # stays for the process, and does nothing unless it is asked to


@contextmanager
def watched() -> Iterator[list[str]]:
    """List what Python tells auditors meanwhile: imports, opened files, commands, ..."""
    _events.clear()
    _is_watching[0] = True
    try:
        yield _events
    finally:
        _is_watching[0] = False


def read_or_refused(data: bytes) -> None:
    with watched() as events:
        try:
            read_tensors(data)
        except ConfigError as error:
            said = str(error)
        else:
            said = ""
    assert not events
    assert len(said) < 400


@given(st.integers(0, len(INTACT) - 1))
def test_cut_off_files_are_refused(length: int) -> None:
    with pytest.raises(ConfigError):
        read_tensors(INTACT[:length])


@given(st.lists(st.tuples(st.integers(0, len(INTACT) - 1), st.integers(0, 255)), max_size=8))
def test_damaged_files_are_read_or_refused(damages: list[tuple[int, int]]) -> None:
    data = bytearray(INTACT)
    for at, octet in damages:
        data[at] = octet
    read_or_refused(bytes(data))


_SOME = b"\x80\x02(.NKMJX}])t\x85\x86sueqrhjcRQb\x88\x89\x8aSTVi0123obg\x93\x81"


@given(
    st.lists(
        st.one_of(
            st.sampled_from([bytes([octet]) for octet in _SOME]),
            st.sampled_from(
                [
                    b"cos\nsystem\n",
                    b"ccollections\nOrderedDict\n",
                    b"ctorch._utils\n_rebuild_tensor_v2\n",
                    b"ctorch\nFloatStorage\n",
                    b"X\x07\0\0\0storage",
                    b"q\0",
                    b"h\0",
                    b"K\1",
                    b")R",
                ]
            ),
            st.binary(max_size=4),
        ),
        max_size=40,
    )
)
def test_drawn_programs_are_read_or_refused(parts: list[bytes]) -> None:
    read_or_refused(INTACT[:137] + b"".join(parts))


def test_deep_nesting_does_not_end_the_process() -> None:
    deep = b"}(" + b")" + b"\x85" * 200_000 + b"K\1u."  # a dictionary with a deep tuple as key
    with pytest.raises(ConfigError, match="key is not a text"):
        read_tensors(INTACT[:137] + deep)
    keys = b"\x80\x02}.\x80\x02](" + b")" + b"\x85" * 200_000 + b"e."
    with pytest.raises(ConfigError, match="numbers of no tensor"):
        read_tensors(INTACT[:137] + keys)


def test_the_stand_ins_are_gone() -> None:
    # Else the tests above would say nothing about a machine without PyTorch.
    assert FloatStorage.__module__ == "tests.unit.networks.legacy_files"
