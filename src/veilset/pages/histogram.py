# SPDX-License-Identifier: Apache-2.0
"""Histograms that accumulate: their size does not depend on how much they have seen."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

# Half octaves: fine enough to see a hump, coarse enough that a bin is never noise alone.
FACE_SIZE_EDGES_PX = tuple(2.0 ** (i / 2) for i in range(27))
SCORE_EDGES = tuple(i / 20 for i in range(21))
REGIONS_EDGES = (0, 1, 2, 3, 4, 5, 10, 20, 50, 100)


@dataclass(slots=True)
class Histogram:
    """Counts of values in bins; bin ``i`` is ``[edges[i], edges[i + 1])``.

    Attributes:
        edges: Rising edges of the bins. The last bin also takes whatever lies above it,
            the first whatever lies below: no value is lost.
        open_ended: True if the last edge begins a bin of its own that has no end.
        counts: How many values fell into each bin.

    Example:
        >>> sizes = Histogram((1, 2, 4))
        >>> for size in (0.5, 1.0, 2.0, 3.9, 70.0):
        ...     sizes.add(size)
        >>> sizes.counts, sizes.n
        ([2, 3], 5)
    """

    edges: tuple[float, ...]
    open_ended: bool = False
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        n_bins = len(self.edges) if self.open_ended else len(self.edges) - 1
        self.counts = self.counts or [0] * n_bins

    @property
    def n(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def add(self, value: float) -> None:
        """Count one value."""
        at = bisect_right(self.edges, value) - 1
        self.counts[min(max(at, 0), len(self.counts) - 1)] += 1

    def to_json(self, unit: str) -> dict[str, object]:
        """Give the edges, the counts and their sum."""
        return {
            "unit": unit,
            "edges": [round(edge, 4) for edge in self.edges],
            "open_ended": self.open_ended,
            "counts": list(self.counts),
            "n": self.n,
        }
