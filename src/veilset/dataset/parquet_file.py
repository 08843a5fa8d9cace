# SPDX-License-Identifier: Apache-2.0
"""Parquet files opened to be read in pieces, refused with a sentence where they are damaged."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.dataset.parquet_footer import check_footer
from veilset.errors import DatasetError
from veilset.faults import stop_at_fault

ARROW_KEY = b"ARROW:schema"
"""Key of the metadata under which pyarrow stores types that Parquet itself does not have."""

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_TAIL = 8
_BATCH_BYTES, _BATCH_ROWS = 32 << 20, 4096


class _Positioned(io.RawIOBase):
    """A file of its own position on a descriptor that others read too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        n_bytes = os.fstat(self._descriptor).st_size
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: n_bytes}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        n_read = os.preadv(self._descriptor, [buffer], self._at)
        self._at += n_read
        return n_read


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Turn what pyarrow raises at a damaged file into a sentence.

    Raises:
        DatasetError: For any of it.
        RunError: If not the file is at fault, but the machine.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        stop_at_fault(error, place)
        if isinstance(error, OSError) and error.errno:
            why = error.strerror or type(error).__name__
            raise DatasetError(f"{place} cannot be read ({why}). Check the disk.") from error
        why = str(error).partition("\n")[0].rstrip(".")[:120] or type(error).__name__
        raise damaged(place, why) from error


def open_parquet(stream: BinaryIO, place: str) -> Any:
    """Open a Parquet file to read it page by page; gives a ``pyarrow.parquet.ParquetFile``.

    Args:
        stream: The file, open for reading, with a descriptor; its position is left alone.
        place: Where it lies, for messages.

    Raises:
        DatasetError: If it is no Parquet file, cut short, damaged or encrypted.
    """
    descriptor = stream.fileno()
    n_bytes = os.fstat(descriptor).st_size
    ends = os.pread(descriptor, 4, 0), os.pread(descriptor, _TAIL, max(0, n_bytes - _TAIL))
    if _ENCRYPTED in (ends[0], ends[1][-4:]):
        raise _encrypted(place)
    if n_bytes < 12 or ends[0] != _MAGIC or ends[1][-4:] != _MAGIC:
        raise damaged(place, "it does not begin and end as one")
    with reading(place):
        file = pq.ParquetFile(
            pa.PythonFile(_Positioned(descriptor), mode="r"),
            pre_buffer=False,
            buffer_size=1 << 20,
            page_checksum_verification=True,
        )
    n_footer, n_used = int.from_bytes(ends[1][:4], "little"), file.metadata.serialized_size
    with reading(place):
        data = os.pread(descriptor, n_used, n_bytes - _TAIL - n_footer)
        is_secret = check_footer(data, [file.schema.column(at) for at in range(len(file.schema))])
        names_in = (leaves(file), file.schema_arrow.names)
    # A signature behind the footer belongs to a file with encrypted columns.
    if is_secret or n_footer != n_used:
        raise _encrypted(place)
    for names in names_in:
        if len(set(names)) < len(names):
            raise DatasetError(
                f"{place} has two columns of one name. Write it anew, with every name once."
            )
    return file


def batches(file: Any, group: int, columns: Sequence[str]) -> Iterator[Any]:
    """Go through a row group, some rows at a time; memory holds few megabytes besides a page.

    Args:
        file: A ``pyarrow.parquet.ParquetFile``.
        group: The row group.
        columns: Columns, or paths in the Parquet schema; at least one.
    """
    facts = file.metadata.row_group(group)
    per_row = max(1, facts.total_byte_size // max(1, facts.num_rows))
    n_rows = min(max(_BATCH_BYTES // per_row, 1), _BATCH_ROWS)
    yield from file.iter_batches(n_rows, row_groups=[group], columns=list(columns))


def leaves(file: Any) -> list[str]:
    """Give the paths of all columns of the Parquet schema."""
    return [file.schema.column(at).path for at in range(len(file.schema))]


def key_values(file: Any) -> dict[bytes, bytes]:
    """Give the metadata of a file, without what pyarrow keeps there for itself."""
    return {k: each for k, each in (file.metadata.metadata or {}).items() if k != ARROW_KEY}


def damaged(place: str, why: str) -> DatasetError:
    """Give the sentence about a file that is not whole."""
    return DatasetError(
        f"{place} is no whole Parquet file ({why}). Restore it, then run the same command again."
    )


def _encrypted(place: str) -> DatasetError:
    return DatasetError(
        f"{place} is encrypted, all of it or some columns. Write it anew without encryption."
    )
