# SPDX-License-Identifier: Apache-2.0
"""Files of answers: what is counted, and what is refused with a sentence that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.attack.people_drawn import SETTINGS, drawn_material
from veilset.attack.people.answers import ANSWERS_FORMAT, CANNOT_TELL, read_answers
from veilset.attack.people.asking import Material, write_questions
from veilset.attack.people.key import Key, read_key
from veilset.attack.people.questions import Plan
from veilset.cli.attack_people import people_app
from veilset.errors import ConfigError

Told = dict[str, Any]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("asked")
    write_questions(drawn_material(), Plan(SETTINGS, per_setting=3), out)
    return out


@pytest.fixture(scope="module")
def key(asked: Path) -> Key:
    return read_key(asked / "key.json")


def answered(key: Key, assessor: int = 1, *, n_right: int = 9, n_given: int = 9) -> Told:
    """Give the answers of somebody who is right at first and cannot tell later."""
    ((pack, questions),) = key.packs.items()
    return {
        "format": ANSWERS_FORMAT,
        "pack": pack,
        "assessor": f"{assessor:032x}",
        "answers": [
            {
                "question": each.question_id,
                "choice": each.answer if i < n_right else CANNOT_TELL,
                "seconds": 2.5 + i,
            }
            for i, each in enumerate(questions[:n_given])
        ],
    }


def save(path: Path, told: object) -> Path:
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def test_answers_are_read(tmp_path: Path, key: Key) -> None:
    paths = [
        save(tmp_path / "a.json", answered(key, 1, n_right=4)),
        save(tmp_path / "b.json", answered(key, 2, n_given=5)),
    ]
    found = read_answers(paths, key)
    assert [each.is_right for each in found] == [True] * 4 + [False] * 5 + [True] * 5
    assert [each.choice is None for each in found[:9]] == [False] * 4 + [True] * 5
    assert found[1].seconds == 3.5
    assert len({each.assessor for each in found}) == 2


def test_a_file_without_answers_is_no_error(tmp_path: Path, key: Key) -> None:
    assert read_answers([save(tmp_path / "a.json", answered(key, n_given=0))], key) == ()


def _first(**changes: object) -> Callable[[Told], None]:
    return lambda told: told["answers"][0].update(changes)


DAMAGES: list[tuple[Callable[[Told], object], str]] = [
    (lambda told: told.update(pack="0" * 64), "answers other questions than this key has"),
    (lambda told: told.update(format="veilset people answers 2"), "another version of Veilset"),
    (lambda told: told.update(assessor="me"), "the number of the assessor is missing"),
    (lambda told: told.pop("assessor"), "the number of the assessor is missing"),
    (lambda told: told.update(answers={}), "the answers are missing"),
    (lambda told: told.update(pack=[]), "the answers are missing"),
    (lambda told: told["answers"].append(told["answers"][0]), "is answered twice, or was not"),
    (lambda told: told["answers"].append(7), "an answer is not a JSON object"),
    (_first(question="ffff"), "'ffff' is answered twice, or was not asked"),
    (_first(question=[]), r"\[\] is answered twice, or was not asked"),
    (_first(choice=0), "has the choice 0, which is neither 1 to 9 nor 'cannot tell'"),
    (_first(choice=10), "has the choice 10"),
    (_first(choice=True), "has the choice True"),
    (_first(choice=3.0), r"has the choice 3\.0"),
    (_first(choice="3"), "has the choice '3'"),
    (_first(choice=None), "has the choice None"),
    (_first(seconds=-1), "took -1 seconds"),
    (_first(seconds=float("nan")), "took nan seconds"),
    (_first(seconds=10**400), "took 1000"),
    (_first(seconds="4"), "took '4' seconds"),
    (_first(seconds=True), "took True seconds"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_what_no_page_saves_is_refused(
    tmp_path: Path, key: Key, damage: Callable[[Told], object], said: str
) -> None:
    told = answered(key)
    damage(told)
    with pytest.raises(ConfigError, match=said) as caught:
        read_answers([save(tmp_path / "a.json", told)], key)
    assert "a.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_damaged_files_are_refused(tmp_path: Path, key: Key, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.json is damaged: it is not (?:a )?JSON"):
        read_answers([path], key)


def test_absent_huge_and_no_files_are_refused(tmp_path: Path, key: Key) -> None:
    with pytest.raises(ConfigError, match=r"a\.json cannot be read"):
        read_answers([tmp_path / "a.json"], key)
    with pytest.raises(ConfigError, match="There are no answers to count"):
        read_answers([], key)
    (tmp_path / "huge.json").write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="far larger than any file of answers"):
        read_answers([tmp_path / "huge.json"], key)


def test_the_same_assessor_twice_is_refused(tmp_path: Path, key: Key) -> None:
    early = save(tmp_path / "early.json", answered(key, n_given=3))
    late = save(tmp_path / "late.json", answered(key))
    for paths in ([early, late], [late, late]):
        with pytest.raises(ConfigError, match=r"late\.json are by the same assessor on the same"):
            read_answers(paths, key)


def test_count_prints_and_writes_tables(tmp_path: Path, asked: Path, key: Key) -> None:
    files = [
        str(save(tmp_path / f"{i}.json", answered(key, i, n_right=9 - i))) for i in range(1, 7)
    ]
    app = people_app(lambda _path: drawn_material())
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["count", str(asked / "key.json"), *files, "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "| clear |" in done.output
    assert "In brackets: 95 % intervals." in done.output
    assert (out / "people.md").read_text("utf-8").rstrip("\n") == done.output.rstrip("\n")
    rows = (out / "people.csv").read_text("utf-8").splitlines()
    assert len(rows) == 4
    assert rows[0].startswith("setting,right,right_low,right_high,right_n,")
    as_json = CliRunner().invoke(app, ["count", str(asked / "key.json"), *files, "--json"])
    told = json.loads(as_json.output)
    assert told == json.loads((out / "people.json").read_text("utf-8"))
    assert [each["setting"] for each in told["settings"]] == list(SETTINGS)
    assert sum(each["n_right"] for each in told["settings"]) == 8 + 7 + 6 + 5 + 4 + 3


def test_ask_writes_pages_from_what_it_is_given(tmp_path: Path) -> None:
    opened: list[Path] = []

    def open_material(path: Path) -> Material:
        opened.append(path)
        return drawn_material()

    done = CliRunner().invoke(
        people_app(open_material),
        ["ask", "X.attack", "-o", str(tmp_path), "--setting", "veil-strong", "--per-setting", "4",
         "--packs", "2", "--candidates", "5", "--contact", "us"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert opened == [Path("X.attack")]
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == [
        "assessor-01.html", "assessor-02.html",
    ]  # fmt: skip
    found = read_key(tmp_path / "key.json")
    assert found.settings == ("clear", "veil-strong")
    assert {len(pack) for pack in found.packs.values()} == {8}
    assert found.n_shown == 5
