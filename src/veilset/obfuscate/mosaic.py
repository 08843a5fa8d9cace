# SPDX-License-Identifier: Apache-2.0
"""Square cells of one colour each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from veilset.obfuscate.grid import cell_edges, cell_means, check_cells
from veilset.obfuscate.mask import IntBox
from veilset.obfuscate.per_region import MAX_SURVIVAL, PerRegion, parameters_of
from veilset.protocols import MethodCard
from veilset.types import Image


@dataclass(frozen=True)
class Mosaic(PerRegion):
    """Paints each of ``cells`` x ``cells`` cells of a region in its mean colour.

    Attributes:
        cells: Cells along each side, 1 to 16; regions below ``4 * cells`` px get fewer.
        enlarge: Fraction of the region's sides added on every side.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    cells: int = 6
    enlarge: float = 0.2

    def __post_init__(self) -> None:
        check_cells("mosaic", self.cells)
        self.check_margins("mosaic")

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="mosaic",
            version=1,
            summary=f"Painted in {self.cells} x {self.cells} cells of one colour each.",
            parameters=parameters_of(self),
            reversible=False,
            weak="" if self.cells <= 8 else "More than 8 x 8 means may show who it is.",
            max_survival=MAX_SURVIVAL,
        )

    def render(self, image: Image, core: IntBox, window: IntBox) -> Image:
        """Paint the means of the core; the window is the core, as there is no feather."""
        x0, y0, x1, y1 = core
        means = cell_means(image[y0:y1, x0:x1], self.cells)
        tall = np.repeat(means, np.diff(cell_edges(y1 - y0, self.cells)), axis=0)
        return np.repeat(tall, np.diff(cell_edges(x1 - x0, self.cells)), axis=1)
