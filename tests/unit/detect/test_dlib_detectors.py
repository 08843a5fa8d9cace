# SPDX-License-Identifier: Apache-2.0
"""dlib's detectors: what is asked of dlib, and what is made of its answers.

The seam is a module that stands in for ``dlib``; the last tests ask the real one, which
is a test dependency.
"""

from __future__ import annotations

import hashlib
import math
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skimage
from PIL import Image as PillowImage

from veilset.detect import dlib_detectors
from veilset.detect.dlib_detectors import HOG, HOG_CARD, MMOD, MMOD_CARD, make_hog, make_mmod
from veilset.errors import ConfigError, MissingExtraError
from veilset.protocols import EFFORTS, DetectorSettings
from veilset.types import Image

PLAIN = DetectorSettings()


@dataclass(frozen=True)
class Rectangle:
    """As dlib's: the last column and row belong to it."""

    x0: int
    y0: int
    x1: int
    y1: int

    def left(self) -> int:
        return self.x0

    def top(self) -> int:
        return self.y0

    def right(self) -> int:
        return self.x1

    def bottom(self) -> int:
        return self.y1


@dataclass(frozen=True)
class Found:
    """As dlib's ``mmod_rectangle``."""

    rect: Rectangle
    confidence: float


class FakeDlib(ModuleType):
    """Gives planted answers, and notes what it was asked."""

    __version__ = "20.1"
    DLIB_USE_CUDA = False

    def __init__(self, planted: Sequence[Found]) -> None:
        super().__init__("dlib")
        self.__spec__ = ModuleSpec("dlib", None)
        self.planted = planted
        self.asked: list[tuple[tuple[int, ...], int, float | None]] = []
        self.contiguous: list[bool] = []
        self.n_made = 0
        self.loaded: list[tuple[str, bytes]] = []
        self.meet: threading.Barrier | None = None

    def get_frontal_face_detector(self) -> FakeHog:
        self.n_made += 1
        return FakeHog(self)

    def cnn_face_detection_model_v1(self, path: str) -> FakeMmod:
        data = Path(path).read_bytes()
        self.loaded.append((path, data))
        if data == b"broken":
            raise RuntimeError("Unexpected version found while deserializing")
        return FakeMmod(self)

    def answer(self, picture: Image, upsample: int, margin: float | None) -> None:
        self.asked.append((picture.shape, upsample, margin))
        self.contiguous.append(picture.flags.c_contiguous)


class FakeHog:
    def __init__(self, dlib: FakeDlib) -> None:
        self.dlib = dlib
        self.is_busy = False

    def run(
        self, picture: Image, upsample: int, margin: float
    ) -> tuple[list[Rectangle], list[float], list[int]]:
        assert not self.is_busy, "one object, two threads"
        self.is_busy = True
        try:
            if self.dlib.meet:
                self.dlib.meet.wait(timeout=20)
            self.dlib.answer(picture, upsample, margin)
            if picture[0, 0, 0] == 13:
                raise RuntimeError("something inside dlib")
            kept = [each for each in self.dlib.planted if each.confidence >= margin]
            return [k.rect for k in kept], [k.confidence for k in kept], [0 for _ in kept]
        finally:
            self.is_busy = False


class FakeMmod:
    def __init__(self, dlib: FakeDlib) -> None:
        self.dlib = dlib

    def __call__(self, picture: Image, upsample: int) -> list[Found]:
        self.dlib.answer(picture, upsample, None)
        return list(self.dlib.planted)


@pytest.fixture
def dlib(monkeypatch: pytest.MonkeyPatch) -> FakeDlib:
    fake = FakeDlib([Found(Rectangle(100, 60, 179, 139), 0.5)])
    monkeypatch.setitem(sys.modules, "dlib", fake)
    return fake


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "own.dat"
    path.write_bytes(b"own weights")
    return path


def grey(height: int, width: int) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize(("effort", "factor"), [("fast", 1), ("balanced", 2), ("thorough", 3)])
def test_hog_enlarges_by_effort_and_gives_boxes_of_the_photograph(
    dlib: FakeDlib, effort: str, factor: int
) -> None:
    ((region,),) = make_hog(replace(PLAIN, effort=effort)).detect([grey(100, 150)])
    ((shape, upsample, margin),) = dlib.asked
    assert (shape, upsample) == ((100 * factor, 150 * factor, 3), 0)
    # 80 px in the picture: 100 up to 180, 60 up to 140; raised by 15 %, lowered by 3 %.
    box = (100 / factor, 48 / factor, min(180 / factor, 150), min(142.4 / factor, 100))
    assert region.box_xyxy == pytest.approx(box)
    assert region.score == pytest.approx(1 / (1 + math.exp(-4 * (0.5 - 0.1))))
    assert region.kind == "face"
    assert margin == pytest.approx(0.1 + math.log(0.35 / 0.65) / 4)


def test_scores_below_the_threshold_are_neither_asked_for_nor_given(dlib: FakeDlib) -> None:
    margins = (-0.4, -0.2, 0.0, 0.3)
    dlib.planted = [Found(Rectangle(10, 10, 20 + k, 20), m) for k, m in enumerate(margins)]
    (regions,) = make_hog(replace(PLAIN, threshold=HOG.score(0.0))).detect([grey(90, 90)])
    assert [region.score for region in regions] == [HOG.score(0.3), HOG.score(0.0)]
    (everything,) = make_hog(replace(PLAIN, threshold=0.0)).detect([grey(90, 90)])
    assert len(everything) == 4
    assert dlib.asked[-1][2] == HOG.least_margin
    assert make_hog(replace(PLAIN, threshold=1.0)).detect([grey(90, 90)]) == [()]
    assert dlib.asked[-1][2] == math.inf


def test_boxes_are_cut_to_the_image_and_those_outside_go(dlib: FakeDlib) -> None:
    dlib.planted = [
        Found(Rectangle(-30, -40, 49, 39), 0.4),
        Found(Rectangle(300, 0, 379, 79), 0.9),  # right of the picture
        Found(Rectangle(150, 150, 249, 249), 0.4),
    ]
    (regions,) = make_hog(replace(PLAIN, effort="fast")).detect([grey(200, 200)])
    # Equal scores are ordered by the box.
    assert [r.box_xyxy for r in regions] == [(0, 0, 50, pytest.approx(42.4)), (150, 135, 200, 200)]


@pytest.mark.parametrize("kind", [HOG, MMOD], ids=lambda kind: kind.name)
@pytest.mark.parametrize("effort", EFFORTS)
def test_the_picture_that_is_searched_is_bounded(kind: dlib_detectors.Kind, effort: str) -> None:
    for size_wh in ((1, 1), (1, 90), (500, 375), (2000, 1500), (12000, 8000), (100_000_000, 1)):
        wide, tall = kind.work_size(size_wh, effort)
        assert wide >= 1
        assert tall >= 1
        factor = wide / size_wh[0]
        assert factor <= kind.factors[effort]
        if size_wh[0] * size_wh[1] * kind.factors[effort] ** 2 <= kind.max_pixels:
            assert (wide, tall) == tuple(side * kind.factors[effort] for side in size_wh)
        elif tall > 1:
            assert 0.99 * kind.max_pixels <= wide * tall <= kind.max_pixels


@pytest.mark.parametrize("kind", [HOG, MMOD], ids=lambda kind: kind.name)
def test_score_and_margin_are_each_other_s_inverse(kind: dlib_detectors.Kind) -> None:
    for score in (0.2, 0.5, 0.7, 0.99):
        if kind.score(kind.least_margin) < score:
            assert kind.score(kind.margin(score)) == pytest.approx(score)
    scores = [kind.score(margin) for margin in np.linspace(kind.least_margin, 3, 50)]
    assert scores == sorted(set(scores))
    assert scores[0] >= 0
    assert scores[-1] <= 1


def test_dlib_gets_contiguous_pictures(dlib: FakeDlib) -> None:
    # Of a picture that is not, dlib reads other pixels than the array's, without a word.
    sheared = np.zeros((80, 160, 3), np.uint8)[:, ::2]
    for effort in ("fast", "balanced"):
        make_hog(replace(PLAIN, effort=effort)).detect([sheared])
    assert dlib.contiguous == [True, True]


def test_threads_have_detectors_of_their_own_and_give_them_back(dlib: FakeDlib) -> None:
    detector = make_hog(replace(PLAIN, effort="fast"))
    assert dlib.n_made == 1
    dlib.meet = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(4):
            answers = list(pool.map(detector.detect, [[grey(200, 200)]] * 3))
            assert answers[0] == answers[1] == answers[2]
    assert dlib.n_made == 3
    dlib.meet = None
    for _ in range(5):  # a failure must not lose the object
        with pytest.raises(RuntimeError, match="inside dlib"):
            detector.detect([np.full((9, 9, 3), 13, np.uint8)])
    assert dlib.n_made == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"device": "cuda"}, "works on the CPU only"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"effort": "most"}, "effort is 'most'"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"threshold": -0.1}, r"threshold is -0\.1"),
        ({"threshold": math.nan}, "threshold is nan"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(
    dlib: FakeDlib, weights: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_hog(replace(PLAIN, **changed))
    with pytest.raises(ConfigError, match=said):
        make_mmod(replace(PLAIN, weights=str(weights), **changed))
    assert not dlib.n_made
    assert not dlib.loaded


def test_hog_takes_no_weights(dlib: FakeDlib, weights: Path) -> None:
    with pytest.raises(ConfigError, match="takes no weight file"):
        make_hog(replace(PLAIN, weights=str(weights)))


def test_settings_state_what_really_runs(dlib: FakeDlib, weights: Path) -> None:
    settings = replace(PLAIN, precision="fast", runtime="onnxruntime", weights=str(weights))
    dlib.DLIB_USE_CUDA = True
    mmod = make_mmod(settings).settings
    assert (mmod["runtime"], mmod["precision"], mmod["device"]) == ("dlib", "f32", "cuda")
    hog = make_hog(replace(settings, weights=None)).settings
    assert (hog["runtime"], hog["runtime_version"], hog["device"]) == ("dlib", "20.1", "cpu")


@pytest.mark.parametrize("make", [make_hog, make_mmod])
def test_without_dlib_it_says_what_to_do(
    make: Any, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    settings = PLAIN if make is make_hog else replace(PLAIN, weights=str(weights))
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[dlib\]'"):
        make(settings)


def test_mmod_loads_the_bytes_that_were_digested(dlib: FakeDlib, weights: Path) -> None:
    detector = make_mmod(replace(PLAIN, weights=str(weights), weights_licence="CC0-1.0"))
    ((path, data),) = dlib.loaded
    assert data == b"own weights"
    assert not Path(path).exists(), "the copy has to go"
    assert weights.exists()
    assert detector.card.sha256 == hashlib.sha256(data).hexdigest()
    assert (detector.card.licence, detector.card.commercial_ok) == ("CC0-1.0", True)


def test_mmod_pads_small_pictures_and_reads_its_answers(dlib: FakeDlib, weights: Path) -> None:
    dlib.planted = [
        Found(Rectangle(0, 10, 29, 39), 0.2),
        Found(Rectangle(10, 10, 29, 29), 1.0),
        Found(Rectangle(62, 2, 63, 3), 0.9),  # in the padding
    ]
    settings = replace(PLAIN, weights=str(weights), effort="fast", threshold=0.55)
    weak, strong = 1 / (1 + math.exp(-2 * 0.2)), 1 / (1 + math.exp(-2))
    (regions,) = make_mmod(settings).detect([grey(50, 61)])
    assert dlib.asked == [((64, 64, 3), 0, None)]
    assert [region.score for region in regions] == pytest.approx([strong, weak])
    assert regions[0].box_xyxy == pytest.approx((10, 8, 30, 32.4))
    assert regions[1].box_xyxy == pytest.approx((0, 7, 30, 43.6))
    (regions,) = make_mmod(replace(settings, threshold=0.7)).detect([grey(50, 61)])
    assert [region.score for region in regions] == pytest.approx([strong])


def test_mmod_refuses_a_broken_file(dlib: FakeDlib, weights: Path) -> None:
    weights.write_bytes(b"broken")
    with pytest.raises(ConfigError, match=r"cannot use the weight file own\.dat"):
        make_mmod(replace(PLAIN, weights=str(weights)))


def test_mmod_waits_to_be_asked_for(dlib: FakeDlib, weights: Path) -> None:
    settings = replace(PLAIN, weights=str(weights), is_asked_for=False)
    with pytest.raises(ConfigError, match="Name it with --second dlib-mmod"):
        make_mmod(settings)
    assert not dlib.loaded
    make_hog(replace(settings, weights=None))


def test_cards_say_what_is_known() -> None:
    assert HOG_CARD.sha256 == ""
    assert "No weight file" in HOG_CARD.note
    assert MMOD_CARD.licence == "CC0-1.0"
    assert "face_recognition_models" in MMOD_CARD.origin


def astronaut() -> Image:
    """The public-domain portrait that comes inside scikit-image, 512 x 512."""
    with PillowImage.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as portrait:
        return np.asarray(portrait.convert("RGB"))


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_real_hog_finds_the_face_of_the_astronaut(effort: str) -> None:
    detector = make_hog(replace(PLAIN, effort=effort, threshold=0.9))
    image = astronaut()
    sideways = np.ascontiguousarray(image[:, ::-1])
    (region,), (mirrored,), none = detector.detect([image, sideways, image[300:]])
    assert none == ()
    x0, y0, x1, y1 = region.box_xyxy
    # Eyes and mouth lie at x 200 up to 245 and y 110 up to 155, with a margin.
    assert 165 < x0 < 190
    assert 50 < y0 < 90
    assert 250 < x1 < 280
    assert 160 < y1 < 190
    assert mirrored.box_xyxy[0] == pytest.approx(512 - x1, abs=12)


def test_the_real_hog_sees_small_faces_when_it_enlarges() -> None:
    small = np.asarray(PillowImage.fromarray(astronaut()).resize((256, 256)))
    found = {
        effort: len(make_hog(replace(PLAIN, effort=effort, threshold=0.9)).detect([small])[0])
        for effort in EFFORTS
    }
    assert found == {"fast": 0, "balanced": 1, "thorough": 1}
