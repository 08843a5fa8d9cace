# SPDX-License-Identifier: Apache-2.0
"""NudeNet 3.4 (https://github.com/notAI-tech/NudeNet), a YOLOv8 network: faces, and nudity.

The weights come inside the package ``nudenet``; the package itself is never imported. Its
own code hands the network blue first, where the faces are found better red first. The
network gives one output, ``(N, 22, A)``: centre, width and height in pixels of the picture
it was given, then how sure it is of each of 18 classes. Two detectors look for some of them:
``nudenet`` for faces, ``nudenet-nsfw`` for uncovered parts of the body.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from veilset.boxes import clip
from veilset.detect.candidates import Candidates, by_shape, pad, strongest, survivors
from veilset.errors import ConfigError, MissingExtraError
from veilset.networks.first_look import first_look
from veilset.networks.runtime import Preparation, Session, open_session
from veilset.networks.weights import Weights, packaged_weights, user_weights
from veilset.protocols import EFFORTS, Detector, DetectorSettings
from veilset.types import Image, ModelCard, Region

CARD = ModelCard(
    name="nudenet",
    origin="notAI-tech/NudeNet, as packaged in nudenet 3.4.2 (nudenet/320n.onnx)",
    licence="AGPL-3.0",
    commercial_ok=True,
    sha256="c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
    note=(
        "The package says MIT, the metadata inside the weight file say AGPL-3.0 (made with "
        "Ultralytics YOLOv8 8.2.46): the stricter one is taken. It allows commercial use under "
        "its duties. Where the training photographs come from is not stated."
    ),
)

LONG_SIDES_PX: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"fast": (320,), "balanced": (320, 640), "thorough": (320, 640, 960)}
)
"""Each picture is brought to these longer sides, up or down, and searched at each: the
network loses faces that fill a large picture as well as those that are small in a little
one."""

FOREHEAD = 0.18
"""Share of its height by which the box of a face is raised: NudeNet's begin at the brows, the
boxes that people mark begin at the hair (median over 340 faces)."""

IOU_THRESHOLD = 0.45
"""Overlap above which a weaker candidate is a double: the value of the package's code."""

CLASSES = tuple(
    """
    FEMALE_GENITALIA_COVERED FACE_FEMALE BUTTOCKS_EXPOSED FEMALE_BREAST_EXPOSED
    FEMALE_GENITALIA_EXPOSED MALE_BREAST_EXPOSED ANUS_EXPOSED FEET_EXPOSED BELLY_COVERED
    FEET_COVERED ARMPITS_COVERED ARMPITS_EXPOSED FACE_MALE BELLY_EXPOSED
    MALE_GENITALIA_EXPOSED ANUS_COVERED FEMALE_BREAST_COVERED BUTTOCKS_COVERED
    """.split()
)
"""The network's classes, in its order."""

_STRIDE_PX = 32
_N_PLACE = 4  # rows of the output before those of the classes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a detector looks for with the network.

    Attributes:
        name: Name of the detector.
        kind: Kind of its regions.
        classes: Those of ``CLASSES`` that count; where several fire, the surest one.
        thresholds: Lowest score that counts at each effort, unless the settings say otherwise.
        raised: Share of its height by which the upper edge of a box is raised.
        is_labelled: Whether regions have an attribute ``label``, the class.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    thresholds: Mapping[str, float]
    raised: float = 0.0
    is_labelled: bool = False


FACES = Aim(
    "nudenet",
    "face",
    ("FACE_FEMALE", "FACE_MALE"),
    MappingProxyType(dict.fromkeys(EFFORTS, 0.35)),
    raised=FOREHEAD,
)

NSFW = Aim(
    "nudenet-nsfw",
    "nsfw",
    (
        "BUTTOCKS_EXPOSED",
        "FEMALE_BREAST_EXPOSED",
        "FEMALE_GENITALIA_EXPOSED",
        "MALE_GENITALIA_EXPOSED",
        "ANUS_EXPOSED",
    ),
    # With each further size more is seen that is not there: these give about as many false
    # candidates at each effort, in one of 50 to 75 photographs of ImageNet.
    MappingProxyType({"fast": 0.35, "balanced": 0.5, "thorough": 0.6}),
    is_labelled=True,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Candidates, and the place of each one's class among those of the aim, ``(N,)``."""

    candidates: Candidates
    classes: NDArray[np.int64]

    def without_doubles(self) -> Seen:
        """Keep the strongest of those that lie on one another, whatever their class."""
        rows = survivors(self.candidates, IOU_THRESHOLD)
        return Seen(self.candidates.pick(rows), self.classes[rows])


class NudeNet:
    """NudeNet with an aim; a ``Detector``.

    The score is the network's own, that of the surest class of the aim, in [0, 1];
    ``docs/detection.md`` says how often it is right.

    Args:
        weights: The weight file and its card.
        settings: ``effort``, ``threshold``, ``device``, ``precision``, ``runtime`` and
            ``n_threads`` are used.
        aim: What to look for.

    Raises:
        ConfigError: If a setting cannot be used, or the weights are of another network.
        MissingExtraError: If the runtime asked for is not installed.
    """

    def __init__(self, weights: Weights, settings: DetectorSettings, aim: Aim = FACES) -> None:
        if settings.effort not in EFFORTS:
            raise ConfigError(f"effort is {settings.effort!r}. Choose: {', '.join(EFFORTS)}.")
        own = aim.thresholds[settings.effort]
        threshold = own if settings.threshold is None else settings.threshold
        if not 0 <= threshold <= 1:
            raise ConfigError(f"--threshold is {threshold}. Give a number from 0 to 1.")
        self.card = weights.card
        self._aim = aim
        self._long_sides_px = LONG_SIDES_PX[settings.effort]
        self._threshold = threshold
        preparation = Preparation(scale=255.0)
        self._session = open_session(weights.data, preparation, settings, bears_batches=True)
        self.batch_size = self._session.batch_size
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                **self._session.settings,
                "network": "nudenet",
                "classes": " ".join(aim.classes),
                "long_sides_px": " ".join(map(str, self._long_sides_px)),
                "padded_to": _STRIDE_PX,
                "threshold": threshold,
                "iou_threshold": IOU_THRESHOLD,
            }
        )
        if self.card.sha256 != CARD.sha256:
            _check_head(self._session, self.card.origin)

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        """Find what the aim names in each image; see ``Detector.detect``."""
        looks = [self._look(images, side) for side in self._long_sides_px]
        return [
            _regions(_strongest_of(each), (image.shape[1], image.shape[0]), self._aim)
            for image, *each in zip(images, *looks, strict=True)
        ]

    def _look(self, images: Sequence[Image], long_side_px: int) -> list[Seen]:
        """Search every image at one size; candidates in pixels of the image, not cut to it."""
        pictures = [resized(image, long_side_px) for image in images]
        found: dict[int, Seen] = {}
        for places in by_shape(pictures, _STRIDE_PX).values():
            for start in range(0, len(places), self.batch_size):
                batch = places[start : start + self.batch_size]
                padded = np.concatenate([pad(pictures[place], _STRIDE_PX) for place in batch])
                with self._session.run(padded) as (output,):
                    seen = [
                        decode(output[row], self._aim.classes, floor=self._threshold)
                        for row in range(len(batch))
                    ]
                for place, each in zip(batch, seen, strict=True):
                    found[place] = _scaled(each, pictures[place], images[place])
        return [found[place] for place in range(len(images))]


def resized(image: Image, long_side_px: int) -> Image:
    """Bring an image to a longer side, keeping its shape; at least a pixel stays of the shorter.

    Example:
        >>> resized(np.zeros((30, 60, 3), np.uint8), 320).shape
        (160, 320, 3)
    """
    height, width = image.shape[:2]
    factor = long_side_px / max(height, width)
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size_wh == (width, height):
        return image
    # Pillow averages over all pixels when it makes a picture smaller, OpenCV skips some.
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize(size_wh, PillowImage.Resampling.BILINEAR))


def decode(output: NDArray[np.float32], classes: Sequence[str], *, floor: float) -> Seen:
    """Turn the output for one picture into candidates, without doubles.

    Args:
        output: ``(22, A)``: centre x and y, width, height, then the 18 classes.
        classes: Those that count.
        floor: Lowest score that counts.

    Returns:
        Candidates by falling score, in pixels of the picture, without landmarks.

    Raises:
        PluginError: If a score is NaN.
    """
    rows = [_N_PLACE + CLASSES.index(name) for name in classes]
    scores = output[rows].max(axis=0)
    picked = strongest(scores, floor)
    centre, sides = np.split(output[:_N_PLACE, picked].T.astype(np.float64), 2, axis=1)
    half = np.maximum(sides, 0.0) / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    # What is left of a sigmoid in half precision may lie a hair above 1.
    certain = np.clip(scores[picked].astype(np.float64), 0.0, 1.0)
    found = Candidates(boxes, certain, np.zeros((len(picked), 0, 2)))
    return Seen(found, output[rows][:, picked].argmax(axis=0)).without_doubles()


def _scaled(seen: Seen, picture: Image, image: Image) -> Seen:
    """Give candidates of a picture in pixels of the image that it was made from."""
    (tall, wide), (height, width) = picture.shape[:2], image.shape[:2]
    boxes = seen.candidates.boxes_xyxy * np.array([width / wide, height / tall] * 2)
    return replace(seen, candidates=replace(seen.candidates, boxes_xyxy=boxes))


def _strongest_of(looks: Sequence[Seen]) -> Seen:
    """Give what was seen at any size; what was seen at several counts as at its best one."""
    found = [look.candidates for look in looks]
    pool = Candidates(
        np.concatenate([each.boxes_xyxy for each in found]),
        np.concatenate([each.scores for each in found]),
        np.concatenate([each.landmarks_xy for each in found]),
    )
    order = np.argsort(-pool.scores, kind="stable")
    classes = np.concatenate([look.classes for look in looks])
    return Seen(pool.pick(order), classes[order]).without_doubles()


def _regions(seen: Seen, size_wh: tuple[int, int], aim: Aim) -> tuple[Region, ...]:
    """Give candidates as regions, raised and cut to the image; what lies outside goes."""
    raised = seen.candidates.boxes_xyxy.copy()
    raised[:, 1] -= aim.raised * (raised[:, 3] - raised[:, 1])
    boxes = clip(raised, size_wh).tolist()
    scores, classes = seen.candidates.scores.tolist(), seen.classes.tolist()
    return tuple(
        Region(
            (x0, y0, x1, y1),
            kind=aim.kind,
            score=score,
            attributes={"label": aim.classes[place]} if aim.is_labelled else {},
        )
        for (x0, y0, x1, y1), score, place in zip(boxes, scores, classes, strict=True)
        if x0 < x1 and y0 < y1
    )


def _check_head(session: Session, origin: str) -> None:
    """Refuse weights whose outputs are not the one that is decoded here."""
    side = 2 * _STRIDE_PX
    n_places = sum((side // stride) ** 2 for stride in (8, 16, 32))
    outputs = first_look(session, side, origin=origin, kind="NudeNet")
    found = [output.shape for output in outputs]
    expected = [(1, _N_PLACE + len(CLASSES), n_places)]
    if found != expected:
        raise ConfigError(
            f"The weight file is not a NudeNet: for a picture of {side} px it gives outputs of "
            f"shape {found}, expected {expected}. Choose the detector that fits it."
        )


def make(settings: DetectorSettings) -> Detector:
    """Build the detector ``nudenet``, from the package or from the file that the settings name.

    Raises:
        ConfigError, MissingExtraError, PluginError: If weights or runtime cannot be had.
    """
    return NudeNet(_weights(FACES, settings), settings, FACES)


def make_nsfw(settings: DetectorSettings) -> Detector:
    """Build the detector ``nudenet-nsfw``; as ``make``.

    Raises:
        ConfigError: Also if nobody asked for this detector: what it finds are candidates for
            people to look at, most of them false.
        MissingExtraError, PluginError: As ``make``.
    """
    if not settings.is_asked_for:
        raise ConfigError(
            f"The detector '{NSFW.name}' gives candidates that people have to look at, so it is "
            f"used only where it is named. Name it with --detector {NSFW.name}, or with --second "
            f"{NSFW.name}."
        )
    detector = NudeNet(_weights(NSFW, settings), settings, NSFW)
    _log.warning(
        "The detector '%s' gives candidates for people to look at, most of them false. The licence "
        "of its weights is %s.",
        NSFW.name,
        detector.card.licence,
    )
    return detector


def _weights(aim: Aim, settings: DetectorSettings) -> Weights:
    card = replace(CARD, name=aim.name)
    if not settings.weights:
        return _packaged(card)
    named = user_weights(aim.name, settings)
    return Weights(named.data, card if named.card.sha256 == card.sha256 else named.card)


def _packaged(card: ModelCard) -> Weights:
    try:
        return packaged_weights("nudenet", "nudenet/320n.onnx", card)
    except MissingExtraError as error:
        # The package asks for a second build of OpenCV, whose files would overwrite those
        # of the first; only its weight file is wanted.
        raise MissingExtraError(
            f"The detector {card.name!r} needs the weights of the package nudenet, which is not "
            "installed. Install it with: pip install --no-deps nudenet==3.4.2"
        ) from error
