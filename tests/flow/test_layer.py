# SPDX-License-Identifier: Apache-2.0
"""A redaction layer from one who made it to one who has the originals: the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.flow.packed_tars import pack
from tests.unit.verify.drawn import QUIET, Release, make_release, planted_detectors
from veilset import plugins
from veilset.annotations.layer import Layer
from veilset.annotations.store import AnnotationSet
from veilset.cli import options as opt
from veilset.cli.app import app
from veilset.dataset.webdataset import WebDatasetReader
from veilset.errors import AnnotationError, ConfigError, PluginError, RunError
from veilset.layer.stage import LayerConfig, write_layer
from veilset.obfuscate.mask import grown
from veilset.obfuscate.overlay import Overlay
from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset
from veilset.protocols import MethodCard, Obfuscator
from veilset.records.outcomes import ImageOutcome, Outcome, OutcomeTable
from veilset.records.verdicts import Verdict, VerdictTable
from veilset.remove.stage import RemoveConfig, remove_images
from veilset.types import Image, ImageRecord, IntBoxes, Region, Status
from veilset.verify.stage import verify_dataset

PROGRAM = Path(sys.executable).with_name("veilset")
Announce = Callable[[Callable[[], Obfuscator]], None]


@dataclass(frozen=True)
class Noise:
    """A method that draws at random, as one of a plugin may."""

    version: int = 1

    @property
    def card(self) -> MethodCard:
        card = Overlay().card
        return replace(card, name="noise", version=self.version, parameters={}, max_survival=1.0)

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        return Overlay().core(regions, size_wh)

    def footprint(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        return grown(self.core(regions, size_wh), np.zeros(len(regions), np.int64), size_wh)

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        result, random = image.copy(), np.random.default_rng(seed)
        for x0, y0, x1, y1 in self.core(regions, (image.shape[1], image.shape[0])):
            result[y0:y1, x0:x1] = random.integers(0, 256, (y1 - y0, x1 - x0, 3), np.uint8)
        return result


def make_noise() -> Obfuscator:
    return Noise()


def make_noise_2() -> Obfuscator:
    return Noise(version=2)


@pytest.fixture
def announce() -> Iterator[Announce]:
    """Give what announces a factory as the method ``noise``, beside the real ones."""
    with pytest.MonkeyPatch.context() as patch:

        def announce(factory: Callable[[], Obfuscator]) -> None:
            noise = EntryPoint("noise", f"{__name__}:{factory.__name__}", "veilset.obfuscators")

            def announced(group: str) -> list[EntryPoint]:
                known = list(entry_points(group=group))
                return [*known, noise] if group == "veilset.obfuscators" else known

            patch.setattr(plugins, "entry_points", announced)
            plugins._announced.cache_clear()

        yield announce
    plugins._announced.cache_clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Photographs that were searched; each test releases them in its own way."""
    base = tmp_path_factory.mktemp("made")
    with planted_detectors():
        yield make_release(base / "base")


@pytest.fixture
def elsewhere(made: Release, tmp_path: Path) -> Path:
    """The same photographs at the receiver's, all in one folder and under other names."""
    folder = tmp_path / "received"
    folder.mkdir()
    for i, path in enumerate(sorted(made.photos.rglob("*.*"))):
        shutil.copyfile(path, folder / f"{i:03d}{path.suffix}")
    return folder


def contents(folder: Path) -> set[str]:
    return {hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


def outcomes(out: Path) -> dict[str, ImageOutcome]:
    return {row.image_id: row for row in OutcomeTable(Path(f"{out}.veilset") / "obfuscate")}


CONFIGS = {
    "as it is": LayerConfig(),
    "another method": LayerConfig(method="blur", parameters={"strength": "0.3"}, names=False),
    "one sigma for all": LayerConfig(method="blur-paper", metadata="strip"),
    "some regions": LayerConfig(min_score=0.95, kinds=("face",)),
    "at random": LayerConfig(method="noise", seed=7),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_receiver_gets_the_bytes_of_the_release(
    made: Release, elsewhere: Path, tmp_path: Path, announce: Announce, config: LayerConfig
) -> None:
    announce(make_noise)
    names = ("method", "parameters", "kinds", "min_score", "metadata", "quality", "seed")
    same = ObfuscateConfig(**{name: getattr(config, name) for name in names})
    obfuscate_dataset(made.photos, made.annotations, tmp_path / "own", same, workers=2)
    summary = write_layer(made.annotations, tmp_path / "layer.arrow", config)
    done = obfuscate_dataset(elsewhere, summary.path, tmp_path / "out", workers=2)
    n_hidden = 0 if config.min_score else 4
    assert (summary.n_images, summary.n_regions, summary.left_out) == (
        6, n_hidden, {"could_not_look": 1},
    )  # fmt: skip
    assert contents(tmp_path / "out") == contents(tmp_path / "own") != contents(made.photos)
    assert done.counts == {
        "failed": 1, "n_regions": n_hidden,
        **({"obfuscated": 3, "untouched": 3} if n_hidden else {"untouched": 6}),
    }  # fmt: skip
    failed = [row for row in outcomes(tmp_path / "out").values() if row.outcome is Outcome.FAILED]
    assert [row.reason for row in failed] == ["not-looked"]


def test_tar_files_get_the_same_bytes_too(made: Release, tmp_path: Path) -> None:
    pack(made.photos, tmp_path / "tars")
    layer = write_layer(made.annotations, tmp_path / "layer.arrow").path
    obfuscate_dataset(tmp_path / "tars", layer, tmp_path / "out", workers=2)
    reader = WebDatasetReader(tmp_path / "out")
    released = {
        hashlib.sha256(reader.read(record)).hexdigest()
        for shard in reader.shards(1)
        for record in shard.records
    }
    assert released == contents(made.out)


def test_changed_and_unknown_images_stay_out(
    made: Release, elsewhere: Path, tmp_path: Path
) -> None:
    layer = write_layer(made.annotations, tmp_path / "layer.arrow").path
    received = tmp_path / "same names"
    shutil.copytree(made.photos, received)
    for name in ("a/one.jpg", "b/none.png"):
        data = (received / name).read_bytes()
        (received / name).write_bytes(data + b"\0")
    shutil.copyfile(made.photos / "a/one.jpg", received / "a/copy.jpg")
    obfuscate_dataset(received, layer, tmp_path / "out", workers=2)
    rows = outcomes(tmp_path / "out")
    assert {name: row.reason for name, row in rows.items() if row.reason} == {
        "a/one.jpg": "changed", "b/none.png": "changed", "c/cut.jpg": "not-looked",
    }  # fmt: skip
    assert (tmp_path / "out/a/copy.jpg").read_bytes() == (made.out / "a/one.jpg").read_bytes()
    assert not (tmp_path / "out/a/one.jpg").exists()
    assert "Get the original file" in rows["a/one.jpg"].message


def test_what_was_released_by_a_layer_verifies(
    made: Release, elsewhere: Path, tmp_path: Path
) -> None:
    layer, out = write_layer(made.annotations, tmp_path / "layer.arrow").path, tmp_path / "out"
    obfuscate_dataset(elsewhere, layer, out, workers=2)
    with planted_detectors():
        summary = verify_dataset(elsewhere, out, layer, QUIET, workers=2)
        assert summary.extra["overall"] == "passed"
        assert summary.counts["passed"] == 6
        assert summary.counts["n_regions"] == 4
        # One is put back as it was, another changes at the source.
        bad, moved = [name for name, row in outcomes(out).items() if row.n_regions][:2]
        shutil.copyfile(elsewhere / bad, out / bad)
        (elsewhere / moved).write_bytes((elsewhere / moved).read_bytes() + b"\0")
        verify_dataset(elsewhere, out, layer, QUIET, workers=2)
    found = {
        row.image_id: (row.verdict, {finding.code for finding in row.findings})
        for row in VerdictTable(tmp_path / "out.veilset" / "verify")
        if row.findings
    }
    assert found[moved] == (Verdict.ERROR, {"original-changed"})
    verdict, codes = found[bad]
    assert verdict is Verdict.LEAK
    assert {"digest", "shows-through"} <= codes
    with pytest.raises(AnnotationError, match="another annotation set"):
        verify_dataset(elsewhere, out, made.annotations, QUIET)
    layer.unlink()
    other = write_layer(made.annotations, layer, LayerConfig(seed=1)).path
    with pytest.raises(AnnotationError, match="another redaction layer"):
        verify_dataset(elsewhere, out, other, QUIET)


def test_the_layer_decides_and_another_setting_is_refused(made: Release, tmp_path: Path) -> None:
    layer = write_layer(made.annotations, tmp_path / "layer.arrow", LayerConfig("mosaic")).path
    for setting, value in {
        "method": "blackout", "seed": 3, "kinds": ("plate",), "metadata": "strip", "quality": 50,
        "min_score": 0.5, "parameters": {"cells": 2},
    }.items():  # fmt: skip
        config = ObfuscateConfig(**{setting: value})  # type: ignore[arg-type]  # each of its own type
        with pytest.raises(ConfigError, match=f"decides {setting}"):
            obfuscate_dataset(made.photos, layer, tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


def test_a_method_of_another_version_is_refused(
    made: Release, tmp_path: Path, announce: Announce
) -> None:
    announce(make_noise)
    layer = write_layer(made.annotations, tmp_path / "layer.arrow", LayerConfig("noise")).path
    announce(make_noise_2)
    with pytest.raises(PluginError, match="version 1 of the method 'noise', and version 2"):
        obfuscate_dataset(made.photos, layer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_layer_is_never_written_over(made: Release, tmp_path: Path) -> None:
    path = write_layer(made.annotations, tmp_path / "layer.arrow").path
    with pytest.raises(RunError, match="is there already"):
        write_layer(made.annotations, path)
    with pytest.raises(ConfigError, match=r"ends with \.arrow"):
        write_layer(made.annotations, tmp_path / "layer.parquet")


def test_nothing_but_boxes_and_kinds_is_published(made: Release, tmp_path: Path) -> None:
    layer = Layer(write_layer(made.annotations, tmp_path / "layer.arrow").path)
    known = [row for row in AnnotationSet(made.annotations) if row.status is Status.LOOKED]
    for row in known:
        found = layer.find(ImageRecord(row.image_id), row.sha256)
        assert [r.box_xyxy for r in found.regions] == [r.box_xyxy for r in row.regions]
        assert all(r.score is None and not r.landmarks_xy for r in found.regions)
    assert any(row.regions and row.regions[0].score is not None for row in known)


def test_what_was_withdrawn_is_not_in_the_next_layer(made: Release, tmp_path: Path) -> None:
    release = made.copy(tmp_path / "copy")
    remove_images(release.out, RemoveConfig(image_ids=("a/one.jpg",), reason="asked for"))
    summary = write_layer(release.annotations, tmp_path / "new.arrow", record=release.record)
    assert summary.left_out == {"could_not_look": 1, "removed": 1}
    assert summary.n_images == 5
    obfuscate_dataset(release.photos, summary.path, tmp_path / "out", workers=2)
    assert outcomes(tmp_path / "out")["a/one.jpg"].reason == "not-looked"
    with pytest.raises(RunError, match="no folder of records"):
        write_layer(release.annotations, tmp_path / "x.arrow", record=release.out)


def veilset(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAM), *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_line_makes_and_applies_one(
    made: Release, elsewhere: Path, tmp_path: Path
) -> None:
    layer, out = tmp_path / "layer.arrow", tmp_path / "out"
    done = veilset("layer", made.annotations, layer, "--method", "mosaic", "--no-names", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_regions"] == 4
    assert "1 could not look" in done.stderr
    done = veilset("obfuscate", elsewhere, "--layer", layer, "-o", out, "--method", "mosaic")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Leave --method out" in done.stderr
    done = veilset("obfuscate", elsewhere, "--layer", layer, "-o", out, "-q")
    assert done.returncode == 3, done.stderr
    assert len(list(out.iterdir())) == 6
    for words in (["--layer", str(layer), "-a", "x"], []):
        refused = CliRunner().invoke(app, ["verify", str(elsewhere), str(out), *words])
        assert refused.exit_code == 2
        assert "--layer LAYER.arrow" in refused.output
    with pytest.raises(ConfigError, match=r"no redaction layer .*no\.arrow"):
        opt.one_of_two(None, tmp_path / "no.arrow")
