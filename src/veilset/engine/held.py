# SPDX-License-Identifier: Apache-2.0
"""A batch of images in groups of which memory holds one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

HELD_PIXELS = 1 << 26
"""Decoded pixels of one batch after which it is worked on, and they are let go of: a batch of
64 photographs is one group, 64 scans of 100 megapixels are 64."""


def held(
    items: Iterable[Item], n_pixels: Callable[[Item], int], *, most: int = HELD_PIXELS
) -> Iterator[list[Item]]:
    """Go through items in groups that are full when they have so many pixels.

    Args:
        items: Taken as the groups are.
        n_pixels: Gives the decoded pixels that an item holds.
        most: Pixels that fill a group; a group has at least one item.

    Example:
        >>> list(held([3, 3, 3, 9, 1], lambda each: each, most=6))
        [[3, 3], [3, 9], [1]]
    """
    group: list[Item] = []
    n_held = 0
    for item in items:
        group.append(item)
        n_held += n_pixels(item)
        if n_held >= most:
            yield group
            group, n_held = [], 0
    if group:
        yield group
