# SPDX-License-Identifier: Apache-2.0
"""Looks of a detector, with a network that finds drawn faces: no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from veilset.boxes import iou, region_boxes
from veilset.detect.candidates import Candidates
from veilset.detect.passes import PLANS, RUNS_AT_ONCE, MultiPass
from veilset.detect.views import OVERLAP_PX, TILE_PX, View, tiles
from veilset.errors import ConfigError
from veilset.protocols import Detector, DetectorSettings
from veilset.types import Image, ModelCard

FACE = 200


class PaintedFaces:
    """Finds rectangles of a grey of their own, and in each a point of another colour.

    Each face has its own grey, from 200 to 240; a face is seen from ``least_px`` on.
    """

    card = ModelCard("painted", "tests", "Apache-2.0", True)
    settings: Mapping[str, str | int | float | bool] = {"network": "centerface"}
    stride = 32
    batch_size = 2

    def __init__(self, least_px: float = 6, score: float = 0.9) -> None:
        self.least_px, self.score = least_px, score
        self.shapes: list[tuple[int, int]] = []
        self.calls: list[int] = []

    def look(self, images: Sequence[Image], *, floor: float) -> list[Candidates]:
        self.calls.append(len(images))
        self.shapes += [image.shape[:2] for image in images]
        return [self._find(image) for image in images]

    def _find(self, image: Image) -> Candidates:
        rows, points = [], []
        for grey in range(FACE, 241, 10):
            green = image[..., 1].astype(int)
            ys, xs = np.nonzero(abs(green - grey) <= 3)
            if not len(xs):
                continue
            box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            size = min(box[2] - box[0], box[3] - box[1])
            if size < self.least_px:
                continue
            part = image[box[1] : box[3], box[0] : box[2]]
            spot = np.argwhere(part[..., 2] < 60)
            y, x = spot.mean(axis=0) + 0.5 if len(spot) else (0.0, 0.0)
            rows.append(box)
            points.append([[box[0] + x, box[1] + y]] * 5)
        n = len(rows)
        return Candidates(
            np.array(rows, dtype=np.float64).reshape(n, 4),
            np.full(n, self.score),
            np.array(points, dtype=np.float64).reshape(n, 5, 2),
        )


def painted(size_wh: tuple[int, int], *faces: tuple[int, int, int, int]) -> Image:
    """A dark picture; the point of a face lies at a quarter of its width and height."""
    image = np.full((size_wh[1], size_wh[0], 3), 90, dtype=np.uint8)
    for number, (x0, y0, x1, y1) in enumerate(faces):
        image[y0:y1, x0:x1] = FACE + 10 * number
        x, y, r = x0 + (x1 - x0) // 4, y0 + (y1 - y0) // 4, max(1, (x1 - x0) // 12)
        # Green stays, so that the point does not cut the face in two.
        image[y - r : y + r, x - r : x + r, 2] = 0
    return image


def detector(network: PaintedFaces, effort: str, threshold: float | None = None) -> MultiPass:
    return MultiPass(network, DetectorSettings(effort=effort, threshold=threshold))


EFFORTS = tuple(PLANS)


@pytest.mark.parametrize("effort", EFFORTS)
def test_faces_are_found_once_and_in_their_place(effort: str) -> None:
    faces = [(40, 60, 120, 160), (300, 100, 340, 150), (500, 30, 524, 60)]
    found = detector(PaintedFaces(), effort)
    assert isinstance(found, Detector)
    (regions,) = found.detect([painted((640, 320), *faces)])
    assert len(regions) == 3
    overlaps = iou(np.array(faces, dtype=float), region_boxes(regions))
    assert (overlaps.max(axis=1) > 0.85).all()
    assert [r.score for r in regions] == sorted((r.score or 0 for r in regions), reverse=True)
    assert all(r.kind == "face" and 0 < (r.score or 0) <= 1 for r in regions)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_views_are_undone_to_the_pixel(turns: int, margin: float, scale: float) -> None:
    face = (60, 40, 140, 160)
    image = painted((400, 260), face)
    (tile,) = tiles(View(scale, turns, margin), (400, 260))
    shown = tile.show(image)
    seen = tile.restore(PaintedFaces()._find(shown))
    assert np.abs(seen.boxes_xyxy - face).max() <= 2 / scale
    assert np.abs(seen.landmarks_xy[0] - [80, 70]).max() <= 2.5 / scale


def test_a_turned_view_shows_the_turned_picture() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    (tile,) = tiles(View(quarter_turns=1), (6, 4))
    np.testing.assert_array_equal(tile.show(image), np.rot90(image))


def test_a_margin_is_black_and_on_every_side() -> None:
    (tile,) = tiles(View(margin=0.5), (160, 40))
    shown = tile.show(np.full((40, 160, 3), 7, dtype=np.uint8))
    assert shown.shape == (40 + 2 * 96, 160 + 2 * 96, 3)
    assert shown.sum() == 40 * 160 * 3 * 7
    assert (shown[96:136, 96:256] == 7).all()


@pytest.mark.parametrize("side", [1, 31, TILE_PX, TILE_PX + 1, 3 * TILE_PX + 7, 9_000])
@pytest.mark.parametrize("scale", [1.0, 2.5, 0.75])
def test_tiles_own_every_place_once_and_bound_the_look(side: int, scale: float) -> None:
    cut = list(tiles(View(scale), (side, 64)))
    centres = np.linspace(-3, side + 3, 997)
    owners = np.zeros(len(centres), dtype=int)
    for t in cut:
        owners += (centres >= t.own[0]) & (centres < t.own[2])
    assert (owners == 1).all()
    for t in cut:
        assert 0 <= t.part[0] < t.part[2] <= side
        assert (t.part[2] - t.part[0]) * scale <= TILE_PX + 2 * scale
        if np.isfinite(t.own[0]):
            assert (t.own[0] - t.part[0]) * scale >= OVERLAP_PX / 2 - 1e-6


def test_faces_on_the_seams_of_tiles_are_found_whole_and_once() -> None:
    size = (2 * TILE_PX, 300)
    seam = next(iter(tiles(View(1.0), size))).own[2]
    x = int(seam) - 40
    network = PaintedFaces()
    image = painted(size, (x, 100, x + 90, 200), (20, 20, 120, 130))
    plan_view = View(1.0)
    parts = [t.restore(network._find(t.show(image))) for t in tiles(plan_view, size)]
    boxes = np.concatenate([part.boxes_xyxy for part in parts])
    np.testing.assert_array_equal(
        boxes[np.argsort(boxes[:, 0])], [[20, 20, 120, 130], [x, 100, x + 90, 200]]
    )


def test_a_tile_is_not_believed_about_a_face_that_it_may_cut() -> None:
    size = (2 * TILE_PX, 600)
    image = painted(size, (100, 50, 100 + 2 * OVERLAP_PX, 500))
    seen = [t.restore(PaintedFaces()._find(t.show(image))) for t in tiles(View(1.0), size)]
    assert sum(map(len, seen)) == 0


def test_small_faces_are_looked_for_only_where_the_first_look_hints_at_them() -> None:
    large, small = painted((640, 320), (40, 60, 120, 160)), painted((640, 320), (40, 60, 60, 84))
    network = PaintedFaces()
    detector(network, "balanced").detect([large])
    cheap = len(network.shapes)
    network.shapes.clear()
    detector(network, "balanced").detect([small])
    assert cheap == len(PLANS["balanced"].always)
    assert len(network.shapes) > cheap


@pytest.mark.parametrize("effort", EFFORTS)
def test_results_do_not_depend_on_companions(effort: str) -> None:
    pictures = [
        painted((640, 320), (40, 60, 120, 160)),
        painted((320, 640), (40, 60, 60, 84)),
        painted((640, 320)),
        painted((33, 20), (5, 4, 20, 18)),
    ]
    found = detector(PaintedFaces(), effort)
    alone = [found.detect([picture])[0] for picture in pictures]
    assert found.detect(pictures) == alone
    assert found.detect(pictures[::-1]) == alone[::-1]
    assert found.detect([]) == []
    assert alone[2] == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (2, 3), (31, 33)])
@pytest.mark.parametrize("effort", EFFORTS)
def test_tiny_pictures_are_looked_at(effort: str, size: tuple[int, int]) -> None:
    network = PaintedFaces()
    assert detector(network, effort).detect([painted(size)]) == [()]
    assert len(network.shapes) >= len(PLANS[effort].always)


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_huge_picture_is_shown_in_bounded_parts_and_boxes_come_back(effort: str) -> None:
    network = PaintedFaces()
    face = (3_000, 900, 3_400, 1_400)
    (regions,) = detector(network, effort).detect([painted((6_000, 2_000), face)])
    assert len(regions) == 1
    assert iou(np.array([face], dtype=float), region_boxes(regions))[0, 0] > 0.85
    margin = 1.5  # of the padded look
    assert max(max(shape) for shape in network.shapes) <= TILE_PX * margin + 64


@pytest.mark.parametrize("effort", EFFORTS)
def test_boxes_are_cut_to_the_picture(effort: str) -> None:
    (regions,) = detector(PaintedFaces(), effort).detect([painted((200, 200), (0, 0, 90, 100))])
    x0, y0, x1, y1 = regions[0].box_xyxy
    assert (x0, y0) == (0, 0)
    assert x1 <= 200
    assert y1 <= 200


def test_what_lies_in_the_black_border_is_no_region() -> None:
    class Outside(PaintedFaces):
        def _find(self, image: Image) -> Candidates:
            box = np.array([[-60.0, -60.0, -20.0, -20.0]])
            return Candidates(box, np.array([0.9]), np.zeros((1, 5, 2)))

    assert detector(Outside(), "balanced", 0.0).detect([painted((200, 200))]) == [()]


def test_threshold_of_the_user_wins() -> None:
    picture = painted((640, 320), (40, 60, 120, 160))
    (found,) = detector(PaintedFaces(score=0.3), "fast", 0.0).detect([picture])
    (region,) = found
    assert region.score is not None
    at, above = region.score, np.nextafter(region.score, 1)
    assert len(detector(PaintedFaces(score=0.3), "fast", at).detect([picture])[0]) == 1
    assert len(detector(PaintedFaces(score=0.3), "fast", above).detect([picture])[0]) == 0


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_score_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match="not a score"):
        detector(PaintedFaces(), "fast", threshold)


def test_an_unknown_effort_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="fast, balanced, thorough"):
        MultiPass(PaintedFaces(), replace(DetectorSettings(), effort="heroic"))


def test_settings_tell_efforts_thresholds_and_networks_apart() -> None:
    def of(network: PaintedFaces, effort: str, threshold: float | None = None) -> object:
        return dict(detector(network, effort, threshold).settings)

    other = PaintedFaces()
    other.settings = {"network": "another"}
    seen = [of(PaintedFaces(), effort) for effort in EFFORTS]
    seen += [of(PaintedFaces(), "fast", 0.123), of(other, "fast")]
    assert all(a != b for place, a in enumerate(seen) for b in seen[:place])


def test_another_network_keeps_its_boxes_and_scores_in_a_single_look() -> None:
    other = PaintedFaces(score=0.7)
    other.settings = {"network": "another"}
    (regions,) = detector(other, "fast").detect([painted((640, 320), (40, 60, 120, 160))])
    assert [region.score for region in regions] == [pytest.approx(0.7)]
    assert regions[0].box_xyxy == (40, 60, 120, 160)


def test_a_network_that_takes_batches_sees_pictures_of_all_images_at_once() -> None:
    network = PaintedFaces()
    detector = MultiPass(network, DetectorSettings(effort="fast"))
    assert detector.batch_size == RUNS_AT_ONCE * network.batch_size
    images = [np.zeros((40 + n % 3, 60, 3), np.uint8) for n in range(detector.batch_size)]
    detector.detect(images)
    assert network.calls == [len(images)]


def test_no_more_pixels_are_held_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = PaintedFaces()
    detector = MultiPass(network, DetectorSettings(effort="fast"))
    monkeypatch.setattr("veilset.detect.passes.HELD_PIXELS", 3 * 40 * 60)
    images = [np.zeros((40, 60, 3), np.uint8) for _ in range(7)]
    detector.detect(images)
    assert network.calls == [3, 3, 1]


def test_a_network_that_takes_one_picture_is_shown_one() -> None:
    network = PaintedFaces()
    network.batch_size = 1
    detector = MultiPass(network, DetectorSettings(effort="fast"))
    assert detector.batch_size == 1
    detector.detect([np.zeros((40, 60, 3), np.uint8)] * 3)
    assert network.calls == [1, 1, 1]
