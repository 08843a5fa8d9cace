# SPDX-License-Identifier: Apache-2.0
"""Releases from which images are withdrawn, requests for it, and what is left of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flow.packed_tars import pack
from tests.unit.verify.drawn import (
    Release,
    planted_detectors,
    release_both,
)
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.records.outcomes import Outcome, OutcomeTable
from veilset.remove.stage import RemoveConfig
from veilset.report.stage import write_report
from veilset.verify.manifest import verify_manifest

ASKED = RemoveConfig(reason="asked by the person shown")


def asked(*image_ids: str, **more: Any) -> RemoveConfig:
    return replace(ASKED, image_ids=image_ids, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Release, Release]]:
    """The same pictures as a folder and as tar files; released, verified and reported."""
    base = tmp_path_factory.mktemp("remove")
    with planted_detectors():
        both = release_both(base, pack)
        for release in both:
            release.verify()
            write_report(release.out, release.annotations)
        yield both


@pytest.fixture
def folder(made: tuple[Release, Release], tmp_path: Path) -> Release:
    shutil.copytree(made[0].base, tmp_path / "folder")
    return Release(tmp_path / "folder")


@pytest.fixture
def tars(made: tuple[Release, Release], tmp_path: Path) -> Release:
    shutil.copytree(made[1].base, tmp_path / "tars")
    return Release(tmp_path / "tars")


def outcomes(release: Release) -> dict[str, Outcome]:
    return {row.image_id: row.outcome for row in OutcomeTable(release.record / "obfuscate")}


def intact(release: Release) -> bool:
    return verify_manifest(release.record / "verify", release.out).is_intact


def obfuscate(release: Release) -> None:
    obfuscate_dataset(release.photos, release.annotations, release.out, ObfuscateConfig())
