# SPDX-License-Identifier: Apache-2.0
"""Files as ``torch.save`` wrote them before PyTorch 1.6, made with Python's own pickle.

The pickler refers to the functions of PyTorch by name, so stand-ins for its modules are put
where it looks for them while it writes.
"""

from __future__ import annotations

import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Mapping
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
MACHINE = {
    "protocol_version": VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


class FloatStorage:
    """Stands for the class of that name in PyTorch."""


class LongStorage:
    """Stands for the class of that name in PyTorch."""


def _rebuild_tensor_v2() -> None:
    """Stands for the function of that name in PyTorch."""


class Storage:
    """Numbers that tensors share."""

    def __init__(self, key: str, numbers: NDArray[Any]) -> None:
        self.key = key
        self.numbers = numbers


class Tensor:
    """A tensor as PyTorch describes it to pickle."""

    def __init__(
        self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        unused: OrderedDict[str, object] = OrderedDict()
        self.arguments = (storage, offset, shape, strides, False, unused)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_tensor_v2, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        if not isinstance(value, Storage):
            return None
        kind = LongStorage if value.numbers.dtype == np.int64 else FloatStorage
        return "storage", kind, value.key, "cpu", len(value.numbers), None


def whole(values: NDArray[Any], key: str) -> Tensor:
    """Give a tensor that has a storage of its own, in C order."""
    strides = tuple(stride // values.itemsize for stride in values.strides)
    return Tensor(Storage(key, values.reshape(-1)), 0, values.shape, strides)


def legacy_file(named: object, storages: Mapping[str, NDArray[Any]], **facts: Any) -> bytes:
    """Write a file.

    Args:
        named: What the fourth pickle holds; for an intact file a dictionary of ``Tensor``.
        storages: Numbers of each storage, in the order of the file.
        facts: ``magic``, ``version`` or ``machine`` in place of the right ones.
    """
    stream = BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        torch, utils = ModuleType("torch"), ModuleType("torch._utils")
        for module, parts in ((torch, (FloatStorage, LongStorage)), (utils, (_rebuild_tensor_v2,))):
            patch.setitem(sys.modules, module.__name__, module)
            for part in parts:
                patch.setattr(module, part.__name__, part, raising=False)
                patch.setattr(part, "__module__", module.__name__)
        for value in (
            facts.get("magic", MAGIC),
            facts.get("version", VERSION),
            facts.get("machine", MACHINE),
            named,
            list(storages),
        ):
            _Pickler(stream, protocol=2).dump(value)
    for numbers in storages.values():
        stream.write(struct.pack("<q", len(numbers)) + numbers.tobytes())
    return stream.getvalue()


def state_file(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Write a dictionary of tensors as ``torch.save(model.state_dict(), file)`` did."""
    named = OrderedDict(
        (name, whole(values, str(place))) for place, (name, values) in enumerate(tensors.items())
    )
    # Attributes of the dictionary, which hold the versions of the modules.
    named._metadata = OrderedDict(a={"version": 1})  # type: ignore[attr-defined]
    storages = {str(place): values.reshape(-1) for place, values in enumerate(tensors.values())}
    return legacy_file(named, storages)
