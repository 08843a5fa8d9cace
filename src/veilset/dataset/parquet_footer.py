# SPDX-License-Identifier: Apache-2.0
"""The footer of a Parquet file, checked before pyarrow is asked about the columns.

What pyarrow tells of a column is not guarded: where the footer contradicts itself, or a column is
encrypted, the question ends the whole process (seen with pyarrow 26.0.1). A damaged byte has to
end in a sentence.

The footer is a struct in Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md); the numbers of
its fields are those of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MAX_DEPTH = 16
_TYPES = (
    "BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY",
)  # fmt: skip
_N_CODECS = 8

# Of FileMetaData, RowGroup, ColumnChunk, ColumnMetaData and SizeStatistics.
_GROUPS, _ENCRYPTION = 4, 8
_COLUMNS = 1
_FILE, _FACTS, _CRYPTO, _CIPHERED = 1, 3, 8, 9
_TYPE, _CODEC, _SIZES = 1, 4, 16
_REPETITIONS, _DEFINITIONS = 2, 3


class _Compact:
    """Reads values of Thrift's compact protocol; IndexError or ValueError where there is none."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Give the fields of a struct by their numbers."""
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._integer()
            # The value of a truth in a struct is its type.
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            head = self._byte()
            n_values = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15, depth + 1) for _ in range(n_values)]
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError(f"type {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, n_bytes: int) -> bytes:
        start, self.at = self.at, self.at + n_bytes
        if self.at > len(self.data):
            raise IndexError("beyond the end")
        return self.data[start : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def check_footer(data: bytes, leaves: Sequence[Any]) -> bool:
    """Make sure that what a footer says of each column is possible.

    Args:
        data: The footer, without its length and what follows that.
        leaves: A ``pyarrow.parquet.ColumnSchema`` for each column.

    Returns:
        Whether columns are encrypted; then nothing else is sure.

    Raises:
        ValueError: If it is not possible.
    """
    footer = read_footer(data)
    try:
        if _is_encrypted(footer):
            return True
        _check_columns(footer, leaves)
    except (TypeError, AttributeError) as error:
        raise ValueError("a field of its footer is of another type") from error
    return False


def read_footer(data: bytes) -> dict[int, Any]:
    """Give the fields of a footer by their numbers.

    Args:
        data: The footer, without its length and what follows that.

    Raises:
        ValueError: If it is none.

    Example:
        >>> read_footer(bytes([0x15, 4, 0x18, 2, 104, 105, 0]))
        {1: 2, 2: b'hi'}
    """
    reader = _Compact(data)
    try:
        footer = reader.struct()
    except IndexError as error:
        raise ValueError("its footer is not whole") from error
    if reader.at != len(data):
        raise ValueError("its footer has another length than it says")
    return footer


def _is_encrypted(footer: Mapping[int, Any]) -> bool:
    return _ENCRYPTION in footer or any(
        _CRYPTO in column or _CIPHERED in column
        for group in footer.get(_GROUPS, ())
        for column in group.get(_COLUMNS, ())
    )


def _check_columns(footer: Mapping[int, Any], leaves: Sequence[Any]) -> None:
    for group in footer.get(_GROUPS, ()):
        columns = group.get(_COLUMNS, ())
        if len(columns) != len(leaves):
            raise ValueError("a row group has another number of columns than the schema")
        for column, leaf in zip(columns, leaves, strict=True):
            facts = column.get(_FACTS)
            if _FILE in column or not isinstance(facts, dict):
                raise ValueError("a column is not in the file")
            kind = facts.get(_TYPE, -1)
            if not 0 <= kind < len(_TYPES) or _TYPES[kind] != leaf.physical_type:
                raise ValueError("the type of a column is not that of the schema")
            if not 0 <= facts.get(_CODEC, -1) < _N_CODECS:
                raise ValueError("a column is compressed in an unknown way")
            sizes = facts.get(_SIZES, {})
            levels = (
                (sizes.get(_REPETITIONS), leaf.max_repetition_level),
                (sizes.get(_DEFINITIONS), leaf.max_definition_level),
            )
            if any(counts and len(counts) != level + 1 for counts, level in levels):
                raise ValueError("what is counted in a column does not fit the schema")
