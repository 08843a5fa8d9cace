# SPDX-License-Identifier: Apache-2.0
"""A release whose faces are drawn: nobody peeks, records and verification tell it as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage

from tests.flow.command import command
from tests.obfuscators import generator_file, tiny_generator
from tests.unit.verify.drawn import (
    CELL,
    CYAN,
    MAGENTA,
    QUIET,
    Release,
    annotate,
    draw,
    jpeg_bytes,
    planted_detectors,
)
from veilset.boxes import outer_pixels
from veilset.errors import ConfigError
from veilset.obfuscate.config import Parameters
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.plugins import make_obfuscator
from veilset.records.outcomes import OutcomeTable, write_outcomes
from veilset.records.verdicts import Verdict
from veilset.types import Image, Region

FACE, SMALL = Region((32.0, 32.0, 64.0, 80.0)), Region((112.0, 16.0, 120.0, 24.0))
PLATE = Region((96.0, 96.0, 144.0, 112.0), kind="plate")
REGIONS = (FACE, SMALL, PLATE)


def photograph(seed: int, under: Image | None = None, regions: tuple[Region, ...] = ()) -> Image:
    """Draw a photograph; under some regions, blocks of 8 px, another may show."""
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(0, 256, (34, 40, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    for x0, y0, x1, y1 in outer_pixels([each.box_xyxy for each in regions], (160, 136)):
        if under is not None:
            image[y0:y1, x0:x1] = under[y0:y1, x0:x1]
    return image


def written(folder: Path, image: Image, known: Mapping[str, Sequence[Region]]) -> Release:
    """Write a photograph as JPEG and PNG, and what is known of both."""
    release = Release(folder)
    release.photos.mkdir(parents=True)
    (release.photos / "one.jpg").write_bytes(jpeg_bytes(image, subsampling=0))
    PillowImage.fromarray(image).save(release.photos / "one.png")
    annotate(release, known)
    return release


def obfuscated(release: Release, **parameters: str | float) -> dict[str, Image]:
    chosen: Parameters = {"model": str(generator_file()), "enlarge": 0.0, **parameters}
    config = ObfuscateConfig("synthesize", chosen)
    obfuscate_dataset(release.photos, release.annotations, release.out, config, workers=1)
    return {path.name: _pixels(path) for path in release.out.iterdir()}


def _pixels(path: Path) -> Image:
    with PillowImage.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_files_do_not_depend_on_what_was_drawn_over(tmp_path: Path) -> None:
    known = dict.fromkeys(("one.jpg", "one.png"), REGIONS)
    before = obfuscated(written(tmp_path / "a", photograph(1), known))
    other = photograph(1, under=photograph(2), regions=(FACE,))
    after = obfuscated(written(tmp_path / "b", other, known))
    for name in known:
        assert np.array_equal(before[name], after[name])
        names = [tmp_path / each / "out" / name for each in "ab"]
        assert names[0].read_bytes() == names[1].read_bytes()
        photos = [tmp_path / each / "photos" / name for each in "ab"]
        assert photos[0].read_bytes() != photos[1].read_bytes()


def test_what_was_veiled_changes_nothing_but_itself(tmp_path: Path) -> None:
    known = dict.fromkeys(("one.jpg", "one.png"), REGIONS)
    before = obfuscated(written(tmp_path / "a", photograph(1), known), feather=0.0)
    other = photograph(1, under=photograph(2), regions=(SMALL, PLATE))
    after = obfuscated(written(tmp_path / "b", other, known), feather=0.0)
    for name in known:
        changed = (before[name] != after[name]).any(axis=2)
        assert changed[16:24, 112:120].any()
        assert changed[96:112, 96:144].any()
        changed[16:24, 112:120] = changed[96:112, 96:144] = False
        assert not changed.any()


def test_what_was_veiled_is_on_record_and_said(tmp_path: Path) -> None:
    release = written(
        tmp_path / "base", photograph(1), {"one.jpg": REGIONS, "one.png": (FACE, SMALL)}
    )
    words = ("obfuscate", release.photos, "-a", release.annotations, "-o", release.out)
    chosen = ("--method", "synthesize", "--set", f"model={generator_file()}", "--quiet")
    said = command(*words, *chosen).stderr
    assert "3 of 5 regions veiled instead: 2 too small, 1 not a face\n" in said
    assert "substituted" not in said
    table = OutcomeTable(release.record / "obfuscate")
    rows = {row.image_id: row.substituted for row in table}
    assert rows == {"one.jpg": ("not a face", "too small"), "one.png": ("too small",)}
    counts = table.manifest["counts"]
    assert counts["n_substituted"] == 3
    assert counts["substituted: too small"] == 2
    (card,) = table.manifest["models"]
    method = table.manifest["config"]["method"]
    assert card["sha256"] == method["parameters"]["model_sha256"]
    assert method["draws_faces"] is True
    command("report", release.out, "-a", release.annotations, "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "3 of 5 regions (2 too small, 1 not a face)" in page
    assert "This method draws faces." in page
    assert str(generator_file().parent) not in page


def test_another_generator_under_the_path_does_not_go_on(tmp_path: Path) -> None:
    release = written(tmp_path / "base", photograph(1), dict.fromkeys(("one.jpg", "one.png"), ()))
    model = tmp_path / "generator.onnx"
    model.write_bytes(tiny_generator())
    obfuscated(release, model=str(model))
    model.write_bytes(tiny_generator(tint=(0.5, 0.0, 0.0)))
    with planted_detectors(), pytest.raises(ConfigError, match="was used before"):
        release.verify()


def test_a_table_from_before_is_read(tmp_path: Path) -> None:
    release = written(tmp_path / "base", photograph(1), dict.fromkeys(("one.jpg", "one.png"), ()))
    obfuscate_dataset(release.photos, release.annotations, release.out)
    (path,) = (release.record / "obfuscate").glob("shard-*.parquet")
    manifest = json.loads((release.record / "obfuscate" / "run.json").read_text())
    assert "draws_faces" not in manifest["config"]["method"]
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["substituted"]), path)
    rows = list(OutcomeTable(release.record / "obfuscate"))
    assert [row.substituted for row in rows] == [(), ()]
    write_outcomes(release.record / "obfuscate", 0, rows)
    assert pq.read_table(path) == table


@pytest.fixture
def seen(tmp_path: Path) -> Release:
    """A release in which what is drawn looks like a face to the detector."""
    release = Release(tmp_path / "base")
    release.photos.mkdir(parents=True)
    picture = draw(3, 2, {(0, 0): MAGENTA, (2, 1): CYAN})
    PillowImage.fromarray(picture).save(release.photos / "one.png")
    face = Region((16.0, 16.0, 64.0, 64.0), score=0.9)
    annotate(release, {"one.png": (face,)})
    model = tmp_path / "generator.onnx"
    model.write_bytes(tiny_generator(tint=(1.0, -1.0, 1.0)))
    obfuscated(release, model=str(model))
    return release


def test_a_drawn_face_that_is_found_is_no_finding_and_a_missed_one_is(seen: Release) -> None:
    with planted_detectors():
        seen.verify()
        (row,) = seen.verdicts().values()
    assert (row.n_drawn_detected, row.n_still_detected) == (1, 0)
    # The cyan face was not annotated: nothing hides it.
    assert row.verdict is Verdict.LEAK
    (finding,) = row.findings
    assert finding.code == "missed-face"
    assert finding.box_xyxy is not None
    assert finding.box_xyxy[0] > 2 * CELL
    published = (seen.record / "verify" / "manifest.json").read_text()
    named = re.findall(r'"model": "([^"]+)"', published)
    assert named
    assert all("/" not in name for name in named)
    manifest = json.loads((seen.record / "verify" / "run.json").read_text())
    assert manifest["counts"]["drawn_detected"] == 1
    assert "still_detected" not in {k for k, n in manifest["counts"].items() if n}
    command("report", seen.out, "-a", seen.annotations)
    page = (seen.record / "report.html").read_text()
    assert "Detections inside drawn faces: 1." in page
    assert "Detections inside obfuscated regions" not in page


def test_what_shows_through_a_drawn_face_is_a_leak(seen: Release) -> None:
    # The original face in place of the drawn one: found by what is left, not by a detector.
    image = _pixels(seen.out / "one.png").copy()
    image[16:64, 16:64] = _pixels(seen.photos / "one.png")[16:64, 16:64]
    PillowImage.fromarray(image).save(seen.out / "one.png")
    with planted_detectors():
        seen.verify(QUIET)
        (row,) = seen.verdicts().values()
    assert "shows-through" in {finding.code for finding in row.findings}


def test_what_was_veiled_is_not_taken_for_drawn(tmp_path: Path) -> None:
    release = Release(tmp_path / "base")
    release.photos.mkdir(parents=True)
    PillowImage.fromarray(draw(1, 1, {(0, 0): MAGENTA})).save(release.photos / "one.png")
    nose = Region((32.0, 32.0, 48.0, 48.0), kind="nose")
    annotate(release, {"one.png": (nose,)})
    obfuscated(release)
    method = make_obfuscator("synthesize", {"model": str(generator_file())})
    assert method.card.draws_faces
    with planted_detectors():
        release.verify()
        (row,) = release.verdicts().values()
    # The veil of one colour is that colour, so the nose is still seen; nothing was drawn.
    assert (row.n_drawn_detected, row.n_still_detected + len(row.findings)) == (0, 1)
