# SPDX-License-Identifier: Apache-2.0
"""The command line as people use it: a real process, on the demo's photographs."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from demo_photos import make_photos
from tests.flow.command import command
from veilset.cli import main

PROGRAM = Path(sys.executable).with_name("veilset")


def veilset(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "photos"
    make_photos(folder)
    return folder


@pytest.fixture(scope="module")
def release(photos: Path) -> Path:
    """The output of one whole run, its result beside it."""
    out = photos.parent / "private"
    done = veilset("run", photos, out, "--effort", "fast", "--json")
    (photos.parent / "result.json").write_text(done.stdout)
    return out


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_run_hides_every_face_and_nothing_else(photos: Path, release: Path) -> None:
    result = json.loads((photos.parent / "result.json").read_text())
    assert result["detect"]["counts"]["looked"] == 11
    assert result["obfuscate"]["counts"]["obfuscated"] >= 6
    assert "failed" not in result["obfuscate"]["counts"]
    assert "leak" not in result["verify"]["counts"]
    names = {str(p.relative_to(photos)) for p in photos.rglob("*.*")}
    assert {str(p.relative_to(release)) for p in release.rglob("*.*")} == names
    for name in ("things/coffee.jpg", "things/rocket.jpg"):
        assert np.array_equal(pixels(photos / name), pixels(release / name))
    before, after = (pixels(f / "portraits/astronaut.jpg") for f in (photos, release))
    face, boots = (slice(60, 130), slice(195, 255)), (slice(300, 512), slice(0, 512))
    assert np.array_equal(before[boots], after[boots])
    assert np.abs(before[face].astype(int) - after[face]).mean() > 10


def test_nothing_of_place_and_owner_is_left(photos: Path, release: Path) -> None:
    name = "portraits/sideways.jpg"
    assert b"owner of this camera" in (photos / name).read_bytes()
    data = (release / name).read_bytes()
    assert b"owner of this camera" not in data
    with Image.open(release / name) as image:
        assert image.getexif().get(274) == 6
        assert not image.getexif().get_ifd(0x8825)


def test_records_are_tables_that_anything_reads(release: Path) -> None:
    record = release.with_name("private.veilset")
    found = pq.read_table(record / "annotations" / "shard-00000.parquet").to_pylist()
    crowd = next(row for row in found if row["image_id"] == "crowds/wall.jpg")
    assert len(crowd["regions"]) >= 10
    outcomes = pq.read_table(record / "obfuscate" / "shard-00000.parquet").to_pylist()
    assert {row["outcome"] for row in outcomes} == {"obfuscated", "untouched"}
    page = (record / "report.html").read_text()
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", page)


def test_step_by_step_gives_what_run_gives(photos: Path, release: Path, tmp_path: Path) -> None:
    ann, out = tmp_path / "ann", tmp_path / "out"
    done = veilset("detect", photos, "-o", ann, "--effort", "fast", "--workers", "1")
    assert done.stdout.strip() == str(ann)
    assert "11 looked" in done.stderr
    veilset("obfuscate", photos, "-a", ann, "-o", out, "--method", "veil", "--workers", "1")
    veilset("verify", photos, out, "-a", ann, "--workers", "1")
    page = veilset("report", out, "-a", ann).stdout.strip()
    assert Path(page).is_file()
    for path in release.rglob("*.*"):
        assert path.read_bytes() == (out / path.relative_to(release)).read_bytes()


def test_manifest_is_checked_later(release: Path, tmp_path: Path) -> None:
    manifest = release.with_name("private.veilset") / "verify" / "manifest.json"
    veilset("verify", "--manifest", manifest, release)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", release, copy], check=True)
    victim = copy / "things" / "coffee.jpg"
    victim.write_bytes(victim.read_bytes() + b"\0")
    done = veilset("verify", "--manifest", manifest, copy, code=3)
    assert done.stdout == "changed\tthings/coffee.jpg\n"


def test_a_finished_run_is_finished(photos: Path, release: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in release.rglob("*.*")}
    veilset("run", photos, release, "--effort", "fast")
    assert {p: p.stat().st_mtime_ns for p in release.rglob("*.*")} == before


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["detect", "nowhere", "-o", "ann"], 1, "There is no folder nowhere. Check the path."),
        (["detect", "PHOTOS", "-o", "ann", "--detector", "centreface"], 1, "Did you mean"),
        (["detect", "PHOTOS", "-o", "PHOTOS/ann"], 1, "lie in each other"),
        (["detect", "PHOTOS", "-o", "ann", "--workers", "0"], 1, "Give at least 1"),
        (["detect", "PHOTOS", "-o", "ann", "--effort", "huge"], 1, "huge"),
        (["detect", "PHOTOS", "-o", "ann", "--threshold", "7"], 1, "Threshold 7.0 is not a score"),
        (["run", "PHOTOS", "FULL"], 1, "is not empty"),
        (["run", "PHOTOS", "out", "--method", "veill"], 1, "Did you mean 'veil'?"),
        (["run", "PHOTOS", "out", "--set", "cels=3"], 1, "has no parameter 'cels'"),
        (["run", "PHOTOS", "out", "--set", "cells"], 1, "NAME=VALUE"),
        (["run", "PHOTOS", "out", "--method", "synthesize"], 1, "--set model="),
        (["run", "PHOTOS", "out", "--metadata", "all"], 1, "no metadata policy 'all'"),
        (["obfuscate", "PHOTOS", "-a", "FULL", "-o", "out"], 1, "holds no run of Veilset"),
        (["verify", "PHOTOS"], 2, "Give PHOTOS OUT -a ANNOTATIONS"),
        (["plugins", "--kind", "toaster"], 1, "no plugins of kind 'toaster'"),
        (["detect"], 2, "Missing argument"),
    ],
)
def test_bad_input_gets_one_clear_sentence(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "holiday.txt").touch()
    swap = {"PHOTOS": str(photos), "FULL": str(full)}
    words = [swap.get(w, w.replace("PHOTOS", str(photos))) for w in arguments]
    monkeypatch.chdir(tmp_path)
    done = command(*words, code=code)
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in full.iterdir()) == ["holiday.txt"]
    assert not (tmp_path / "out.veilset").exists(), "hours of detection come after all checks"
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_known_error_is_a_status_and_one_sentence(tmp_path: Path) -> None:
    said = veilset("detect", tmp_path / "nowhere", "-o", tmp_path / "ann", code=1).stderr
    assert said == f"veilset: There is no folder {tmp_path / 'nowhere'}. Check the path.\n"


def test_ctrl_c_is_a_status_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("veilset.detect.stage.detect_dataset", stop)
    monkeypatch.setattr(sys, "argv", ["veilset", "detect", str(tmp_path), "-o", "ann"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "veilset: stopped. Run the same command again to go on.\n"


def test_the_package_is_the_command_line_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "veilset", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == veilset("--version").stdout


def test_version_and_plugins() -> None:
    assert veilset("--version").stdout.startswith("veilset 0.")
    lines = veilset("plugins", "--kind", "obfuscator").stdout.splitlines()
    assert any(line.split()[:2] == ["obfuscator", "veil"] for line in lines)
    assert {p["kind"] for p in json.loads(veilset("plugins", "--json").stdout)} == {
        "classifier", "detector", "engine", "face-estimator", "obfuscator", "recogniser",
    }  # fmt: skip


def test_help_tells_every_exit_code() -> None:
    codes = re.findall(r"(\d+) [a-z]", command("--help").stdout.partition("Exit codes:")[2])
    assert codes == ["0", "1", "2", "3", "130"]


def test_help_is_quick() -> None:
    def seconds() -> float:
        """Processor time of a whole process: other work on the machine does not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        veilset("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # A busy neighbour on the same core makes one of them slow, hardly all.
    assert any(seconds() < 0.5 for _ in range(15))
