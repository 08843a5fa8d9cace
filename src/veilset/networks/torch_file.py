# SPDX-License-Identifier: Apache-2.0
"""Read the tensors of a file that ``torch.save`` wrote before PyTorch 1.6, without PyTorch.

Such a file is five pickles (a magic number, the version of the format, facts about the
machine, the dictionary of tensors, the keys of their storages), then the numbers of each
storage after their count. A pickle is a program; unpickling runs it and whatever it names.
Here a stack machine of its own goes through the opcodes: it knows the few that dictionaries
of tensors need, never imports or calls what a file names, and refuses everything else.

Format: ``torch/serialization.py`` (``_legacy_save``) and ``pickletools`` of Python.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from veilset.errors import ConfigError

Tensors = dict[str, NDArray[Any]]

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001

_STORAGES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
)
_DICTIONARY, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"

_KNOWN = frozenset((*_STORAGES, _DICTIONARY, _TENSOR))

_NEEDED = frozenset(
    "PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE "
    "EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS APPEND APPENDS "
    "BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL REDUCE BINPERSID BUILD".split()
)
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes if opcode.name in _NEEDED}


@dataclass(frozen=True, slots=True)
class _Name:
    """What a file names; never looked up."""

    text: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    n_numbers: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(data: bytes) -> Tensors:
    """Give the tensors of a file by name; read-only views into ``data``.

    Args:
        data: The whole file: a dictionary of tensors of float32 or int64, none of them
            empty, as ``torch.save(model.state_dict(), file)`` writes them.

    Raises:
        ConfigError: If it is another kind of file, names anything that is not a part of
            such a dictionary, or is damaged. Nothing that it names was run.
    """
    if data.startswith(b"PK"):
        raise ConfigError(
            "The weight file is in the format of PyTorch 1.6 and later, which is not read here. "
            "Save it with torch.save(..., _use_new_zipfile_serialization=False)."
        )
    stream = BytesIO(data)
    try:
        magic, version, machine, named, keys = (_Machine(stream).run() for _ in range(5))
        if magic != _MAGIC or version != _VERSION or not isinstance(machine, dict):
            raise ValueError("it does not begin as such files do")
        if machine.get("little_endian") is not True:
            raise ValueError("its numbers are not little-endian")
        starts = _starts(data, stream.tell(), _storages(named), keys)
        return {name: _view(data, tensor, starts) for name, tensor in named.items()}
    except (ValueError, TypeError, LookupError, AttributeError, struct.error) as error:
        raise ConfigError(
            f"The weight file is no dictionary of tensors of PyTorch, or it is damaged: {error}. "
            "Give an intact file; nothing of this one was run."
        ) from error


class _Machine:
    """Goes through one pickle. What is on its stack is plain values and the classes above."""

    def __init__(self, stream: BytesIO) -> None:
        self._stream = stream
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Give the value that the pickle describes; the stream stands behind it then."""
        while True:
            opcode, argument = self._next()
            if opcode == "STOP":
                return self._stack.pop()
            self._do(opcode, argument)

    def _next(self) -> tuple[str, Any]:
        code = self._stream.read(1)
        if not code:
            raise ValueError("it ends too early")
        opcode = _OPCODES.get(code[0])
        # The arguments of others are not even read.
        if opcode is None:
            raise ValueError(f"it holds the opcode 0x{code[0]:02x}, which tensors do not need")
        return opcode.name, opcode.arg.reader(self._stream) if opcode.arg else None

    def _do(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        match opcode:
            case "PROTO":
                pass
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "TUPLE" | "SETITEMS" | "APPENDS":
                self._stack = self._below.pop()
                if opcode == "TUPLE":
                    self._stack.append(tuple(stack))
                else:
                    _fill(self._stack[-1], stack)
            case "SETITEM" | "APPEND":
                items = _popped(stack, 2 if opcode == "SETITEM" else 1)
                _fill(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BUILD":
                stack.pop()  # attributes of the dictionary: versions of the modules
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                stack.append(_made(name, arguments))
            case _:
                stack.append(self._pushed(opcode, argument))

    def _pushed(self, opcode: str, argument: Any) -> Any:
        stack = self._stack
        match opcode:
            case "NONE":
                return None
            case "NEWTRUE" | "NEWFALSE":
                return opcode == "NEWTRUE"
            case "EMPTY_DICT":
                return {}
            case "EMPTY_LIST":
                return []
            case "EMPTY_TUPLE":
                return ()
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                return tuple(_popped(stack, int(opcode[-1])))
            case "BINGET" | "LONG_BINGET":
                return self._memo[argument]
            case "GLOBAL":
                return _name(argument)
            case "BINPERSID":
                return _storage(stack.pop())
        return argument


def _popped(stack: list[Any], n_values: int) -> list[Any]:
    return [stack.pop() for _ in range(n_values)][::-1]


def _name(text: str) -> _Name:
    if text not in _KNOWN:
        raise ValueError(
            f"it names {text.replace(' ', '.', 1)[:80]!r}, which is no part of tensors"
        )
    return _Name(text)


def _fill(container: Any, items: list[Any]) -> None:
    if isinstance(container, list):
        container.extend(items)
        return
    if not isinstance(container, dict) or len(items) % 2:
        raise ValueError("values stand where they do not belong")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Others might not bear to be hashed: a tuple nested deeply enough ends the process.
        # The versions of modules, which are skipped, stand under texts as well.
        if not isinstance(key, str):
            raise ValueError("a key is not a text")
        container[key] = value


def _made(name: Any, arguments: Any) -> Any:
    if name == _Name(_DICTIONARY) and arguments == ():
        return {}
    if name != _Name(_TENSOR):
        raise ValueError("it calls what is no part of tensors")
    storage, offset, shape, strides = arguments[:4]
    sizes = [offset, *shape, *strides]
    if not isinstance(storage, _Storage) or not all(type(size) is int for size in sizes):
        raise ValueError("a tensor is not described as tensors are")
    if min(sizes) < 0 or min(shape, default=1) < 1 or len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("a tensor has an impossible shape")
    steps = zip(shape, strides, strict=True)
    last = offset + sum((n - 1) * stride for n, stride in steps)
    # Strides of 0 could make terabytes of one number.
    if last >= storage.n_numbers or max(*sizes, prod(shape)) > storage.n_numbers:
        raise ValueError("a tensor reaches over the end of its storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _storage(described: Any) -> _Storage:
    word, name, key, _device, n_numbers, view = described
    if word != "storage" or not isinstance(name, _Name) or view is not None:
        raise ValueError("a storage is not described as storages are")
    if not isinstance(key, str) or type(n_numbers) is not int or n_numbers < 0:
        raise ValueError("a storage has no key or no size")
    return _Storage(key, _STORAGES[name.text], n_numbers)


def _storages(named: Any) -> dict[str, _Storage]:
    storages: dict[str, _Storage] = {}
    for name, tensor in named.items():
        if not isinstance(tensor, _Tensor):
            raise ValueError(f"{name[:80]!r} is not a tensor")
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise ValueError("a storage is described in two ways")
    return storages


def _starts(
    data: bytes, at: int, storages: Mapping[str, _Storage], keys: Sequence[Any]
) -> dict[str, int]:
    """Give where the numbers of each storage begin in the file."""
    starts: dict[str, int] = {}
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise ValueError("it holds numbers of no tensor")
        storage = storages[key]
        (n_numbers,) = struct.unpack_from("<q", data, at)
        starts[key] = at + 8
        at += 8 + n_numbers * storage.dtype.itemsize
        if n_numbers != storage.n_numbers or at > len(data):
            raise ValueError("numbers are missing")
    if at != len(data) or starts.keys() != storages.keys():
        raise ValueError("it does not hold just the numbers that it should")
    return starts


def _view(data: bytes, tensor: _Tensor, starts: Mapping[str, int]) -> NDArray[Any]:
    storage = tensor.storage
    numbers = np.frombuffer(data, storage.dtype, storage.n_numbers, starts[storage.key])
    strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
    # Its bounds were checked when it was described.
    return as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
