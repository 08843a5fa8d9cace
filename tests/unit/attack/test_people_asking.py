# SPDX-License-Identifier: Apache-2.0
"""``ask``: what it leaves when it is interrupted, who may read it, and groups from a file."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.attack.people_drawn import SETTINGS, drawn_material, page_data
from veilset.attack.people.asking import Material, write_questions
from veilset.attack.people.drawing import make_questions
from veilset.attack.people.groups import with_groups
from veilset.attack.people.key import read_key
from veilset.attack.people.questions import Plan
from veilset.attack.people.secret import Secret
from veilset.cli.attack_people import people_app
from veilset.errors import ConfigError, RunError
from veilset.files import PART_PREFIX
from veilset.types import Image

PLAN = Plan(SETTINGS, per_setting=1, n_packs=3, seed=7)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pages(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "pages").iterdir())}


def interrupted(out: Path) -> Material:
    """Ask, and be killed while the second page is made; give the same without the kill."""
    material = drawn_material()

    def picture(setting: str, image_id: str) -> Image:
        if (out / "pages" / "assessor-01.html").exists():
            raise KeyboardInterrupt
        return material.picture(setting, image_id)

    with pytest.raises(KeyboardInterrupt):
        write_questions(replace(material, picture=picture), PLAN, out)
    return material


def test_the_answers_cannot_be_computed_from_the_page(tmp_path: Path) -> None:
    """All that is public, the seed and the photographs, draws neither its names nor its answers."""
    material = drawn_material()
    found = []
    for name in "ab":
        write_questions(material, PLAN, tmp_path / name)
        found.append(list(read_key(tmp_path / name / "key.json").packs.values()))
    told = [[page_data(page.decode()) for page in pages(tmp_path / name).values()] for name in "ab"]
    ids = [{each["id"] for page in of for each in page["questions"]} for of in told]
    names = [{name for page in of for name in page["pictures"]} for of in told]
    assert not ids[0] & ids[1]
    assert not names[0] & names[1]
    guessed = make_questions(material.candidates, PLAN, Secret(bytes(16)))
    assert not {each.question_id for pack in guessed for each in pack} & (ids[0] | ids[1])
    assert found[0] != found[1]
    key = json.loads((tmp_path / "a" / "key.json").read_bytes())
    assert len(bytes.fromhex(key["secret"])) == 16
    assert not any(key["secret"].encode() in page for page in pages(tmp_path / "a").values())


def test_an_interrupted_run_goes_on_with_the_same_pages(tmp_path: Path) -> None:
    material = interrupted(tmp_path)
    first = pages(tmp_path)
    assert list(first) == ["assessor-01.html"]
    assert mode(tmp_path / "key.json") == 0o600
    with pytest.raises(ConfigError, match="is not whole"):
        read_key(tmp_path / "key.json")
    write_questions(material, PLAN, tmp_path)
    whole = pages(tmp_path)
    assert list(whole) == ["assessor-01.html", "assessor-02.html", "assessor-03.html"]
    assert whole["assessor-01.html"] == first["assessor-01.html"]
    assert mode(tmp_path / "key.json") == 0o600
    key = read_key(tmp_path / "key.json")
    assert set(key.packs) == {page_data(page.decode())["pack"] for page in whole.values()}


def test_an_interrupted_run_is_not_gone_on_with_otherwise(tmp_path: Path) -> None:
    material = interrupted(tmp_path)
    before = (tmp_path / "key.json").read_bytes()
    fewer = replace(material, candidates=material.candidates[:-1])
    grouped = replace(
        material, candidates=[replace(each, group="f") for each in material.candidates]
    )
    for other, plan in ((material, replace(PLAN, seed=8)), (fewer, PLAN), (grouped, PLAN)):
        with pytest.raises(ConfigError, match="was begun with other options or other photographs"):
            write_questions(other, plan, tmp_path)
    assert (tmp_path / "key.json").read_bytes() == before
    assert list(pages(tmp_path)) == ["assessor-01.html"]


def test_what_cannot_be_drawn_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="questions can be asked"):
        write_questions(drawn_material(), replace(PLAN, per_setting=9), out)
    assert not out.exists()


def test_pages_without_a_key_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir(mode=0o755)
    for name in ("assessor-1.html", "assessor-04.html", f"{PART_PREFIX}0123", "notes.txt"):
        (folder / name).write_text("old")
    write_questions(drawn_material(), PLAN, tmp_path)
    assert list(pages(tmp_path)) == [
        "assessor-01.html", "assessor-02.html", "assessor-03.html", "notes.txt",
    ]  # fmt: skip
    assert not any(page == b"old" for name, page in pages(tmp_path).items() if "html" in name)


def test_only_the_owner_may_read_pages(tmp_path: Path) -> None:
    (tmp_path / "b" / "pages").mkdir(parents=True, mode=0o755)
    for name in "ab":
        interrupted(tmp_path / name)
        assert mode(tmp_path / name / "pages") == 0o700


def test_a_hundred_pages_have_three_digits(tmp_path: Path) -> None:
    plan = Plan(("clear",), per_setting=1, n_packs=100, n_shown=2)
    asked = write_questions(drawn_material(), plan, tmp_path)
    assert [path.name for path in asked.pages[::99]] == ["assessor-001.html", "assessor-100.html"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_questions(drawn_material(), PLAN, tmp_path / "file")


def grouped_file(path: Path, material: Material) -> Path:
    """Put people into two groups by turns; name a photograph that takes no part, too."""
    lines = [
        f'"{each.image_id}",{"fm"[int(each.person.split()[-1]) % 2]}'
        for each in material.candidates
    ]
    path.write_text("\n".join(["image_id,group", *lines, "else.jpg,f", ""]), encoding="utf-8-sig")
    return path


def test_groups_are_given_on_the_command_line(tmp_path: Path) -> None:
    material = drawn_material(24)
    groups = grouped_file(tmp_path / "groups.csv", material)
    out = tmp_path / "out"
    done = CliRunner().invoke(
        people_app(lambda _path: material),
        ["ask", "X.attack", "-o", str(out), "--per-setting", "4", "--groups", str(groups)],
    )
    assert done.exit_code == 0, done.output
    ((_, questions),) = read_key(out / "key.json").packs.items()
    found = [{int(who.split()[-1]) % 2 for who in each.people} for each in questions]
    assert all(len(each) == 1 for each in found)
    assert {0} in found
    assert {1} in found


def test_every_photograph_needs_a_group(tmp_path: Path) -> None:
    material = drawn_material()
    path = grouped_file(tmp_path / "groups.csv", material)
    assert {each.group for each in with_groups(material, path).candidates} == {"f", "m"}
    path.write_text(path.read_text("utf-8-sig").replace("probe 3", "probe x"), "utf-8")
    said = (
        r"groups\.csv gives no group to 12 of 108 photographs that take part: "
        r"Ichabod Crane 0/probe 3\.jpg, .*, \.\.\.\. Add a line for each"
    )
    with pytest.raises(ConfigError, match=said):
        with_groups(material, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with 'nothing'"),
        (b"image,gender\na,f\n", "begins with 'image,gender'. Give CSV with the header image_id"),
        (b"image_id,group\na\n", "line 2: give a photograph and its group, both"),
        (b"image_id,group\na,f\n\na,m,x\n", "line 4: give a photograph and its group, both"),
        (b"image_id,group\na, \n", "line 2: give a photograph and its group, both"),
        (b"image_id,group\na,f\na,f\na,m\n", "line 4: 'a' is in two groups"),
        (b"image_id,group\n\xff,f\n", r"cannot be read \(it is no UTF-8 text\)"),
        (b'image_id,group\n"a"b,f\n', "cannot be read .*Give CSV with the header"),
    ],
)
def test_damaged_groups_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        with_groups(drawn_material(), path)
    assert "groups.csv" in str(caught.value)


def test_absent_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"groups\.csv cannot be read \(No such file"):
        with_groups(drawn_material(), tmp_path / "groups.csv")
