# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.report.drawn_attack import OVERLAY, VEIL, write_attack
from tests.unit.report.drawn_release import METHOD, DrawnRelease, many_images
from veilset.attack.config import LEARNED
from veilset.errors import RunError
from veilset.records.attacks import LEARNED_FROM_STRANGERS
from veilset.report.attacked import (
    attack_commands,
    attack_data,
    attack_section,
    read_attacked,
    sentence,
)
from veilset.report.stage import write_report
from veilset.runs import FINISHED


@pytest.fixture
def release(tmp_path: Path) -> DrawnRelease:
    return DrawnRelease(tmp_path / "work", many_images(5)).write()


def test_a_release_is_known_by_its_method(tmp_path: Path) -> None:
    folder = write_attack(tmp_path / "attack")
    assert read_attacked(folder, {**VEIL, "summary": "more"}).setting == "veil:cells=6"
    # Not "filled", although it is the same method: that is no choice.
    assert read_attacked(folder, OVERLAY).setting == "overlay"


def test_a_model_is_known_by_its_digest_wherever_it_lies(tmp_path: Path) -> None:
    def drawn(model: str, sha256: str) -> dict[str, Any]:
        parameters = {"model": model, "model_sha256": sha256, "enlarge": 0.1}
        return {"name": "synthesize", "version": 1, "parameters": parameters}

    there, here, other = drawn("/there/g", "ab"), drawn("g", "ab"), drawn("g", "cd")
    attack = write_attack(tmp_path / "attack", there)
    assert read_attacked(attack, here).setting == "veil:cells=6"
    with pytest.raises(RunError, match="is not of this release's method"):
        read_attacked(attack, other)


@pytest.mark.parametrize(
    "changed",
    [{"version": 2}, {"parameters": {"cells": 8, "enlarge": 0.2}}, {"name": "mosaic"}],
)
def test_another_method_is_refused_with_the_way_to_attack_it(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    folder = write_attack(tmp_path / "attack")
    says = r"it has: overlay, veil:cells=6\)\. Attack it with --method \w+:cells=\d,enlarge=0\.2,"
    with pytest.raises(RunError, match=says) as told:
        read_attacked(folder, VEIL | changed)
    assert "\n" not in str(told.value)


def test_a_release_whose_method_is_not_on_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="by which method its faces are hidden"):
        read_attacked(write_attack(tmp_path / "attack"), {})


def test_a_folder_without_an_attack_is_refused(tmp_path: Path) -> None:
    folder = write_attack(tmp_path / "attack")
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"stage": "attack"', '"stage": "detect"'))
    with pytest.raises(RunError, match="holds no finished attack"):
        read_attacked(folder, VEIL)
    with pytest.raises(RunError, match=r"run\.json is missing"):
        read_attacked(tmp_path, VEIL)


def test_the_sentence_tells_all_four_levels(tmp_path: Path) -> None:
    told = sentence(read_attacked(write_attack(tmp_path / "attack"), VEIL))
    for words in (
        "(parrot-pixels) names 35.5 % (31.5 to 41.5)", "guessing names 5.0 %",
        "clear faces 99.0 %", "more than what faces filled with one colour let through (7.0 %",
    ):  # fmt: skip
        assert words in told
    plain = sentence(read_attacked(tmp_path / "attack", OVERLAY))
    assert "not told apart from what faces filled" in plain


def test_fewer_than_filled_faces_is_said(tmp_path: Path) -> None:
    attacked = read_attacked(write_attack(tmp_path / "attack"), OVERLAY)
    mine = attacked.results.standing("overlay")
    assert mine is not None
    mine["beyond_filled"].update(low=-0.15, high=-0.03)
    told = sentence(attacked)
    assert "That is fewer than what faces filled with one colour let through" in told
    assert "-15.0 to -3.0 points" in told


def test_section_data_and_command(tmp_path: Path) -> None:
    attacked = read_attacked(write_attack(tmp_path / "attack"), VEIL)
    page = attack_section(attacked)
    assert page.count("this release&#x27;s method") + page.count("this release's method") == 1
    assert "<svg" in page
    assert "80 of their" in page
    data = attack_data(attacked)
    assert data is not None
    assert [each["setting"] for each in data["standings"]][:2] == ["clear", "filled"]
    assert attack_commands(attacked) == [
        "veilset attack run FACES -a FACES.ANN -o ATTACK --identities PEOPLE --method overlay "
        "--method veil:cells=6 --only recognise --only parrot-pixels --strangers "
        "--recogniser dlib --seed 1"
    ]
    assert "Attacks that were tried: recognise, parrot-pixels. Recogniser: dlib." in page
    # Neither of the two that can had been asked for.
    assert "strangers" not in page
    assert (attack_section(None), attack_data(None), attack_commands(None)) == ("", None, [])


def test_who_learned_from_strangers_is_named(tmp_path: Path) -> None:
    path = write_attack(tmp_path / "attack") / FINISHED
    told = json.loads(path.read_text())
    told["extra"]["attacks"].append("parrot-student")
    path.write_text(json.dumps(told))
    page = attack_section(read_attacked(path.parent, VEIL))
    assert "dlib. parrot-student had 1,500 faces of strangers to learn from too." in page
    assert set(LEARNED_FROM_STRANGERS) <= set(LEARNED)


def test_the_page_of_a_release_tells_it(release: DrawnRelease, tmp_path: Path) -> None:
    attack = write_attack(tmp_path / "attack", METHOD)
    page = write_report(release.out, attack=attack)
    text = page.read_text()
    assert "What it buys" in text
    assert str(tmp_path) not in text
    data = json.loads(page.with_suffix(".json").read_bytes())
    assert data["attack"]["setting"] == "veil:cells=6"
    (command,) = (each for each in data["commands"] if "attack run" in each)
    assert command.startswith("veilset attack run FACES -a FACES.ANN -o ATTACK --identities")
    plain = write_report(release.out)
    assert "What it buys" not in plain.read_text()
    assert json.loads(plain.with_suffix(".json").read_bytes())["attack"] is None
