# SPDX-License-Identifier: Apache-2.0
"""What a generator of faces is worth, on people that it did not learn from.

It is used as the obfuscator will use it, from its ONNX file, and stands beside two methods that
learned nothing. Nearness to the hidden face (SSIM, L1, LPIPS) is told because it is asked for: for
privacy it is no merit, and a good face need not be near. Distances between sets of pictures tell
how natural the pictures are, re-detection whether a detector takes what was drawn for a face.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.errors import MissingExtraError
from veilset.images.crops import cut
from veilset.networks.face_generator import FaceGenerator, IntBox, view_square
from veilset.plugins import make_detector, make_obfuscator
from veilset.protocols import Detector, DetectorSettings, Obfuscator
from veilset.runs import json_bytes
from veilset.synthesize.measures import measure_share
from veilset.synthesize.picture_distances import (
    Features,
    Groups,
    Without,
    frechet_without,
    kernel_without,
    measure_distance,
)
from veilset.synthesize.picture_features import LiteFeatures, perceptual_distances
from veilset.synthesize.reconstruction_measures import (
    L1_HIDDEN,
    SSIM_HIDDEN,
    TITLES,
    Scores,
    face_scores,
    measure_scores,
)
from veilset.synthesize.views_file import ViewsFile
from veilset.types import Image, Mask, Measurement, Region

DRAWN = "synthesize"
BASELINES = ("inpaint", "veil")
CLEAR = "clear"
REDETECTED = "faces found again"
LPIPS = "LPIPS (AlexNet)"
LEAST_SCORE = 0.5
"""Of a detection that counts."""

_LEAST_SHARED = 0.3
"""Of intersection by union with the box that was hidden."""

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Compared:
    """Test faces in each of their forms, as the generator sees them.

    Attributes:
        rows: ``(N,)``, their places in the views file.
        pictures: By form: N pictures ``(S, S, 3)`` uint8; ``clear`` is the original.
        seen: N pictures likewise, what the generator was shown.
        hidden: N masks ``(S, S)`` of what was hidden.
        boxes: N cores in pixels of the pictures.
    """

    rows: NDArray[np.int64]
    pictures: Mapping[str, Sequence[Image]] = field(repr=False)
    seen: Sequence[Image] = field(repr=False)
    hidden: Sequence[Mask] = field(repr=False)
    boxes: Sequence[tuple[float, float, float, float]] = field(repr=False)


def compare_faces(generator: FaceGenerator, data: ViewsFile, rows: NDArray[np.int64]) -> Compared:
    """Draw some faces, and treat them with methods that learned nothing.

    Args:
        generator: As the obfuscator reads it.
        data: The views; of a side and context that fit the generator.
        rows: Which.
    """
    methods = {name: make_obfuscator(name, {"enlarge": 0.0}) for name in BASELINES}
    pictures: dict[str, list[Image]] = {name: [] for name in (CLEAR, DRAWN, *BASELINES)}
    surroundings, hidden, boxes = [], [], []
    side, context = generator.facts.side_px, generator.facts.context
    for row in rows.tolist():
        (stored,) = data.pictures.take([row])
        core = _outward(data.cores[row], _mixed(data, row), data.side_px)
        square = view_square(core, context)
        view = generator.view(stored, _covered(data, row, core), core)
        seen = cut(stored, square, (side, side))
        pictures[CLEAR].append(seen)
        drawn = generator.draw(view)
        pictures[DRAWN].append(np.where(view.to_make[..., None], drawn, seen))
        for name, method in methods.items():
            treated = _treat(method, stored, core)
            pictures[name].append(cut(treated, square, (side, side)))
        surroundings.append(view.surroundings)
        hidden.append(view.to_make)
        scale = side / (square[2] - square[0])
        x0, y0, x1, y1 = ((at - square[i % 2]) * scale for i, at in enumerate(core))
        boxes.append((x0, y0, x1, y1))
    return Compared(rows, pictures, surroundings, hidden, boxes)


def _mixed(data: ViewsFile, row: int) -> float:
    """Give how far beyond its box a face reaches in a stored picture, which was resized clear."""
    return max(float(data.pixels[row]), 1.0) / 2 + 0.5


def _outward(box: NDArray[np.float64], by_px: float, side_px: int) -> IntBox:
    low, high = np.floor(box[:2] - by_px).astype(int), np.ceil(box[2:] + by_px).astype(int)
    x0, y0 = np.clip(low, 0, side_px - 1).tolist()
    x1, y1 = np.clip(high, 1, side_px).tolist()
    return x0, y0, x1, y1


def _covered(data: ViewsFile, row: int, core: IntBox) -> Mask:
    """Give what the generator must not see: faces to be drawn, and beyond the photograph."""
    covered = np.ones((data.side_px, data.side_px), np.bool_)
    x0, y0, x1, y1 = data.insides[row]
    left, top = max(int(np.ceil(x0)), 0), max(int(np.ceil(y0)), 0)
    covered[top : max(int(np.floor(y1)), 0), left : max(int(np.floor(x1)), 0)] = False
    others = data.others[row][(data.others[row] != 0).any(axis=1)]
    mixed = _mixed(data, row)
    for box in (core, *(_outward(other, mixed, data.side_px) for other in others)):
        covered[box[1] : box[3], box[0] : box[2]] = True
    return covered


def _treat(method: Obfuscator, picture: Image, core: IntBox) -> Image:
    x0, y0, x1, y1 = map(float, core)
    return method.obfuscate(np.ascontiguousarray(picture), [Region((x0, y0, x1, y1))])


def measure_generator(
    compared: Compared, data: ViewsFile, *, alexnet: Path | None = None
) -> dict[str, list[Measurement]]:
    """Measure each form of the faces against the clear ones.

    Args:
        compared: The faces.
        data: The views that they are from.
        alexnet: For LPIPS, as ``perceptual_distances``; without it LPIPS is not measured.

    Returns:
        By form: measurements with ``n`` people. The distances between sets are left out where
        the package of their network is not installed, and of fewer than two faces; ``clear`` has
        re-detection only.
    """
    people = data.people[compared.rows].tolist()
    detector = make_detector("centerface", DetectorSettings(threshold=LEAST_SCORE))
    found: dict[str, list[Measurement]] = {}
    features = _features(compared)
    for name, pictures in compared.pictures.items():
        again = _redetected(detector, pictures, compared.boxes)
        found[name] = [measure_share(again, people, REDETECTED)]
        if name == CLEAR:
            continue
        scores = _scores(compared, name)
        found[name] += [
            measure_scores(scores[each], people, TITLES[each], lower=each == L1_HIDDEN)
            for each in (SSIM_HIDDEN, L1_HIDDEN)
        ]
        if alexnet is not None:
            away = perceptual_distances(pictures, compared.pictures[CLEAR], alexnet)
            found[name].append(measure_scores(away, people, LPIPS, lower=True))
        if features:
            found[name] += [
                measure_distance(title, distance, features[name], features[CLEAR], people)
                for title, distance in _DISTANCES.items()
            ]
    return found


def _scores(compared: Compared, name: str) -> Scores:
    """Score a form of the faces against the clear ones, a few faces at a time."""
    clear, parts = compared.pictures[CLEAR], []
    for start in range(0, len(clear), _BATCH):
        at = slice(start, start + _BATCH)
        masks = np.where(np.stack(compared.hidden[at]), np.uint8(255), np.uint8(0))
        found = np.stack(compared.pictures[name][at])
        parts.append(face_scores(found, np.stack(clear[at]), masks))
    return {each: np.concatenate([part[each] for part in parts]) for each in parts[0]}


_DISTANCES: Mapping[str, Callable[[Features, Features, Groups], Without]] = {
    "Fréchet distance, features of EfficientNet-lite0": frechet_without,
    "kernel distance, features of EfficientNet-lite0": kernel_without,
}


def _features(compared: Compared) -> dict[str, Features]:
    if len(compared.rows) < 2:
        return {}
    try:
        network = LiteFeatures()
    except MissingExtraError:
        return {}
    return {name: network.of(pictures) for name, pictures in compared.pictures.items()}


def _redetected(
    detector: Detector,
    pictures: Sequence[Image],
    boxes: Sequence[tuple[float, float, float, float]],
) -> NDArray[np.bool_]:
    """Say for each picture whether a face is found where one was hidden, ``(N,)``."""
    found = []
    for picture, box in zip(pictures, boxes, strict=True):
        (regions,) = detector.detect([picture])
        found.append(any(_shared(each.box_xyxy, box) >= _LEAST_SHARED for each in _sure(regions)))
    return np.array(found, np.bool_)


def _sure(regions: Sequence[Region]) -> Iterator[Region]:
    return (each for each in regions if each.kind == "face" and each.passes(LEAST_SCORE))


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Give intersection by union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    each = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(each) - both)


def as_json(measured: Mapping[str, Sequence[Measurement]]) -> dict[str, Any]:
    """Give measurements as JSON values; the ends of an interval that does not exist are None."""
    found: dict[str, Any] = json.loads(
        json_bytes({name: [asdict(each) for each in rows] for name, rows in measured.items()})
    )
    return found
