# SPDX-License-Identifier: Apache-2.0
"""What a second look at the outputs finds, and which outputs get one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.unit.verify.drawn import (
    CELL,
    CLEAN,
    CYAN,
    MAGENTA,
    QUIET,
    Planted,
    Release,
    draw,
    jpeg_bytes,
    make_release,
    planted_detectors,
)
from veilset.errors import DecodeError, LicenceError, RunError
from veilset.records.verdicts import Level, Verdict
from veilset.verify.redetect import is_sampled

LEAK, ERROR, REVIEW, ABSENT = Verdict.LEAK, Verdict.ERROR, Verdict.REVIEW, Verdict.ABSENT


FILES = ("a/one.jpg", "a/two.png", "b/none.jpg", "b/none.png", "c/plain.jpg", "c/turned.jpg")


@pytest.mark.parametrize(
    ("score", "verdict", "level"), [(0.8, LEAK, Level.LEAK), (0.81, REVIEW, Level.REVIEW)]
)
def test_a_face_that_the_release_missed(
    tmp_path: Path, score: float, verdict: Verdict, level: Level
) -> None:
    release = Release(tmp_path / "missed")
    release.photos.mkdir(parents=True)
    picture = draw(3, 1, {(0, 0): MAGENTA, (2, 0): CYAN})
    (release.photos / "x.jpg").write_bytes(jpeg_bytes(picture, subsampling=0))
    with planted_detectors():
        make_release(release.base)
        assert release.found(replace(QUIET, leak_score=score)) == {
            "x.jpg": (verdict, {"missed-face"})
        }
        (finding,) = release.verdicts()["x.jpg"].findings
        assert (finding.detector, finding.score, finding.level) == ("planted", 0.8, level)
        assert finding.box_xyxy is not None
        assert finding.box_xyxy[0] == pytest.approx(2 * CELL + 16, abs=2)
        assert release.found(replace(QUIET, effort="fast")) == {}
        assert release.found(replace(QUIET, recheck="none")) == {}


def test_a_face_missed_in_an_untouched_image_is_found_by_all_or_by_sample(tmp_path: Path) -> None:
    release = Release(tmp_path / "missed")
    release.photos.mkdir(parents=True)
    for index in range(40):
        faces = {(0, 0): CYAN} if index % 4 == 0 else {}
        picture = draw(1, 1, faces)
        (release.photos / f"{index:02}.jpg").write_bytes(jpeg_bytes(picture, subsampling=0))
    with planted_detectors():
        make_release(release.base)
        assert release.found() == {}
        everything = release.verify(replace(QUIET, recheck="all"))
        assert everything.counts["leak"] == 10
        (measured,) = everything.extra["measurements"]
        assert (measured["value"], measured["n"]) == (0.25, 40)
        assert 0 < measured["low"] < 0.25 < measured["high"] < 1
        # Images with and without a region are sampled alike where only a sample is wanted.
        part = replace(QUIET, recheck="sample", recheck_sample=0.5)
        release.verify(part)
        drawn = {name for name, row in release.verdicts().items() if row.looked_again}
        release.verify(replace(part, recheck="touched"))
        assert drawn == {name for name, row in release.verdicts().items() if row.looked_again}
        sampled = release.verify(replace(QUIET, recheck_sample=0.01, recheck_minimum=20))
        (measured,) = sampled.extra["measurements"]
        assert measured["n"] == sampled.counts["searched_sample"] in range(10, 31)
        assert sampled.counts.get("leak", 0) == round(measured["value"] * measured["n"])


def test_second_detectors_are_the_other_installed_ones(release: Release) -> None:
    with planted_detectors(("planted", "blind", "unusable")):
        summary = release.verify(replace(QUIET, second_detectors=None))
        assert set(summary.extra["verification"]["detectors"]) == {"planted", "blind"}
        assert summary.extra["skipped_detectors"] == {"unusable": "It has no weights."}
        summary = release.verify(replace(QUIET, second_detectors=None, commercial_ok=True))
        assert set(summary.extra["verification"]["detectors"]) == {"planted"}
    with planted_detectors():
        with pytest.raises(LicenceError, match="research only"):
            release.verify(replace(QUIET, second_detectors=("blind",), commercial_ok=True))
        found = release.found(replace(QUIET, second_detectors=("failing",)))
    # A detector that fails on wide pictures must not vouch for them, nor spoil the others.
    failed = (ERROR, {"check-failed"})
    assert found == {"a/one.jpg": failed, "c/turned.jpg": failed, **CLEAN}


@pytest.mark.parametrize(
    ("error", "said"),
    [(RunError("Out of reach."), r"Out of reach\."), (TimeoutError(), r"\(detector 'planted'\)")],
)
def test_a_detector_that_is_out_of_reach_stops_the_run_and_it_goes_on_later(
    release: Release, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def out_of_reach(_self: Planted, _images: object) -> NoReturn:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Planted, "detect", out_of_reach)
        with pytest.raises(RunError, match=said):
            release.verify()
        with pytest.raises(RunError, match="not finished"):
            release.verdicts()
    assert release.found() == CLEAN


def test_what_a_detector_says_of_one_picture_is_told(
    release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Planted, _images: object) -> NoReturn:
        raise DecodeError("over-limit", "The service takes no such picture. Use another.")

    monkeypatch.setattr(Planted, "detect", refuse)
    release.verify()
    row = release.verdicts()["a/one.jpg"]
    assert (row.verdict, {each.code for each in row.findings}) == (ERROR, {"check-failed"})
    assert row.findings[0].message == "The service takes no such picture. Use another."


def test_a_sample_of_the_touched_images_gives_a_rate_of_its_own(release: Release) -> None:
    names = {"a/one.jpg", "a/two.png", "c/turned.jpg"}
    for share in (0.3, 0.6, 1.0):
        config = replace(QUIET, recheck="sample", recheck_sample=share, recheck_minimum=0)
        summary = release.verify(config)
        searched = {name for name, row in release.verdicts().items() if row.looked_again}
        assert searched == {name for name in FILES if is_sampled(name, 0, share)}
        rates = {each["name"].split()[0]: each for each in summary.extra["measurements"]}
        assert rates.get("touched", {"n": 0})["n"] == len(searched & names)
        assert rates.get("untouched", {"n": 0})["n"] == len(searched - names)
