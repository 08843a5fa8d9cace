# SPDX-License-Identifier: Apache-2.0
"""Networks whose weights the user supplies: one look, whatever the heads are.

What a kind of network adds is a ``Heads``: which outputs it gives and how they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from veilset.detect.candidates import Candidates, by_shape, pad, suppress
from veilset.errors import ConfigError
from veilset.networks.first_look import first_look
from veilset.networks.runtime import Preparation, open_session
from veilset.networks.weights import user_weights
from veilset.protocols import DetectorSettings
from veilset.types import Image

Outputs = Sequence[NDArray[np.float32]]

MAX_LOG_SIZE = 10.0
"""Largest logarithm of a size that is believed: noise must not overflow to infinity."""

# All three kinds bear multiples of 32. Kernels are compiled anew for every picture size, at
# the cost of one or two pictures, and twice the step meets half as many sizes.
_STRIDE_PX = 64


class Heads(Protocol):
    """How the outputs of a kind of network read."""

    name: str
    preparation: Preparation
    iou_threshold: float
    expected: str  # the outputs in words, for the message that refuses others

    def arrange(self, names: Sequence[str], outputs: Outputs, size_px: int) -> list[int] | None:
        """Give the places of the outputs in the order that ``decode`` wants.

        Args:
            names: Names of the outputs.
            outputs: What the network gave for a black square.
            size_px: Side of that square.

        Returns:
            Places in ``outputs``; None if they are not the heads of this kind.
        """

    def decode(self, outputs: Outputs, size_hw: tuple[int, int], floor: float) -> Candidates:
        """Give the candidates of one picture by falling score, doubles included.

        Args:
            outputs: The outputs in the order that ``arrange`` gave.
            size_hw: Height and width of the padded picture.
            floor: Lowest score that counts.
        """


class SuppliedNetwork:
    """A network from a file that the user named, looking once; a ``Network``.

    Args:
        heads: How its outputs read.
        settings: ``weights``, ``weights_licence``, ``device``, ``precision``, ``runtime`` and
            ``n_threads`` are used.

    Raises:
        ConfigError: If no file is named, it cannot be read, or it has other heads.
        MissingExtraError: If the runtime asked for is not installed.
    """

    def __init__(self, heads: Heads, settings: DetectorSettings) -> None:
        weights = user_weights(heads.name, settings)
        self.card = weights.card
        self.stride = _STRIDE_PX
        self.batch_size = 1
        self._heads = heads
        self._session = open_session(weights.data, heads.preparation, settings)
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {**self._session.settings, "network": heads.name, "padded_to": self.stride}
        )
        self._order = self._arranged()

    def look(self, images: Sequence[Image], *, floor: float) -> list[Candidates]:
        """Give every candidate of each image; see ``Network.look``."""
        found: dict[int, Candidates] = {}
        for size_hw, places in by_shape(images, self.stride).items():
            for place in places:
                with self._session.run(pad(images[place], self.stride)) as outputs:
                    ordered = [outputs[at] for at in self._order]
                    seen = self._heads.decode(ordered, size_hw, floor)
                found[place] = suppress(seen, self._heads.iou_threshold)
        return [found[place] for place in range(len(images))]

    def _arranged(self) -> list[int]:
        size_px = 2 * _STRIDE_PX
        outputs = first_look(self._session, size_px, origin=self.card.origin, kind=self._heads.name)
        order = self._heads.arrange(self._session.output_names, outputs, size_px)
        if order is None:
            found = ", ".join(
                f"{name} {output.shape}"
                for name, output in zip(self._session.output_names, outputs, strict=True)
            )
            raise ConfigError(
                f"The weight file {self.card.origin} is not a {self._heads.name}: for a picture "
                f"of {size_px} x {size_px} px it gives {found}. Expected {self._heads.expected}. "
                "Choose the detector that fits the file."
            )
        return order


def rows(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give an output as ``(N, C)``, with or without an axis for the one picture."""
    return output.reshape(-1, output.shape[-1])


def cells(size_hw: tuple[int, int], stride: int, per_cell: int) -> NDArray[np.float64]:
    """Give column and row of each place of a grid, ``(N, 2)``, row by row.

    Args:
        size_hw: Height and width of the picture, multiples of ``stride``.
        stride: Side of a cell in pixels.
        per_cell: How often each cell is listed, once for each of its anchors.

    Example:
        >>> cells((8, 16), stride=8, per_cell=2).tolist()
        [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    n_rows, n_columns = size_hw[0] // stride, size_hw[1] // stride
    at_row, at_column = np.divmod(np.arange(n_rows * n_columns), n_columns)
    places = np.stack([at_column, at_row], axis=1).astype(np.float64)
    return np.repeat(places, per_cell, axis=0)
