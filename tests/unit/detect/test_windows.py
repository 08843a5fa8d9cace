# SPDX-License-Identifier: Apache-2.0
"""Larger looks at what lies around a hint, with a network that finds drawn faces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.unit.detect.test_passes import PaintedFaces, detector, painted
from veilset.boxes import iou, region_boxes
from veilset.detect import passes
from veilset.detect.candidates import Candidates
from veilset.detect.merge import merge
from veilset.detect.passes import HINT, PLANS, SMALL_PX, hints_xy
from veilset.detect.views import WINDOW_PX, View, windows
from veilset.types import Image

ALWAYS = len(PLANS["balanced"].always)
ENLARGED = {(round(v.scale * WINDOW_PX),) * 2 for v in PLANS["balanced"].near_hints}


class Blobs(PaintedFaces):
    """Finds every bright patch, whatever its grey: patches may lie side by side."""

    def _find(self, image: Image) -> Candidates:
        _, _, rows, _ = cv2.connectedComponentsWithStats((image[..., 1] >= 150).astype(np.uint8))
        x, y, width, height = rows[1:, :4].T.astype(float)
        boxes_xyxy = np.stack([x, y, x + width, y + height], axis=1)
        n = len(boxes_xyxy)
        return Candidates(boxes_xyxy, np.full(n, self.score), np.zeros((n, 5, 2)))


def enlarged(network: PaintedFaces, image: Image) -> list[tuple[int, int]]:
    """Shapes of the looks at an image beyond those that every image gets."""
    network.shapes.clear()
    detector(network, "balanced").detect([image])
    return network.shapes[ALWAYS:]


def test_only_what_lies_around_a_hint_is_enlarged() -> None:
    network = PaintedFaces()
    one = painted((1_000, 800), (500, 400, 520, 424))
    two = painted((1_000, 800), (500, 400, 520, 424), (100, 700, 120, 724))
    assert len(enlarged(network, one)) == len(ENLARGED) == 2
    assert set(enlarged(network, one)) == ENLARGED
    assert sorted(enlarged(network, two)) == sorted(2 * list(ENLARGED))


def test_hints_all_over_a_picture_enlarge_it_in_one_piece() -> None:
    faces = [(20 + 100 * (i % 2), 20 + 90 * (i // 2), 40 + 100 * (i % 2), 44 + 90 * (i // 2))
             for i in range(4)]  # fmt: skip
    shapes = enlarged(PaintedFaces(), painted((220, 220), *faces))
    assert shapes == [(round(220 * v.scale),) * 2 for v in PLANS["balanced"].near_hints]


def test_a_hint_is_small_and_not_too_faint() -> None:
    side = SMALL_PX
    rows = [[0, 0, side, side], [50, 70, 52, 80], [0, 0, side + 1, side], [0, 0, 9, 9]]
    scores = np.array([HINT, 0.9, 0.9, HINT - 0.001])
    seen = Candidates(np.array(rows, dtype=float), scores, np.zeros((4, 5, 2)))
    np.testing.assert_array_equal(hints_xy(seen), [[side / 2, side / 2], [51, 75]])


def test_a_face_that_only_the_larger_looks_see_is_found_beside_a_hint() -> None:
    class Hinting(PaintedFaces):
        """Hints, where it sees nothing for certain, at the place of the first face."""

        def _find(self, image: Image) -> Candidates:
            found = super()._find(image)
            if len(found) or image.shape[:2] != (800, 1_000):
                return found
            box = np.array([[900.0, 700.0, 908.0, 708.0]])
            return Candidates(box, np.array([HINT]), np.zeros((1, 5, 2)))

    face = (908, 716, 914, 723)
    (found,) = detector(Hinting(least_px=9), "balanced").detect([painted((1_000, 800), face)])
    assert len(found) == 1
    assert iou(np.array([face], dtype=float), region_boxes(found))[0, 0] > 0.7


@pytest.mark.parametrize("corner", [(0, 0), (610, 0), (0, 455), (610, 455), (300, 455)])
def test_windows_at_the_border_are_filled_with_black_and_undone(corner: tuple[int, int]) -> None:
    size = (631, 480)
    face = (*corner, corner[0] + 20, corner[1] + 24)
    image = painted(size, face)
    view = View(2.5)
    windows_here = windows(view, size, np.array([[corner[0] + 10.0, corner[1] + 12.0]]))
    assert windows_here is not None
    (window,) = windows_here
    shown = window.show(image)
    assert shown.shape == (320, 320, 3)
    x0, y0, x1, y1 = window.part
    assert (shown[round((y1 - y0) * 2.5) :] == 0).all()
    assert (shown[:, round((x1 - x0) * 2.5) :] == 0).all()
    seen = window.restore(PaintedFaces()._find(shown))
    assert np.abs(seen.boxes_xyxy - face).max() <= 1


def test_windows_of_a_picture_smaller_than_one_do_not_pay() -> None:
    assert windows(View(2.0), (100, 100), np.array([[50.0, 50.0]])) is None


@pytest.mark.parametrize("x", range(130, 200, 3))
def test_faces_on_the_seams_of_windows_are_found_once(x: int) -> None:
    faces = [(x, 200, x + 20, 224), (x + 64, 210, x + 84, 234)]
    network = Blobs()
    (found,) = detector(network, "balanced").detect([painted((1_000, 800), *faces)])
    assert set(network.shapes[ALWAYS:]) == ENLARGED
    assert len(found) == 2
    overlaps = iou(np.array(faces, dtype=float), region_boxes(found))
    assert (overlaps.max(axis=1) > 0.85).all()


def test_no_look_brings_doubles_of_what_two_windows_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    merged: list[Sequence[Candidates]] = []

    def watched(looks: Sequence[Candidates], scales: Sequence[float]) -> Candidates:
        merged.append(looks)
        return merge(looks, scales)

    monkeypatch.setattr(passes, "merge", watched)
    # The first lies on the seam of two windows, the second brings the other window.
    faces = [(148, 200, 168, 224), (190, 210, 210, 234)]
    detector(Blobs(), "balanced").detect([painted((1_000, 800), *faces)])
    assert [[len(look) for look in looks] for looks in merged] == [[2, 2, 2, 2]]


def test_a_window_is_not_believed_about_a_face_that_it_may_cut() -> None:
    image = painted((1_000, 800), (290, 290, 360, 360))
    view = View(1.5)
    (window,) = windows(view, (1_000, 800), np.array([[325.0, 325.0]])) or []
    assert len(window.restore(PaintedFaces()._find(window.show(image)))) == 0
    assert window.largest_px / view.scale < 70


def test_neighbours_answer_for_the_seam_between_them_and_for_no_more() -> None:
    points = np.array([[x, 300.0] for x in range(0, 1_000, 10)])
    row = windows(View(1.5), (1_000, 800), points) or []
    edges = [window.own[::2] for window in row]
    assert edges[0][0] == -np.inf
    assert edges[-1][1] == np.inf
    assert all(0 < left[1] - right[0] <= 16 for left, right in pairwise(edges))
