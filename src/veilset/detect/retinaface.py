# SPDX-License-Identifier: Apache-2.0
"""RetinaFace (Deng et al., 2019, https://arxiv.org/abs/1905.00641), weights from the user.

The files exported from https://github.com/biubug6/Pytorch_Retinaface: two square priors in
each cell of three strides, boxes and landmarks coded against them with the variances 0.1
and 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilset.detect.candidates import Candidates, Network, strongest
from veilset.detect.supplied import MAX_LOG_SIZE, Outputs, SuppliedNetwork, cells, rows
from veilset.networks.runtime import Preparation
from veilset.protocols import Detector, DetectorSettings

_PRIOR_SIDES_PX = {8: (16, 32), 16: (64, 128), 32: (256, 512)}  # by stride
_PRIORS = 2
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2


class RetinaFaceHeads:
    """Boxes, scores of background and face, and landmarks for every prior."""

    name = "retinaface"
    preparation = Preparation(is_bgr=True, mean=(104.0, 117.0, 123.0))
    iou_threshold = 0.4
    expected = (
        "3 outputs for every prior (strides 8, 16 and 32, two priors in a cell): (1, N, 4) boxes, "
        "(1, N, 2) scores after softmax and (1, N, 10) landmarks"
    )

    def arrange(self, names: Sequence[str], outputs: Outputs, size_px: int) -> list[int] | None:
        """Tell the outputs apart by their shapes; exporters name and order them variously."""
        n_priors = sum(_PRIORS * (size_px // stride) ** 2 for stride in _PRIOR_SIDES_PX)
        shapes = [output.shape for output in outputs]
        wanted = [(1, n_priors, channels) for channels in (4, 2, 10)]
        if sorted(shapes) != sorted(wanted):
            return None
        order = [shapes.index(shape) for shape in wanted]
        # Files exported for training lack the softmax; their numbers are no scores.
        if not np.allclose(outputs[order[1]].sum(axis=-1), 1.0, atol=1e-2):
            return None
        return order

    def decode(self, outputs: Outputs, size_hw: tuple[int, int], floor: float) -> Candidates:
        """Give the candidates of one picture; see ``Heads.decode``."""
        box, score, points = (rows(output) for output in outputs)
        picked = strongest(score[:, 1], floor)
        centre, side = (values[picked] for values in _priors(size_hw))
        coded = box[picked].astype(np.float64)
        middle = centre + coded[:, :2] * _CENTRE_VARIANCE * side
        half = side * np.exp(np.minimum(coded[:, 2:] * _SIZE_VARIANCE, MAX_LOG_SIZE)) / 2
        moves = points[picked].astype(np.float64).reshape(-1, 5, 2) * _CENTRE_VARIANCE
        landmarks = centre[:, None] + moves * side[..., None]
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        return Candidates(boxes, score[picked, 1].astype(np.float64), landmarks)


def _priors(size_hw: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the centres ``(N, 2)`` and the sides ``(N, 1)`` of all priors in pixels."""
    centres, sides = [], []
    for stride, sides_px in _PRIOR_SIDES_PX.items():
        places = (cells(size_hw, stride, _PRIORS) + 0.5) * stride
        centres.append(places)
        sides.append(np.tile(np.array(sides_px, np.float64), len(places) // _PRIORS))
    return np.concatenate(centres), np.concatenate(sides)[:, None]


def load_network(settings: DetectorSettings) -> Network:
    """Load RetinaFace from the file that the settings name; raises as ``SuppliedNetwork``."""
    return SuppliedNetwork(RetinaFaceHeads(), settings)


def make(settings: DetectorSettings) -> Detector:
    """Build the detector ``retinaface``."""
    from veilset.detect.passes import MultiPass

    return MultiPass(load_network(settings), settings)
