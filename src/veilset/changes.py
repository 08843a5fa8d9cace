# SPDX-License-Identifier: Apache-2.0
"""By which values two records differ, and how that is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_N_TOLD: Final = 3


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


def telling_change(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[str, object, object] | None:
    """Give the change that tells people most: another method, before what comes with it.

    Returns:
        As ``changed_values`` yields it; None if nothing changed. Of a name the place is that of
        what has it.

    Example:
        >>> blur, veil = {"draws": 0, "name": "blur"}, {"draws": 1, "name": "veil"}
        >>> telling_change({"method": blur}, {"method": veil})
        ('method', 'blur', 'veil')
    """
    changed = list(changed_values(before, now))
    names = [
        (place.removesuffix(".name"), old, new)
        for place, old, new in changed
        if place.endswith(".name")
    ]
    return next(iter(names or changed), None)


def told(place: str, old: object, new: object) -> str:
    """Say what changed; of two lists, what was added and what is gone.

    Example:
        >>> told("cells", 6, 8), told("kinds", ["face", "plate"], ["face", "body"])
        ('cells changed from 6 to 8', "kinds changed: 'body' added; 'plate' gone")
    """
    if isinstance(old, list) and isinstance(new, list):
        lacking = [
            f"{_some(lines)} {verb}"
            for verb, lines in (
                ("added", [each for each in new if each not in old]),
                ("gone", [each for each in old if each not in new]),
            )
            if lines
        ]
        return f"{place} changed: {'; '.join(lacking) or 'the same in another order or number'}"
    return f"{place} changed from {old!r} to {new!r}"


def _some(values: Sequence[object]) -> str:
    more = f" and {len(values) - _N_TOLD:,} more" if len(values) > _N_TOLD else ""
    return ", ".join(map(repr, values[:_N_TOLD])) + more


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if isinstance(value, dict) and value:
        flat: dict[str, object] = {}
        for key, inner in value.items():
            flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
        return flat
    return {prefix: value}
