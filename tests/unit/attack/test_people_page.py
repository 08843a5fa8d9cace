# SPDX-License-Identifier: Apache-2.0
"""The page and the key: nothing that tells an answer is in the page, and all of it in the key."""

from __future__ import annotations

import base64
import io
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.unit.attack.people_drawn import (
    BEGUN,
    MAN,
    SECRET,
    SETTINGS,
    drawn_material,
    page_data,
)
from veilset.attack.people.asking import Material, write_questions
from veilset.attack.people.drawing import make_questions
from veilset.attack.people.key import Begun, Key, begin_key, read_begun, read_key, write_key
from veilset.attack.people.page import render_page
from veilset.attack.people.pictures import encode
from veilset.attack.people.questions import Plan
from veilset.attack.people.secret import Secret
from veilset.errors import ConfigError

PLAN = Plan(SETTINGS, per_setting=3, n_packs=2, seed=7)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("people")
    write_questions(drawn_material(), PLAN, out, contact="A & B <a@b.example>")
    return out


def pages(written: Path) -> list[str]:
    return [path.read_text("utf-8") for path in sorted((written / "pages").iterdir())]


def test_page_tells_no_answer(written: Path) -> None:
    key = read_key(written / "key.json")
    told = {MAN, "answer_", "person"}
    for each in (each for pack in key.packs.values() for each in pack):
        told |= {each.person, each.probe, *each.shown, *each.people}
    for text in pages(written):
        # The words of the page itself may say "clear" or "blurred"; its data must not.
        data = json.dumps(page_data(text))
        assert not [word for word in told if word in data]
        assert not [name for name in SETTINGS if name in re.sub(r"base64,[^\"]*", "", data)]
        own = {each["id"] for each in page_data(text)["questions"]}
        (pack,) = [asked for asked in key.packs.values() if asked[0].question_id in own]
        assert own == {each.question_id for each in pack}
        allowed = {"answers_format", "pack", "ratio", "questions", "pictures"}
        assert set(page_data(text)) == allowed
        assert {name for each in page_data(text)["questions"] for name in each} == {
            "id", "probe", "shown",
        }  # fmt: skip


def test_pictures_are_encoded_anew_under_random_names(written: Path) -> None:
    seen: set[str] = set()
    for text in pages(written):
        pictures = page_data(text)["pictures"]
        assert list(pictures) == sorted(pictures)
        assert not seen & set(pictures)
        seen |= set(pictures)
        for name, uri in pictures.items():
            assert re.fullmatch(r"[0-9a-f]{16}", name)
            content = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
            with PillowImage.open(io.BytesIO(content)) as picture:
                picture.load()
                assert not set(picture.info) & {"exif", "icc_profile", "xmp", "comment"}
            assert not re.search(rb"EXIF|XMP |ICCP|VP8X", content[:64])


def test_page_shows_what_the_key_says(written: Path) -> None:
    """Follow each picture of the page back: its colour is that of its person."""
    material = drawn_material()
    key = read_key(written / "key.json")
    for text in pages(written):
        data = page_data(text)
        asked = {each.question_id: each for each in key.packs[data["pack"]]}
        for each in data["questions"]:
            question = asked[each["id"]]
            assert_looks_like(data["pictures"][each["probe"]], material, question.setting,
                              question.probe)  # fmt: skip
            for name, image_id in zip(each["shown"], question.shown, strict=True):
                assert_looks_like(data["pictures"][name], material, "clear", image_id)


def assert_looks_like(uri: str, material: Material, setting: str, image_id: str) -> None:
    content = base64.b64decode(uri.partition(",")[2])
    with PillowImage.open(io.BytesIO(content)) as picture:
        found = np.asarray(picture.convert("RGB")).mean(axis=(0, 1))
    assert found == pytest.approx(material.picture(setting, image_id).mean(axis=(0, 1)), abs=4)


def test_page_asks_nobody_and_runs_nothing_else(written: Path) -> None:
    text = pages(written)[0]
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert "https:" not in text
    assert "http:" not in text
    assert "<a@b.example>" not in text
    assert "A &amp; B &lt;a@b.example&gt;" in text
    assert text.count("<script") == 2


def test_digest_follows_pictures_and_questions() -> None:
    material = drawn_material()
    (pack,) = make_questions(material.candidates, Plan(SETTINGS, per_setting=1), SECRET)
    first = render_page(pack, material.picture, secret=SECRET)
    assert first == render_page(pack, material.picture, secret=SECRET)
    others = [
        render_page(pack, lambda *of: material.picture(*of) // 2, secret=SECRET),
        render_page(pack[::-1], material.picture, secret=SECRET),
        render_page(pack, material.picture, secret=Secret(bytes(16))),
    ]
    assert len({each.sha256 for each in (first, *others)}) == 4


def test_no_name_of_a_page_follows_from_the_seed() -> None:
    """The questions are the same, and so is the seed: only the secret is another."""
    material = drawn_material()
    (pack,) = make_questions(material.candidates, Plan(SETTINGS, per_setting=1), SECRET)
    names = [
        set(page_data(render_page(pack, material.picture, secret=each).html.decode())["pictures"])
        for each in (SECRET, Secret(bytes(16)))
    ]
    assert len(names[0]) == len(names[1]) > 9
    assert not names[0] & names[1]


def test_key_is_private_and_never_overwritten(written: Path) -> None:
    path = written / "key.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is there already, and answers may belong to it"):
        write_questions(drawn_material(), PLAN, written)
    with pytest.raises(ConfigError, match="is there already"):
        write_key(path, read_key(path), BEGUN)
    with pytest.raises(ConfigError, match="is there already"):
        begin_key(path, BEGUN)
    assert path.read_bytes() == before
    assert {each.name for each in written.iterdir()} == {"key.json", "pages"}


def test_key_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    packs = make_questions(drawn_material().candidates, PLAN, SECRET)
    key = Key(SETTINGS, {"a" * 64: packs[0], "b" * 64: packs[1]}, 9)
    assert read_begun(path) is None
    begin_key(path, BEGUN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_begun(path) == BEGUN
    write_key(path, key, BEGUN)
    found = read_key(path)
    assert (found.settings, found.packs, found.n_shown) == (key.settings, key.packs, 9)
    assert len(found.sha256) == 64
    assert json.loads(path.read_bytes())["secret"] == SECRET.data.hex()


def test_a_key_of_before_there_were_secrets_is_read(written: Path, tmp_path: Path) -> None:
    told = json.loads((written / "key.json").read_bytes())
    del told["secret"], told["drawn_from"]
    (tmp_path / "key.json").write_text(json.dumps(told))
    assert read_key(tmp_path / "key.json").packs == read_key(written / "key.json").packs


def test_a_key_that_was_begun_is_kept_and_counts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    begin_key(path, BEGUN)
    with pytest.raises(ConfigError, match=r"key\.json is not whole.*Run it again"):
        read_key(path)
    other = Begun(Secret(bytes(16)), BEGUN.drawn_from)
    with pytest.raises(ConfigError, match="is there already"):
        begin_key(path, other)
    with pytest.raises(ConfigError, match="is there already"):
        write_key(path, Key((), {}, 9), other)
    assert read_begun(path) == BEGUN


def _moved(told: dict[str, Any]) -> None:
    told["packs"][0]["questions"][0]["answer"] %= 9
    told["packs"][0]["questions"][0]["answer"] += 1


def _renamed(told: dict[str, Any]) -> None:
    told["packs"][0]["questions"][0]["setting"] = "other"


@pytest.mark.parametrize(
    "damage",
    [_moved, _renamed, lambda told: told.pop("packs"), lambda told: told.update(format="else")],
)
def test_damaged_key_is_refused(
    written: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    told = json.loads((written / "key.json").read_bytes())
    damage(told)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match="is no key, or damaged"):
        read_key(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"12"])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no key, or damaged"):
        read_key(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_key(tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="is there already"):
        read_begun(path)


def test_pictures_are_made_smaller_never_larger() -> None:
    def size(content: bytes) -> tuple[int, int]:
        with PillowImage.open(io.BytesIO(content)) as picture:
            return picture.size

    assert size(encode(np.zeros((30, 20, 3), np.uint8), 100)) == (20, 30)
    assert size(encode(np.zeros((300, 200, 3), np.uint8), 150)) == (100, 150)
    assert size(encode(np.zeros((1, 900, 3), np.uint8), 90)) == (90, 1)
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ConfigError, match="A picture has the shape"):
            encode(wrong, 9)  # type: ignore[arg-type]  # what the test is about
