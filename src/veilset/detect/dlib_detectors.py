# SPDX-License-Identifier: Apache-2.0
"""The two face detectors of dlib (http://dlib.net): ``dlib-hog`` and ``dlib-mmod``.

HOG slides linear classifiers over histograms of gradients and comes inside dlib; MMOD
(King 2015, https://arxiv.org/abs/1502.00046) is a small network whose weights come inside
the package ``face_recognition_models``, which is never imported. Both are of another kind
than the networks that search photographs first, so they miss other faces.

Both see faces from about 80 px up in the picture that they are given, so a photograph is
enlarged first. They compute in float32 whatever ``precision`` and ``runtime`` say, since
dlib has one way to run them; ``settings`` says so. ``device`` cuda is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from pathlib import Path
from queue import Empty, LifoQueue
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from veilset.boxes import clip
from veilset.errors import ConfigError
from veilset.networks.import_dlib import import_dlib
from veilset.networks.weights import Weights, packaged_weights, user_weights
from veilset.protocols import DEVICES, EFFORTS, PRECISIONS, Detector, DetectorSettings
from veilset.types import BoxXyxy, Image, ModelCard, Region

HOG_CARD = ModelCard(
    name="dlib-hog",
    origin="Davis King, compiled into dlib (frontal_face_detector)",
    licence="BSL-1.0",
    commercial_ok=True,
    note=(
        "No weight file: the classifiers are part of the library. Trained on Labeled Faces in "
        "the Wild, says its source (dlib/image_processing/frontal_face_detector.h)."
    ),
)

MMOD_CARD = ModelCard(
    name="dlib-mmod",
    origin=(
        "davisking/dlib-models, as packaged in face_recognition_models 0.3.0 "
        "(models/mmod_human_face_detector.dat)"
    ),
    licence="CC0-1.0",
    commercial_ok=True,
    sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    note=(
        "Released into the public domain, says the author's README. Trained on photographs of "
        "ImageNet, AFLW, Pascal VOC, VGG, WIDER and FaceScrub; what their terms mean for weights "
        "is not settled."
    ),
)

THRESHOLD = 0.35
"""Lowest score that counts unless the settings say otherwise."""

# The filters of the network do not fit into less.
_MMOD_LEAST_SIDE_PX = 64

Look = Callable[[Image, float], list[tuple[BoxXyxy, float]]]
"""Searches one picture: boxes in its pixels with their margins, from the given margin up."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between the two, measured where it is a number (``docs/detection.md``).

    Attributes:
        name: Name of the detector.
        factors: How many times each photograph is enlarged, by effort.
        max_pixels: Pixels of the enlarged picture at most; a larger photograph is enlarged
            less, or shrunk. It bounds memory and time: faces that are smaller than 80 px in
            that picture are not seen.
        least_margin: Smaller margins are never asked for: nothing is known of them.
        midpoint: Margin that has the score 0.5.
        slope: How fast the score grows with the margin.
        shifts: By how much of its width and height each side of a box is moved: x0, y0, x1,
            y1. dlib draws boxes from the brows to the chin, people mark whole faces.
    """

    name: str
    factors: Mapping[str, float]
    max_pixels: int
    least_margin: float
    midpoint: float
    slope: float
    shifts: tuple[float, float, float, float]

    def score(self, margin: float) -> float:
        """Give the score of a margin, by the logistic curve, in [0, 1]."""
        return 1 / (1 + exp(-self.slope * (margin - self.midpoint)))

    def margin(self, score: float) -> float:
        """Give the margin that has a score; not less than ``least_margin``."""
        if score <= self.score(self.least_margin):
            return self.least_margin
        if score >= 1:
            return inf
        # A hair less, so that rounding loses none: the scores are compared again anyway.
        return self.midpoint + log(score / (1 - score)) / self.slope - 1e-9

    def work_size(self, size_wh: tuple[int, int], effort: str) -> tuple[int, int]:
        """Give width and height of the picture that is searched for a photograph's.

        Example:
            >>> HOG.work_size((500, 375), "balanced")
            (1000, 750)
            >>> HOG.work_size((8000, 4000), "balanced")
            (5656, 2828)
        """
        width, height = size_wh
        factor = min(self.factors[effort], sqrt(self.max_pixels / (width * height)))
        return max(1, int(width * factor)), max(1, int(height * factor))


HOG = Kind(
    name="dlib-hog",
    factors=MappingProxyType({"fast": 1.0, "balanced": 2.0, "thorough": 3.0}),
    max_pixels=16_000_000,
    least_margin=-0.5,
    # Surer than the curve that fits what was measured (midpoint -0.1, slope 7): verification
    # refuses a release from a score of 0.6, here a margin of 0.2, on. In 570 photographs 2 of
    # the 284 boxes beyond that were wrong, and 14 of the 51 between there and 0.35.
    midpoint=0.1,
    slope=4.0,
    shifts=(0.0, -0.15, 0.0, 0.03),
)
"""HOG: 16 megapixels take 125 MB besides the picture."""

MMOD = Kind(
    name="dlib-mmod",
    factors=MappingProxyType({"fast": 1.0, "balanced": 2.0, "thorough": 2.0}),
    max_pixels=1_000_000,
    least_margin=0.0,  # dlib offers no lower one
    # A convention, NOT fitted: too few boxes were wrong. 0 is where the training puts the
    # border, 1 what it asks of a face; the score 0.7 is a margin of 0.42.
    midpoint=0.0,
    slope=2.0,
    shifts=(0.0, -0.1, 0.0, 0.12),
)
"""MMOD: one megapixel takes 950 MB."""


class DlibDetector:
    """A detector of dlib; a ``Detector``.

    dlib's detectors keep the picture they work on, so each thread takes one of its own.

    Args:
        kind: Which one.
        card: Its card.
        new_look: Makes one.
        settings: ``effort``, ``threshold`` are used; the others are checked.
        facts: What else decides the result.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    batch_size = 1

    def __init__(
        self,
        kind: Kind,
        card: ModelCard,
        new_look: Callable[[], Look],
        settings: DetectorSettings,
        facts: Mapping[str, str | int | float | bool],
    ) -> None:
        _check(kind.name, settings)
        self.card = card
        self._kind = kind
        self._effort = settings.effort
        self._threshold = THRESHOLD if settings.threshold is None else settings.threshold
        self._new_look = new_look
        self._idle: LifoQueue[Look] = LifoQueue()
        # Whatever is wrong with the library or the file has to show now, not in each image.
        self._idle.put(new_look())
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                "runtime": "dlib",
                "precision": "f32",
                **facts,
                "detector": kind.name,
                "threshold": self._threshold,
                "enlarged": kind.factors[settings.effort],
                "max_work_pixels": kind.max_pixels,
                "score_midpoint": kind.midpoint,
                "score_slope": kind.slope,
            }
        )

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        """Find the faces of each image; see ``Detector.detect``."""
        return [self._search(image) for image in images]

    def _search(self, image: Image) -> tuple[Region, ...]:
        height, width = image.shape[:2]
        wide, tall = self._kind.work_size((width, height), self._effort)
        picture = _resized(image, (wide, tall))
        with self._look() as look:
            found = look(picture, self._kind.margin(self._threshold))
        if not found:
            return ()
        boxes = np.array([box for box, _ in found], dtype=np.float64)
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        to_image = np.array([width / wide, height / tall] * 2)
        boxes = clip((boxes + sides * self._kind.shifts) * to_image, size_wh=(width, height))
        scores = [self._kind.score(margin) for _, margin in found]
        regions = [
            Region((x0, y0, x1, y1), score=score)
            for (x0, y0, x1, y1), score in zip(boxes.tolist(), scores, strict=True)
            if score >= self._threshold and x0 < x1 and y0 < y1
        ]
        return tuple(sorted(regions, key=lambda region: (-(region.score or 0), region.box_xyxy)))

    @contextmanager
    def _look(self) -> Iterator[Look]:
        """Lend a look that no other thread uses; there come to be as many as threads."""
        try:
            look = self._idle.get_nowait()
        except Empty:
            look = self._new_look()
        try:
            yield look
        finally:
            self._idle.put(look)


def _check(name: str, settings: DetectorSettings) -> None:
    for field, value, known in (
        ("effort", settings.effort, EFFORTS),
        ("precision", settings.precision, PRECISIONS),
        ("device", settings.device, DEVICES),
    ):
        if value not in known:
            raise ConfigError(f"--{field} is {value!r}. Give one of: {', '.join(known)}.")
    if settings.device == "cuda":
        raise ConfigError(f"The detector {name!r} works on the CPU only. Leave out --device cuda.")
    if settings.threshold is not None and not 0 <= settings.threshold <= 1:
        raise ConfigError(f"--threshold is {settings.threshold}. Give a number from 0 to 1.")


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    """Give the image at another size, contiguous: dlib reads nothing else rightly."""
    if size_wh == image.shape[1::-1]:
        return np.ascontiguousarray(image)
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize(size_wh, PillowImage.Resampling.BILINEAR))


def make_hog(settings: DetectorSettings) -> Detector:
    """Build the detector ``dlib-hog``.

    Raises:
        ConfigError: If a setting cannot be used.
        MissingExtraError: If dlib is not installed.
    """
    _check("dlib-hog", settings)
    if settings.weights:
        raise ConfigError("The detector 'dlib-hog' takes no weight file. Leave out --weights.")
    dlib = import_dlib("The detector 'dlib-hog'", "dlib")

    def new_look() -> Look:
        detector = dlib.get_frontal_face_detector()

        def look(picture: Image, margin: float) -> list[tuple[BoxXyxy, float]]:
            boxes, margins, _ = detector.run(picture, 0, margin)
            return [(_half_open(box), each) for box, each in zip(boxes, margins, strict=True)]

        return look

    facts = {"runtime_version": str(dlib.__version__), "device": "cpu"}
    return DlibDetector(HOG, HOG_CARD, new_look, settings, facts)


def make_mmod(settings: DetectorSettings) -> Detector:
    """Build the detector ``dlib-mmod``, from the package or from the file that is named.

    Raises:
        ConfigError: If a setting cannot be used, the file is no face detector of dlib, or
            nobody asked for this one: it works for seconds on each photograph.
        MissingExtraError: If dlib or the package with the weights is not installed.
        PluginError: If the package brings other weights.
    """
    _check("dlib-mmod", settings)
    if not settings.is_asked_for:
        raise ConfigError(
            "The detector 'dlib-mmod' takes seconds for each photograph, so it is used only "
            "where it is named. Name it with --second dlib-mmod."
        )
    weights = _mmod_weights(settings)
    dlib = import_dlib("The detector 'dlib-mmod'", "dlib")

    def new_look() -> Look:
        network = _load_mmod(dlib, weights)

        def look(picture: Image, margin: float) -> list[tuple[BoxXyxy, float]]:
            # The network fails where its filters do not fit into the picture.
            found = network(_at_least(picture, _MMOD_LEAST_SIDE_PX), 0)
            seen = [(_half_open(each.rect), float(each.confidence)) for each in found]
            return [(box, each) for box, each in seen if each >= margin]

        return look

    # A dlib that was built for CUDA uses it, and offers no way to keep it from doing so.
    device = "cuda" if dlib.DLIB_USE_CUDA else "cpu"
    facts = {"runtime_version": str(dlib.__version__), "device": device}
    return DlibDetector(MMOD, weights.card, new_look, settings, facts)


def _mmod_weights(settings: DetectorSettings) -> Weights:
    if not settings.weights:
        path = "face_recognition_models/models/mmod_human_face_detector.dat"
        return packaged_weights("face_recognition_models", path, MMOD_CARD)
    named = user_weights("dlib-mmod", settings)
    card = MMOD_CARD if named.card.sha256 == MMOD_CARD.sha256 else named.card
    return Weights(named.data, card)


def _load_mmod(dlib: ModuleType, weights: Weights) -> Callable[[Image, int], Sequence[Any]]:
    """Load the network from the very bytes that were digested; dlib wants a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mmod.dat")
        file.write_bytes(weights.data)
        try:
            network: Callable[[Image, int], Sequence[Any]] = dlib.cnn_face_detection_model_v1(
                str(file)
            )
        except RuntimeError as error:
            raise ConfigError(
                f"dlib cannot use the weight file {weights.card.origin}. Give the file "
                "mmod_human_face_detector.dat, or one of the same network."
            ) from error
    return network


def _at_least(picture: Image, side_px: int) -> Image:
    """Pad a picture right and bottom with black until no side is shorter."""
    missing = [max(0, side_px - side) for side in picture.shape[:2]]
    return np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0))) if any(missing) else picture


def _half_open(box: Any) -> BoxXyxy:
    """Give a rectangle of dlib, whose last column and row belong to it, as half-open."""
    return box.left(), box.top(), box.right() + 1, box.bottom() + 1
