# SPDX-License-Identifier: Apache-2.0
"""Recognisers of the kind of ArcFace: alignment, preparation, and the files that are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from tests.unit.attack.tiny_embedders import LENGTH, build_embedder, check_is_a_model, embedded
from veilset.attack import arcface
from veilset.attack.arcface import SIDE_PX, TEMPLATE_XY, ArcfaceRecogniser, cut_chip, fit_similarity
from veilset.errors import ConfigError, LicenceError, MissingExtraError
from veilset.networks.landmarks import LANDMARKS_CARD, Points
from veilset.networks.weights import check_licence, user_weights
from veilset.protocols import RecogniserSettings
from veilset.types import BoxXyxy, Image, Region

EYES = slice(36, 42), slice(42, 48)
SIX = np.array([[-2, 0], [-1, -1], [1, -1], [2, 0], [1, 1], [-1, 1]])


class PlantedFinder:
    """Stands in for dlib: the landmarks are where the test says."""

    card = LANDMARKS_CARD

    def __init__(self, five_xy: Points) -> None:
        self.landmarks = np.zeros((68, 2))
        for eye, place in zip(EYES, five_xy[:2], strict=True):
            # Only the middle of the six points counts.
            self.landmarks[eye] = place + SIX
        self.landmarks[[30, 48, 54]] = five_xy[2:]
        self.asked: list[Image] = []

    def find(self, image: Image, _box_xyxy: BoxXyxy) -> Points:
        self.asked.append(image)
        return self.landmarks


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> PlantedFinder:
    finder = PlantedFinder(TEMPLATE_XY + 0.5)
    monkeypatch.setattr(arcface, "_load_finder", lambda: finder)
    return finder


def made(path: Path, **settings: str | float) -> ArcfaceRecogniser:
    asked = RecogniserSettings(weights=str(path), **settings)  # type: ignore[arg-type]  # by name
    return ArcfaceRecogniser(user_weights("arcface", asked, "recogniser"), asked)


def faces(n: int) -> list[Image]:
    rng = np.random.default_rng(1)
    return list(rng.integers(0, 256, (n, SIDE_PX, SIDE_PX, 3), dtype=np.uint8))


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("sizes", [("n", 3, 112, 112), (1, 3, 112, 112), ("n", 3, "h", "w")])
@pytest.mark.usefixtures("planted")
def test_gives_what_the_network_gives(
    tmp_path: Path, runtime: str, sizes: tuple[int | str, ...]
) -> None:
    path = build_embedder(tmp_path / "tiny.onnx", sizes=sizes)
    check_is_a_model(path)
    recogniser = made(path, runtime=runtime)
    chips = faces(3)
    found = recogniser.embed(chips)
    np.testing.assert_allclose(found, [embedded(chip) for chip in chips], atol=1e-4)
    assert recogniser.settings["embedding_length"] == LENGTH
    assert recogniser.settings["preparation"] == "(x - 127.5) / 127.5"


@pytest.mark.usefixtures("planted")
def test_a_network_that_scales_the_pixels_itself_gets_them_as_they_are(tmp_path: Path) -> None:
    first = (("Sub", 127.5), ("Mul", 1 / 127.5))
    recogniser = made(build_embedder(tmp_path / "tiny.onnx", first=first))
    (chip,) = faces(1)
    np.testing.assert_allclose(recogniser.embed([chip]), [embedded(chip)], atol=1e-4)
    assert recogniser.settings["preparation"] == "by the network"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sizes": ("n", 3, 160, 160)}, r"takes x \(any, 3, 160, 160\)\. Expected .*112, 112\)"),
        ({"sizes": (1, 112, 112, 3)}, r"takes x \(1, 112, 112, 3\)"),
        ({"sizes": ("n", 1, 112, 112)}, r"takes x \(any, 1, 112, 112\)"),
        ({"sizes": ("n", 3, 112)}, r"takes x \(any, 3, 112\)"),
        ({"outputs": ("embedding", "map")}, r"gives embedding \(1, 8\), map \(1, 3, 7, 7\)"),
        ({"outputs": ("map",)}, r"gives map \(1, 3, 7, 7\)\. Expected one output \(N, D\)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.usefixtures("planted")
def test_other_networks_are_refused(
    tmp_path: Path, runtime: str, change: dict[str, tuple[int | str, ...]], said: str
) -> None:
    path = build_embedder(tmp_path / "other.onnx", **change)  # type: ignore[arg-type]  # by name
    with pytest.raises(ConfigError, match=said):
        made(path, runtime=runtime)


@pytest.mark.parametrize("content", [b"", b"no network", b"\x3a\x7f"], ids=["empty", "text", "cut"])
@pytest.mark.usefixtures("planted")
def test_files_that_are_no_network_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"weight file"):
        made(path)


@pytest.mark.usefixtures("planted")
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    recogniser = made(build_embedder(tmp_path / "tiny.onnx", gain=8e37))
    white = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    with pytest.raises(ConfigError, match="not finite"):
        recogniser.embed([white])


@pytest.mark.parametrize("threshold", [0.0, -1.0, 2.5, float("nan")])
@pytest.mark.usefixtures("planted")
def test_thresholds_that_no_distance_can_have_are_refused(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(ConfigError, match="--threshold is"):
        made(build_embedder(tmp_path / "tiny.onnx"), threshold=threshold)


@pytest.mark.usefixtures("planted")
def test_it_has_the_threshold_and_the_licence_that_the_user_states(tmp_path: Path) -> None:
    path = build_embedder(tmp_path / "tiny.onnx")
    assert made(path).threshold is None
    assert "threshold" not in made(path).settings
    recogniser = made(path, threshold=0.7, weights_licence="MIT")
    assert recogniser.threshold == recogniser.settings["threshold"] == 0.7
    weights, landmarks = recogniser.cards
    check_licence(weights, commercial=True)
    with pytest.raises(LicenceError, match="300-W"):
        check_licence(landmarks, commercial=True)


def test_without_dlib_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[attack\]'"):
        made(build_embedder(tmp_path / "tiny.onnx"))


points = st.lists(
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=5, max_size=5, unique=True
)


@given(points)
def test_fits_as_scikit_image_does(five: list[tuple[float, float]]) -> None:
    source = np.round(np.array(five), 1)
    reference = SimilarityTransform.from_estimate(source, TEMPLATE_XY)
    fitted = fit_similarity(source, TEMPLATE_XY)
    if fitted is None or not reference or np.ptp(source, axis=0).max() < 1:
        return
    a, b = fitted
    # Umeyama's formula loses digits where next to nothing fits.
    scale = abs(a) * np.abs(source).max() + 1
    np.testing.assert_allclose([a.real, a.imag], reference.params[:2, 0], atol=1e-7 * abs(a) + 1e-9)
    np.testing.assert_allclose([b.real, b.imag], reference.params[:2, 2], atol=1e-7 * scale)


def test_points_in_one_place_fit_nowhere() -> None:
    assert fit_similarity(np.full((5, 2), 7.0), TEMPLATE_XY) is None


def drawn(transform: SimilarityTransform, size_hw: tuple[int, int]) -> Image:
    """A smooth picture drawn in the chip's own places, as seen from the image."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    u, v = transform(np.stack([x.ravel(), y.ravel()], axis=1)).T
    colours = [
        128 + 100 * np.sin(u / 9),
        128 + 100 * np.cos(v / 11),
        128 + 60 * np.sin((u + v) / 14),
    ]
    return np.stack(colours, axis=1).reshape(*size_hw, 3).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("scale", "turn", "tolerance"), [(1.0, 0.0, 1), (0.83, 0.4, 3), (2.5, -1.2, 3), (0.3, 0.9, 4)]
)
def test_chips_show_what_lies_at_the_landmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: float, turn: float, tolerance: int
) -> None:
    # The middle of the chip lies in the middle of the image.
    size = round(180 / min(1.0, scale))
    turned = SimilarityTransform(scale=scale, rotation=turn)
    middle = turned([[size / 2, size / 2]])[0]
    transform = SimilarityTransform(
        scale=scale, rotation=turn, translation=np.array([55.5, 55.5]) - middle
    )
    image = drawn(transform, (size, size))
    # Landmarks count from the corner of the first pixel.
    finder = PlantedFinder(transform.inverse(TEMPLATE_XY) + 0.5)
    monkeypatch.setattr(arcface, "_load_finder", lambda: finder)
    recogniser = made(build_embedder(tmp_path / "tiny.onnx"))
    chip = recogniser.cut(image, Region((10.0, 10.0, 60.0, 60.0)))
    wanted = drawn(SimilarityTransform(), (SIDE_PX, SIDE_PX))
    assert np.abs(chip.astype(int) - wanted).max() <= tolerance


def test_landmarks_are_looked_for_in_the_other_image(
    tmp_path: Path, planted: PlantedFinder
) -> None:
    recogniser = made(build_embedder(tmp_path / "tiny.onnx"))
    image = np.zeros((120, 130, 3), np.uint8)
    other = image.copy()
    recogniser.cut(image, Region((0.0, 0.0, 9.0, 9.0)), aligned_on=other)
    assert planted.asked[0] is other


def test_landmarks_in_one_place_give_way_to_the_box(tmp_path: Path, planted: PlantedFinder) -> None:
    planted.landmarks[:] = 20.5
    image = np.zeros((40, 40, 3), np.uint8)
    image[20, 20] = (10, 200, 30)
    chip = made(build_embedder(tmp_path / "tiny.onnx")).cut(image, Region((20.0, 20.0, 21.0, 21.0)))
    # The one pixel of the box fills the chip, and fades into its neighbours at the rim.
    np.testing.assert_allclose(chip[SIDE_PX // 2, SIDE_PX // 2], (10, 200, 30), atol=4)
    assert (chip[:, :, 1] > 40).all()


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("place", [0.0, -1e9, 1e9])
def test_chips_of_every_scale_and_place_are_cut(scale: float, place: float) -> None:
    chip = cut_chip(np.full((30, 2000, 3), 9, np.uint8), scale * (0.6 + 0.8j), complex(place, 3))
    assert chip.shape == (SIDE_PX, SIDE_PX, 3)
