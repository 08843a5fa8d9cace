# SPDX-License-Identifier: Apache-2.0
"""YuNet (Wu et al., 2023, https://doi.org/10.1007/s11633-023-1423-y), weights from the user.

The file of OpenCV's model zoo since March 2023. Read off OpenCV's ``FaceDetectorYN``:
the score is the geometric mean of class and objectness; centre and landmarks count in
cells from the cell's corner, sizes are logarithms of cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veilset.detect.candidates import Candidates, Network, strongest
from veilset.detect.supplied import MAX_LOG_SIZE, Outputs, SuppliedNetwork, cells, rows
from veilset.networks.runtime import Preparation
from veilset.protocols import Detector, DetectorSettings

_STRIDES_PX = (8, 16, 32)
_CHANNELS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


class YuNetHeads:
    """Class, objectness, box and landmarks at strides 8, 16 and 32."""

    name = "yunet"
    preparation = Preparation(is_bgr=True)
    iou_threshold = 0.3
    expected = (
        "12 outputs (1, N, C): cls_S with C = 1, obj_S with 1, bbox_S with 4 and kps_S with 10, "
        "S being 8, 16 and 32"
    )

    def arrange(self, names: Sequence[str], outputs: Outputs, size_px: int) -> list[int] | None:
        """Find the outputs by their names."""
        order = []
        for head, channels in _CHANNELS.items():
            for stride in _STRIDES_PX:
                if f"{head}_{stride}" not in names:
                    return None
                place = list(names).index(f"{head}_{stride}")
                if outputs[place].shape != (1, (size_px // stride) ** 2, channels):
                    return None
                order.append(place)
        return order

    def decode(self, outputs: Outputs, size_hw: tuple[int, int], floor: float) -> Candidates:
        """Give the candidates of one picture; see ``Heads.decode``."""
        heads = [
            np.concatenate([rows(output) for output in outputs[at : at + 3]])
            for at in range(0, len(outputs), 3)
        ]
        sure, present = (np.clip(head[:, 0].astype(np.float64), 0.0, 1.0) for head in heads[:2])
        scores = np.sqrt(sure * present)
        picked = strongest(scores, floor)
        sizes = [len(rows(output)) for output in outputs[:3]]
        stride = np.repeat(np.array(_STRIDES_PX, np.float64), sizes)[picked, None]
        cell = np.concatenate([cells(size_hw, each, 1) for each in _STRIDES_PX])[picked]
        box, points = (head[picked].astype(np.float64) for head in heads[2:])
        centre = (cell + box[:, :2]) * stride
        half = np.exp(np.minimum(box[:, 2:], MAX_LOG_SIZE)) * stride / 2
        landmarks = (cell[:, None] + points.reshape(-1, 5, 2)) * stride[..., None]
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return Candidates(boxes, scores[picked], landmarks)


def load_network(settings: DetectorSettings) -> Network:
    """Load YuNet from the file that the settings name; raises as ``SuppliedNetwork``."""
    return SuppliedNetwork(YuNetHeads(), settings)


def make(settings: DetectorSettings) -> Detector:
    """Build the detector ``yunet``."""
    from veilset.detect.passes import MultiPass

    return MultiPass(load_network(settings), settings)
