# SPDX-License-Identifier: Apache-2.0
"""Quantised DCT coefficients of a JPEG file, through the libjpeg-turbo inside ``jpeglib``.

``jpeglib``'s Python classes decode the file twice more than needed, keep markers in
process-wide variables and pass through files on disk. Its two C functions for
coefficients do neither: they hold no state between calls and release the interpreter
lock, so they are called here directly, on anonymous memory instead of a disk file.
They crash on a header that libjpeg refuses, which is why only streams rebuilt from a
header that ``parse_jpeg`` understood are handed over.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veilset.errors import DecodeError, MissingExtraError
from veilset.images.jpeg_markers import DHT, DQT, DRI, EOI, SOI, JpegFile, parse_jpeg

Coefficients: TypeAlias = list[NDArray[np.int16]]
"""For each component ``(block rows, block columns, 64)`` int16, natural order."""

_VERSION = "turbo210"
_YCC, _GRAY = 3, 1


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("jpeglib")
    folder = Path(spec.origin).parent / "cjpeglib" if spec and spec.origin else None
    found = sorted(folder.glob(f"cjpeglib_{_VERSION}.*")) if folder else []
    if not found:
        raise MissingExtraError(
            f"jpeglib with its {_VERSION} library is not installed. "
            "Install it with: pip install 'jpeglib>=1.0.2'"
        )
    library = ctypes.CDLL(str(found[0]))
    library.read_jpeg_dct.restype = ctypes.c_int
    library.write_jpeg_dct.restype = ctypes.c_int
    return library


@contextmanager
def _memory_file(content: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """Give a file descriptor and a path that C can open, on memory where Linux allows."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").exists():
        descriptor = os.memfd_create("veilset-jpeg")
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(prefix="veilset-", suffix=".jpg")
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        yield descriptor, os.fsencode(path)
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            Path(path).unlink()


def block_shape(jpeg: JpegFile, index: int) -> tuple[int, int]:
    """Give rows and columns of 8 x 8 blocks of a component, as libjpeg counts them.

    Example:
        A 4:2:0 photo of 17 x 9 pixels has 2 x 3 luma blocks and 1 x 2 of each chroma.
    """
    width, height = jpeg.size_wh
    component = jpeg.components[index]
    h_max = max(c.h for c in jpeg.components)
    v_max = max(c.v for c in jpeg.components)
    return -(-height * component.v // (8 * v_max)), -(-width * component.h // (8 * h_max))


def _pointers(planes: Coefficients) -> list[ctypes.c_void_p | None]:
    pointers: list[ctypes.c_void_p | None] = [ctypes.c_void_p(p.ctypes.data) for p in planes]
    return pointers + [None] * (4 - len(pointers))


def read_coefficients(jpeg: JpegFile) -> Coefficients:
    """Read every quantised coefficient. Exact; safe in threads.

    Args:
        jpeg: A fully parsed file (``parse_jpeg`` without ``header_only``).

    Returns:
        For each component ``(block rows, block columns, 64)`` int16, natural order.

    Raises:
        DecodeError: ``unreadable`` if libjpeg refuses the picture data.
    """
    parts = [SOI]
    scans = {scan.segment.start: scan for scan in jpeg.scans}
    for segment in jpeg.segments:
        if segment.start in scans:
            parts.append(jpeg.data[segment.start : scans[segment.start].data_end])
        elif segment.marker in (DQT, DHT, DRI, jpeg.frame):
            parts.append(jpeg.data[segment.start : segment.end])
    planes = [
        np.zeros((*block_shape(jpeg, i), 64), dtype=np.int16) for i in range(len(jpeg.components))
    ]
    with _memory_file(b"".join([*parts, EOI])) as (_, path):
        ok = _library().read_jpeg_dct(path, *_pointers(planes), None, None)
    if ok != 1:
        raise DecodeError(
            "unreadable", "The coefficients of the JPEG file cannot be read. Replace the file."
        )
    return planes


def _beyond_range() -> DecodeError:
    return DecodeError(
        "unsupported",
        "The JPEG file has coefficients that a sequential 8-bit JPEG cannot hold. "
        "Save it again with another program first.",
    )


def write_sequential(jpeg: JpegFile, planes: Coefficients) -> JpegFile:
    """Write coefficients as one scan with the Huffman tables of T.81 annex K. Safe in threads.

    Args:
        jpeg: Gives size and sampling.
        planes: As ``read_coefficients`` gives them.

    Returns:
        A bare file; only its Huffman tables and its scan mean anything.

    Raises:
        DecodeError: ``unsupported`` if a coefficient is beyond what 8-bit JPEG can hold.
    """
    n_components = len(planes)
    # libjpeg-turbo writes what has no Huffman code as garbage, without a word.
    for plane in planes:
        low, high = int(plane.min()), int(plane.max())
        if low < -1024 or high > 1023 or (low == -1024 and plane[:, :, 1:].min() == low):
            raise _beyond_range()
    # A single component is never interleaved, whatever its sampling factors say.
    factors = [(c.v, c.h) for c in jpeg.components] if n_components > 1 else [(1, 1)]
    size_hw = (ctypes.c_int * 2)(*jpeg.size_wh[::-1])
    blocks = (ctypes.c_int * 8)(*(n for plane in planes for n in plane.shape[:2]))
    sampling = (ctypes.c_int * 8)(*(n for pair in factors for n in pair))
    planes = [np.ascontiguousarray(plane) for plane in planes]
    with _memory_file() as (descriptor, path):
        ok = _library().write_jpeg_dct(
            *(None, path, *_pointers(planes), size_hw, blocks, sampling),
            *(_YCC if n_components == 3 else _GRAY, n_components),
            *(None, ctypes.c_short(-1), None, 0, None, None, None),
            *(ctypes.c_uint(0), ctypes.c_uint(0)),
        )
        if ok != 1:
            raise _beyond_range()
        # The C side reopened the path, so the offset of this descriptor still is 0 or
        # behind what was written here: read from the start by position.
        written = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return parse_jpeg(written)
