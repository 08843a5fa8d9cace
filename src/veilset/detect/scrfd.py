# SPDX-License-Identifier: Apache-2.0
"""SCRFD (Guo et al., 2021, https://arxiv.org/abs/2105.04714), weights from the user.

Three strides, two anchors in each cell. A box is four distances from the cell's corner, in
cells. Read off https://github.com/deepinsight/insightface (``detection/scrfd``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veilset.detect.candidates import Candidates, Network, strongest
from veilset.detect.supplied import Outputs, SuppliedNetwork, cells, rows
from veilset.networks.runtime import Preparation
from veilset.protocols import Detector, DetectorSettings

_STRIDES_PX = (8, 16, 32)
_ANCHORS = 2


class ScrfdHeads:
    """Score, box and, in some files, landmarks at strides 8, 16 and 32."""

    name = "scrfd"
    preparation = Preparation(mean=(127.5, 127.5, 127.5), scale=128.0)
    iou_threshold = 0.4
    expected = (
        "6 or 9 outputs: at each of the strides 8, 16 and 32, with two anchors in a cell, "
        "(N, 1) scores, (N, 4) distances and perhaps (N, 10) landmarks"
    )

    def arrange(self, names: Sequence[str], outputs: Outputs, size_px: int) -> list[int] | None:
        """Tell the outputs apart by their shapes; exporters name and order them variously."""
        shapes = [rows(output).shape if output.ndim else (0, 0) for output in outputs]
        if len(outputs) not in (6, 9) or len(set(shapes)) != len(shapes):
            return None
        heads = (1, 4, 10)[: len(outputs) // 3]
        wanted = [
            (_ANCHORS * (size_px // stride) ** 2, channels)
            for channels in heads
            for stride in _STRIDES_PX
        ]
        return [shapes.index(shape) for shape in wanted] if set(wanted) == set(shapes) else None

    def decode(self, outputs: Outputs, size_hw: tuple[int, int], floor: float) -> Candidates:
        """Give the candidates of one picture; see ``Heads.decode``."""
        scores = np.concatenate([rows(output)[:, 0] for output in outputs[:3]])
        picked = strongest(scores, floor)
        corners = np.concatenate([cells(size_hw, each, _ANCHORS) * each for each in _STRIDES_PX])
        sizes = [len(output) for output in map(rows, outputs[:3])]
        stride = np.repeat(np.array(_STRIDES_PX, np.float64), sizes)[picked, None]
        corner = corners[picked]

        def values(start: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
            joined = np.concatenate([rows(output) for output in outputs[start : start + 3]])
            return joined[picked].astype(np.float64) * stride

        distances = values(3)
        # A box turned inside out would break every later step; noise gives such distances.
        low = corner - distances[:, :2]
        boxes = np.concatenate([low, np.maximum(corner + distances[:, 2:], low)], axis=1)
        points = np.zeros((len(picked), 0, 2))
        if len(outputs) == 9:
            points = corner[:, None] + values(6).reshape(-1, 5, 2)
        return Candidates(boxes, scores[picked].astype(np.float64), points)


def load_network(settings: DetectorSettings) -> Network:
    """Load SCRFD from the file that the settings name; raises as ``SuppliedNetwork``."""
    return SuppliedNetwork(ScrfdHeads(), settings)


def make(settings: DetectorSettings) -> Detector:
    """Build the detector ``scrfd``."""
    from veilset.detect.passes import MultiPass

    return MultiPass(load_network(settings), settings)
