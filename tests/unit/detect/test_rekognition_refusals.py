# SPDX-License-Identifier: Apache-2.0
"""Amazon Rekognition: what is refused, by it or by us, and what is waited for.

The real service cannot be reached from tests, and moto (5.2) does not know DetectFaces.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.detect.asked_rekognition import PLAIN, account, detector, service, squares
from tests.unit.detect.fake_rekognition import FakeService
from veilset.annotations.store import AnnotationSet
from veilset.aws import Patience, open_client
from veilset.detect.rekognition import (
    Rekognition,
    make,
)
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.errors import ConfigError, DecodeError, MissingExtraError, RunError
from veilset.protocols import DetectorSettings
from veilset.types import Status

__all__ = ["account", "service"]


@pytest.mark.parametrize(
    "refusal",
    [
        (400, "ThrottlingException"),
        (400, "ProvisionedThroughputExceededException"),
        (500, "InternalServerError"),
        (503, "anything"),
    ],
)
def test_a_busy_service_is_waited_for(service: FakeService, refusal: tuple[int, str]) -> None:
    service.refusals.extend([refusal] * 3)
    waits: list[float] = []
    (found,) = detector(waits=waits).detect([squares((100, 100), [(20, 20, 60, 60)])])
    assert len(found) == 1
    assert waits == [1, 2, 4]


def test_a_service_that_stays_busy_stops_the_run_and_not_the_image(service: FakeService) -> None:
    service.refusals.extend([(400, "ThrottlingException")] * 9)
    with pytest.raises(RunError, match=r"stays busy.*it goes on from here"):
        detector().detect([squares((100, 100), [])])
    assert len(service.sent) == 4


def test_botocore_retries_as_well(service: FakeService) -> None:
    service.refusals.append((500, "InternalServerError"))
    patience = Patience(attempts=2, rounds=0, mode="standard")
    client = open_client("rekognition", purpose="A test", patience=patience)
    assert Rekognition(client, PLAIN, patience=patience).detect([squares((90, 90), [])]) == [()]
    assert len(service.sent) == 2


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException"])
def test_a_refused_account_is_not_asked_about_twice(service: FakeService, code: str) -> None:
    service.refusals.append((400, code))
    with pytest.raises(RunError, match=f"refuses this AWS account \\({code}\\)") as caught:
        detector().detect([squares((100, 100), [])])
    assert len(service.sent) == 1
    assert "123456789012" not in str(caught.value), "account numbers stay out of records"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ImageTooLargeException", "over-limit"),
        ("InvalidImageFormatException", "unsupported"),
        ("InvalidParameterException", "error"),
    ],
)
def test_a_refused_picture_is_that_pictures_failure(
    service: FakeService, code: str, reason: str
) -> None:
    service.refusals.append((400, code))
    with pytest.raises(DecodeError, match=code) as caught:
        detector().detect([squares((100, 100), [])])
    assert caught.value.reason == reason


def test_a_service_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", "http://127.0.0.1:9")
    with pytest.raises(RunError, match="cannot be reached"):
        detector().detect([squares((100, 100), [])])


def test_making_asks_about_an_empty_picture_first(service: FakeService) -> None:
    make(PLAIN)
    (sent,) = service.sent
    assert len(np.unique(np.asarray(PillowImage.open(io.BytesIO(sent))))) == 1
    service.refusals.append((400, "AccessDeniedException"))
    with pytest.raises(RunError, match="credentials and permissions"):
        make(PLAIN)


def test_unasked_it_neither_starts_nor_sends(service: FakeService) -> None:
    with pytest.raises(ConfigError, match=r"sends pictures to Amazon.*--second rekognition"):
        make(replace(PLAIN, is_asked_for=False))
    assert not service.sent


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (replace(PLAIN, effort="extreme"), "--effort"),
        (replace(PLAIN, weights="w.onnx"), "no weight file"),
        (replace(PLAIN, device="cuda"), "Leave out --device"),
        (replace(PLAIN, threshold=2.0), "from 0 to 1"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    service: FakeService, settings: DetectorSettings, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        make(settings)
    assert not service.sent


@pytest.mark.parametrize(
    ("name", "said"),
    [("AWS_ACCESS_KEY_ID", "credentials"), ("AWS_DEFAULT_REGION", "region")],
)
def test_missing_aws_settings_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.delenv(name)
    if said == "credentials":
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigError, match=f"The detector 'rekognition' needs .*{said}"):
        make(PLAIN)


def test_a_profile_that_does_not_exist_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match=r"ProfileNotFound.*AWS_PROFILE"):
        make(PLAIN)


def test_without_boto3_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[aws\]'"):
        make(PLAIN)


def refuse_after(n_sent: int, code: str, service: FakeService, patch: pytest.MonkeyPatch) -> None:
    """Let the service refuse one picture, once it was sent so many."""
    answer = service.answer

    def refuse_one(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if len(service.sent) == n_sent:
            service.refusals.append((400, code))
        return answer(body)

    patch.setattr(service, "answer", refuse_one)


def test_the_stage_keeps_what_is_done_when_the_account_is_refused(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for place in range(3):
        PillowImage.fromarray(squares((100, 100), [(20, 20, 60, 60)])).save(photos / f"{place}.png")
    config = DetectConfig(detector="rekognition", shard_size=1)
    with monkeypatch.context() as patch:
        # Answered are the empty picture and the first image.
        refuse_after(2, "ExpiredTokenException", service, patch)
        with pytest.raises(RunError, match="ExpiredTokenException"):
            detect_dataset(photos, out, config, workers=1)
    detect_dataset(photos, out, config, workers=1)
    rows = list(AnnotationSet(out))
    assert [row.status for row in rows] == [Status.LOOKED] * 3
    assert all(len(row.regions) == 1 for row in rows)


def test_the_stage_records_why_a_picture_was_refused(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    PillowImage.fromarray(squares((100, 100), [])).save(photos / "a.png")
    refuse_after(1, "InvalidImageFormatException", service, monkeypatch)
    detect_dataset(photos, out, DetectConfig(detector="rekognition"), workers=1)
    (row,) = AnnotationSet(out)
    assert (row.status, row.reason) == (Status.COULD_NOT_LOOK, "unsupported")
    assert "Amazon cannot read the picture" in row.message
