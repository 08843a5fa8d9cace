# SPDX-License-Identifier: Apache-2.0
"""Which bits of a JPEG's coefficients its scans have brought: each of them once.

A decoder that draws only the finished picture overwrites what an earlier scan brought; a
browser shows it meanwhile. A second first pass could thus show another picture than the
one that was searched. From ITU-T T.81, annex G.1.1.1 (the rules to which jpegtran holds
scan scripts, too).
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_SCANS = 100
"""As many as jpegtran and cjpeg write. Each scan is a pass over the whole picture."""


class ScanProgress:
    """Follows (component, coefficient, bit) from scan to scan.

    Attributes:
        n_scans: Scans noted so far.
    """

    def __init__(self, *, is_progressive: bool) -> None:
        self.n_scans = 0
        self._is_progressive = is_progressive
        self._lowest: dict[tuple[int, int], int] = {}

    def note(self, components: Iterable[int], band: tuple[int, int], bits: tuple[int, int]) -> str:
        """Note the next scan.

        Args:
            components: Indices or identifiers of its components.
            band: First and last coefficient, in zigzag order; of progressive files only.
            bits: Successive approximation, high and low; of progressive files only.

        Returns:
            What is wrong with it, to follow "The JPEG"; "" if nothing is.

        Example:
            >>> scans = ScanProgress(is_progressive=True)
            >>> scans.note([1], (0, 0), (0, 1)), scans.note([1], (0, 0), (1, 0))
            ('', '')
            >>> scans.note([1], (0, 0), (0, 0))
            'scans a coefficient twice'
        """
        self.n_scans += 1
        if self.n_scans > MAX_SCANS:
            return f"has more than {MAX_SCANS} scans"
        if not self._is_progressive:
            band, bits = (0, 0), (0, 0)
        high, low = bits
        for component in components:
            if band[0] and (component, 0) not in self._lowest:
                return "scans details before the component's mean values"
            for coefficient in range(band[0], band[1] + 1):
                reached = self._lowest.get((component, coefficient))
                if high == 0 and reached is not None:
                    return "scans a coefficient twice"
                if high and (reached != high or low != high - 1):
                    return "refines a coefficient by other than its next bit"
                self._lowest[component, coefficient] = low
        return ""
