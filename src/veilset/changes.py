# SPDX-License-Identifier: Apache-2.0
"""By which values two records differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def changed_values(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Give the values by which two JSON objects differ, sorted by their place.

    Yields:
        Place (keys joined by dots), the value before and the value now; ``"not set"`` for none.

    Example:
        >>> list(changed_values({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}))
        [('a.c', 2, 'not set')]
    """
    old, new = _flat(before), _flat(now)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, old.get(key, "not set"), new.get(key, "not set")


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if isinstance(value, dict) and value:
        flat: dict[str, object] = {}
        for key, inner in value.items():
            flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
        return flat
    return {prefix: value}
