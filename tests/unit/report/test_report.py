# SPDX-License-Identifier: Apache-2.0
"""The report as a whole: what it says, what it must never say, what it must never hold."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PilImage

from tests.unit.report.drawn_release import (
    HOSTILE,
    ORIGINALS,
    DrawnRelease,
    Image,
    leak,
    many_images,
    region,
    review,
)
from veilset.errors import AnnotationError, ConfigError, DatasetError, RunError
from veilset.protocols import EFFORTS, PRECISIONS
from veilset.records.verdicts import Finding, Level, write_verdicts
from veilset.report.stage import ReportConfig, write_report

FACE = (region(60, 40, 80),)
Make = Callable[..., DrawnRelease]


class Elements(HTMLParser):
    """Collects the elements of a page, and the text outside of its style sheet."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def release(tmp_path: Path) -> Make:
    """Write a release of some images, with the records of the stages that are named."""

    def make(images: list[Image], *stages: str, **settings: Any) -> DrawnRelease:
        return DrawnRelease(tmp_path, images, **settings).write(*stages)

    return make


def read(page: Path) -> tuple[str, dict[str, Any]]:
    """Give the text of a page and its numbers."""
    return page.read_text(encoding="utf-8"), json.loads(page.with_suffix(".json").read_bytes())


def small(**changes: Any) -> list[Image]:
    """Give three images: one with a face (which takes the changes), one without, one broken."""
    return [
        replace(Image("a/face.jpg", FACE), **changes),
        Image("a/none.jpg"),
        Image("b/broken.jpg", reason="truncated", message="The file ends too early."),
    ]


def test_numbers_are_those_of_the_records(release: Make) -> None:
    images = [
        Image("a.jpg", (region(0, 0, 10, 0.4), region(50, 50, 33, 0.97))),
        Image("b.jpg", (region(9, 9, 100, None),)),
        *small(),
    ]
    page, data = read(write_report(release(images).out))
    assert data["verdict"]["code"] == "passed"
    assert data["searched"]["statuses"] == {"could_not_look": 1, "looked": 4}
    assert data["searched"]["n_found_none"] == 1
    assert data["produced"]["outcomes"] == {"failed": 1, "obfuscated": 3, "untouched": 1}
    assert data["produced"]["n_regions"] == data["searched"]["n_regions"] == 4
    histograms = data["searched"]["histograms"]
    assert histograms["shorter_side"]["n"] == 4
    assert histograms["score"]["n"] == 3, "what a person drew has no score"
    assert histograms["regions_in_image"]["counts"][:3] == [1, 2, 1]
    assert "Passed: no leak found" in Elements(page).text


@pytest.mark.parametrize(
    ("findings", "code", "title"),
    [
        ((), "passed", "Passed: no leak found"),
        ((review(),), "passed", "Passed: no leak found"),
        ((leak(),), "leak", "1 file with a leak"),
        ((Finding("missing", Level.ERROR, "It is gone."),), "unchecked", "could not be checked"),
        ((leak(), Finding("missing", Level.ERROR, "It is gone.")), "leak", "with a leak"),
    ],
)
def test_verdict(release: Make, findings: tuple[Finding, ...], code: str, title: str) -> None:
    page, data = read(write_report(release(small(findings=findings)).out))
    assert data["verdict"]["code"] == code
    assert title in data["verdict"]["title"]
    assert title in Elements(page).text
    assert ("Do not publish" in page) == (code != "passed")


@pytest.mark.parametrize(
    ("stages", "code"),
    [(("detect", "obfuscate"), "not_verified"), (("detect",), "not_obfuscated")],
)
def test_what_was_not_verified_never_reads_as_passed(
    release: Make, stages: tuple[str, ...], code: str
) -> None:
    page, data = read(write_report(release(small(), *stages).out))
    assert data["verdict"]["code"] == code
    assert data["verified"] is None
    assert "Passed" not in page
    assert "<img" not in page


def test_verification_of_an_earlier_output_does_not_count(release: Make) -> None:
    made = release(small())
    shutil.rmtree(made.record / "obfuscate")
    made.images = small()[1:]
    made.write("obfuscate")
    page, data = read(write_report(made.out))
    assert data["verdict"]["code"] == "not_verified"
    assert "made again since" in page
    assert "<img" not in page


def test_unfinished_verification_does_not_count(release: Make) -> None:
    made = release(small())
    (made.record / "verify" / "run.json").unlink()
    page, data = read(write_report(made.out))
    assert data["verdict"]["code"] == "not_verified"
    assert data["stages"]["verify"]["state"] == "unfinished"
    assert "stopped before its end" in page


def test_nothing_published_is_not_a_pass(release: Make) -> None:
    _, data = read(write_report(release(small()[2:]).out))
    assert data["verdict"]["code"] == "empty"


def test_annotations_of_another_release_are_refused(release: Make, tmp_path: Path) -> None:
    made = release(small())
    other = DrawnRelease(tmp_path / "other", small()[:1]).write("detect")
    with pytest.raises(AnnotationError, match="not the one that was obfuscated"):
        write_report(made.out, other.annotations)


def test_missing_records_are_refused(release: Make, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no finished record"):
        write_report(tmp_path / "nothing")
    with pytest.raises(AnnotationError, match=r"run\.json is missing"):
        write_report(release(small()).out, tmp_path / "no-annotations")


def test_damaged_table_is_refused(release: Make) -> None:
    made = release(small())
    (made.record / "obfuscate" / "shard-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="damaged"):
        write_report(made.out)


def test_lost_verdicts_are_refused(release: Make) -> None:
    made = release(small(findings=(leak(),)), shard_size=1)
    write_verdicts(made.record / "verify", 0, [])
    with pytest.raises(DatasetError, match=r"has 2 images, its run\.json says 3"):
        write_report(made.out)


def test_page_never_lies_in_the_output(release: Make) -> None:
    made = release(small())
    with pytest.raises(RunError, match="be published with it"):
        write_report(made.out, page=made.out / "report.html")
    with pytest.raises(RunError, match=r"ends in \.html"):
        write_report(made.out, page=made.record / "report.json")


@pytest.mark.parametrize("name", ["mine.html", "mine.json"])
def test_only_a_report_is_written_over(release: Make, tmp_path: Path, name: str) -> None:
    out = release(small()).out
    page = tmp_path / "mine.html"
    (tmp_path / name).write_text('{"format": "somebody else\'s"}')
    with pytest.raises(RunError, match=rf"{name} is there, and is no report .* another place"):
        write_report(out, page=page)
    assert (tmp_path / name).read_text() == '{"format": "somebody else\'s"}'
    (tmp_path / name).unlink()
    first = write_report(out, page=page).read_bytes()
    assert write_report(out, page=page).read_bytes() == first


def test_config_is_checked() -> None:
    with pytest.raises(ConfigError, match="n_thumbnails is 61"):
        ReportConfig(n_thumbnails=61)


def test_page_makes_no_request_and_runs_nothing(release: Make) -> None:
    page, _ = read(write_report(release(many_images(60)).out))
    elements = Elements(page)
    assert not {tag for tag, _ in elements.found} & {
        "script", "iframe", "object", "embed", "base", "form", "video", "audio", "use", "image",
    }  # fmt: skip
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes, "the policy would refuse it"
        for name in ("src", "href", "srcset", "data", "poster", "action", "xlink:href"):
            value = attributes.get(name) or ""
            assert not value or value.startswith(("data:", "#")), (tag, value)
    assert "@import" not in page
    assert "url(" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_policy_admits_exactly_the_style_of_the_page(release: Make) -> None:
    import hashlib

    page, _ = read(write_report(release(small()).out))
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = Elements(page).all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize(
    "name",
    [HOSTILE, "</title><script>alert(1)</script>.jpg", "$policy ${x} $$.jpg", "😀🧑‍🌾.jpg",
     "\\udcff.jpg", "a\u202egpj.exe", "line\nbreak.jpg", "--><svg onload=alert(1)>.jpg"],
)  # fmt: skip
def test_hostile_names_stay_text(release: Make, name: str) -> None:
    name = name.replace("/", "∕")  # noqa: RUF001  a slash would be a folder
    images = [
        Image(f"ok/{name}", FACE),
        Image(f"bad/{name}", reason="unreadable", message=f"{name} cannot be read."),
        Image(f"leak/{name}", FACE, findings=(leak(), review())),
    ]
    images.sort(key=lambda image: image.image_id.split("/"))
    page, data = read(write_report(release(images).out))
    elements = Elements(page)
    assert not elements.all("script")
    assert len(elements.all("svg")) == page.count("<svg ")
    assert all(
        (each["src"] or "").startswith("data:image/jpeg;base64,") for each in elements.all("img")
    )
    assert data["shown"] == [f"ok/{name}"]
    assert data["failures"]["first"][0]["image_id"] == f"bad/{name}"
    shown = name.replace("\u202e", "\\u202e").replace("\n", "\\x0a")
    assert f"bad/{shown}" in elements.text
    assert "\u202e" not in page


def test_no_place_of_the_machine_is_told(release: Make, tmp_path: Path) -> None:
    message = f"{ORIGINALS}/b/broken.jpg cannot be read; see /var/log/veilset/x.log."
    images = [*small()[:2], Image("b/broken.jpg", reason="unreadable", message=message)]
    page, data = read(write_report(release(images).out))
    for text in (page, json.dumps(data)):
        assert ORIGINALS not in text
        assert "ann lee" not in text
        assert str(tmp_path) not in text
        assert "/var/log" not in text
        assert "my models" not in text
        assert "/usr/lib" not in text
    assert "photos/b/broken.jpg cannot be read; see …/x.log." in page
    assert data["source"] == "photos"


def test_same_records_give_the_same_bytes(release: Make, tmp_path: Path) -> None:
    made = release(many_images(80))
    pages = [write_report(made.out, page=tmp_path / f"{i}" / "p.html") for i in range(2)]
    first, second = ([page.read_bytes(), page.with_suffix(".json").read_bytes()] for page in pages)
    assert first == second


def test_shards_do_not_change_the_page(tmp_path: Path) -> None:
    texts = []
    for shard_size in (7, 100):
        made = DrawnRelease(tmp_path / str(shard_size), many_images(40), shard_size=shard_size)
        _, data = read(write_report(made.write().out))
        texts.append([data[key] for key in ("searched", "produced", "verified", "shown")])
    assert texts[0] == texts[1]


def test_long_lists_are_cut_and_counted(release: Make) -> None:
    broken = [Image(f"{i:03d}.jpg", reason="truncated", message="Short.") for i in range(230)]
    page, data = read(write_report(release(broken).out))
    assert data["failures"]["n"] == 230
    assert len(data["failures"]["first"]) == 200
    assert "The first 200 of 230 are listed. All of them are in " in Elements(page).text
    assert "obfuscate/shard-*.parquet" in page
    assert "199.jpg" in page
    assert "200.jpg" not in page


def test_a_page_without_pictures_has_all_numbers(release: Make) -> None:
    made = release(small())
    _, full = read(write_report(made.out))
    page, data = read(write_report(made.out, config=ReportConfig(n_thumbnails=0)))
    assert full.pop("shown") == ["a/face.jpg"]
    assert data.pop("shown") == []
    assert data == full
    assert "<img" not in page


def test_estimates_carry_interval_and_n(release: Make) -> None:
    page, data = read(write_report(release(small()).out))
    (measured,) = data["measurements"]
    assert (measured["low"], measured["high"], measured["n"]) == (0.0, 0.168, 20)
    assert "0.00 % to 16.80 %" in page


def test_a_model_has_one_row_however_many_stages_used_it(release: Make) -> None:
    page, data = read(write_report(release(small()).out))
    assert [each["stage"] for each in data["models"]] == ["detect", "verify"]
    assert page.count("Star-Clouds") == 1
    assert "Detection, Verification" in page


def test_bottleneck_is_the_slowest_stage_and_its_dearest_step(release: Make) -> None:
    _, data = read(write_report(release(small()).out))
    worst = data["bottleneck"]
    assert (worst["stage"], worst["step"]) == ("detect", "detect")
    assert worst["share"] == pytest.approx(9.1 / (9.1 + 2.4 + 5.2))
    assert worst["step_share"] == pytest.approx(14.2 / (2.9 + 14.2))


def test_page_stays_small(release: Make) -> None:
    images = [Image(f"{i:03d}.jpg", FACE, size_wh=(1200, 900)) for i in range(30)]
    page = write_report(release(images).out)
    assert page.stat().st_size < 600_000
    for each in Elements(page.read_text(encoding="utf-8")).all("img"):
        jpeg = base64.b64decode((each["src"] or "").partition(",")[2])
        assert len(jpeg) <= 12 * 1024
        with PilImage.open(io.BytesIO(jpeg)) as picture:
            assert max(picture.size) <= 240
            assert picture.getexif() == {}


def test_every_command_that_is_shown_is_one_that_exists(release: Make) -> None:
    import typer

    from veilset.cli.app import app

    # It is a group, as an app of several commands is.
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    _, data = read(write_report(release(small()).out))
    assert [line.split()[1] for line in data["commands"]] == ["detect", "obfuscate", "verify"]
    for line in data["commands"]:
        known = {flag for parameter in verbs[line.split()[1]].params for flag in parameter.opts}
        words = line.split()
        assert {word for word in words if word.startswith("-")} <= known, line
        values = dict(pairwise(words))
        assert values.get("--precision", "full") in PRECISIONS
        assert values.get("--effort", "fast") in EFFORTS
