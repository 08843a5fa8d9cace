# SPDX-License-Identifier: Apache-2.0
"""The detector of Amazon's faces with nobody's account, which asks a service on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.nobodys_account import use_nobodys_account
from tests.unit.detect.fake_rekognition import FakeService, fake_service
from veilset.aws import Patience, open_client
from veilset.detect.rekognition import (
    Rekognition,
)
from veilset.protocols import DetectorSettings
from veilset.types import Image

PLAIN = DetectorSettings()


AT_ONCE = Patience(attempts=1, rounds=3, first_s=1.0, mode="standard")


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials of nobody, and no settings of the machine that runs the tests."""
    use_nobodys_account(monkeypatch)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    with fake_service() as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", service.url)
        yield service


def detector(settings: DetectorSettings = PLAIN, waits: list[float] | None = None) -> Rekognition:
    client = open_client("rekognition", purpose="A test", patience=AT_ONCE)
    sleep = (waits if waits is not None else []).append
    return Rekognition(client, settings, patience=AT_ONCE, sleep=sleep)


def squares(size_wh: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> Image:
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = 255
    return image
