# SPDX-License-Identifier: Apache-2.0
"""What every announced detector has to honour, ours or another package's.

A detector that brings no weights has to refuse to start without them; the others are
looked through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from tests.contract.model_checks import (
    check_cards,
    check_depends_on_the_image_alone,
    check_may_be_read_only,
    check_plain,
    look_once,
)
from tests.nobodys_account import use_nobodys_account
from tests.unit.detect.fake_rekognition import fake_service
from veilset.errors import ConfigError, MissingExtraError
from veilset.plugins import list_plugins, make_detector
from veilset.protocols import EFFORTS, Detector, DetectorSettings
from veilset.types import Image, Origin, Region

NEED_WEIGHTS = {"scrfd", "yunet", "retinaface"}
KINDS = {"nudenet-nsfw": "nsfw"}
"""What a detector finds where that is not faces."""

NAMES = [info.name for info in list_plugins("detector")]
OWN_WEIGHTS = [name for name in NAMES if name not in NEED_WEIGHTS]


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    drawn = [
        rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        for h, w in ((1, 1), (1, 90), (90, 1), (64, 64), (70, 50))
    ]
    grey = np.repeat(drawn[-1][..., :1], 3, axis=2)
    return [*drawn, grey, np.zeros((64, 64, 3), np.uint8), np.full((33, 65, 3), 255, np.uint8)]


@pytest.fixture(
    scope="module", params=[(name, effort) for name in OWN_WEIGHTS for effort in EFFORTS], ids=str
)
def chosen(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, effort = request.param
    return name, effort


@pytest.fixture(scope="module")
def detector(chosen: tuple[str, str]) -> Iterator[Detector]:
    name, effort = chosen
    with service_of(name):
        try:
            yield make_detector(name, DetectorSettings(effort=effort, threshold=0.01, n_threads=2))
        except MissingExtraError as error:
            pytest.skip(str(error))


@contextmanager
def service_of(name: str) -> Iterator[None]:
    """Run what a detector asks over the network on this machine, and give it an account."""
    if name != "rekognition":
        yield
        return
    with fake_service() as service, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_REKOGNITION", service.url)
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        use_nobodys_account(patch)
        yield


@pytest.fixture(scope="module")
def found(detector: Detector, images: list[Image]) -> Sequence[tuple[Region, ...]]:
    """What it finds, once: some take seconds for these few pictures, which stay as they are."""
    return look_once(detector.detect, images)


def test_there_is_one() -> None:
    assert "centerface" in OWN_WEIGHTS


@pytest.mark.parametrize("name", sorted(NEED_WEIGHTS))
def test_without_weights_it_says_what_to_do(name: str) -> None:
    with pytest.raises(ConfigError, match="--weights"):
        make_detector(name, DetectorSettings())


def test_card_says_where_the_weights_come_from(detector: Detector) -> None:
    check_cards([detector.card])


def test_settings_are_plain_values(detector: Detector) -> None:
    assert detector.settings
    check_plain(detector.settings)
    assert detector.batch_size >= 1


def test_regions_are_inside_and_strongest_first(
    found: Sequence[tuple[Region, ...]], images: list[Image]
) -> None:
    for image, regions in zip(images, found, strict=True):
        height, width = image.shape[:2]
        scores = [region.score for region in regions]
        assert scores == sorted(scores, key=lambda score: -(score or 0))
        for region in regions:
            x0, y0, x1, y1 = region.box_xyxy
            assert 0 <= x0 <= x1 <= width
            assert 0 <= y0 <= y1 <= height
            assert region.origin is Origin.DETECTED
            assert region.score is not None
            assert 0.01 <= region.score <= 1
            assert len(region.landmarks_xy) in (0, 5)


def test_regions_are_of_its_kind(
    chosen: tuple[str, str], found: Sequence[tuple[Region, ...]]
) -> None:
    regions = [region for each in found for region in each]
    assert {region.kind for region in regions} <= {KINDS.get(chosen[0], "face")}
    for region in regions:
        check_plain(region.attributes)


def test_images_may_be_read_only(
    detector: Detector, found: Sequence[tuple[Region, ...]], images: list[Image]
) -> None:
    check_may_be_read_only(detector.detect, images, found)


def test_result_depends_on_the_image_alone(
    detector: Detector, found: Sequence[tuple[Region, ...]], images: list[Image]
) -> None:
    check_depends_on_the_image_alone(detector.detect, images, found)


def test_nothing_gives_nothing(detector: Detector) -> None:
    assert detector.detect([]) == []
