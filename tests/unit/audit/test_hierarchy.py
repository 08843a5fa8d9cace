# SPDX-License-Identifier: Apache-2.0
"""The hierarchy of categories, from the files of BREEDS and of WordNet, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.audit.drawn_set import face, looked, write_set
from veilset.audit.hierarchy import Hierarchy, read_hierarchy
from veilset.audit.stage import AuditConfig, audit_dataset
from veilset.audit.supercategories import choose_synsets, members_of
from veilset.errors import ConfigError, DatasetError

# A hand-made piece of WordNet: an animal, two birds, a crane that is a machine too, and a
# synset with two parents, in the format of wndb(5WN).
DATA = """\
  1 This software and database is being provided to you, the LICENSEE, by a test
  2 under no license at all.
00000001 03 n 01 entity 0 002 ~ 00000002 n 0000 ~ 00000005 n 0000 | that which is
00000002 05 n 02 animal 0 animate_being 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | it lives
00000003 05 n 01 bird 0 003 @ 00000002 n 0000 ~ 00000004 n 0000 #p 00000007 n 0000 | it flies
00000004 05 n 01 crane 0 001 @ 00000003 n 0000 | a long neck
00000005 06 n 01 machine 0 001 @ 00000001 n 0000 | it works
00000006 06 n 0a crane 1 lift 0 hoist 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 001 @ 00000005 n 0000 | it lifts
00000007 05 n 01 robot_bird 0 003 @ 00000003 n 0000 @i 00000005 n 0000 + 00000009 v 0101 | both
"""
INDEX = """\
  1 This software and database is being provided to you
crane n 2 1 @ 2 1 00000006 00000004
bird n 1 3 @ ~ #p 1 1 00000003
"""


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    folder = tmp_path / "dict"
    folder.mkdir()
    (folder / "data.noun").write_text(DATA)
    (folder / "index.noun").write_text(INDEX)
    return folder


def breeds(folder: Path, links: str, names: str, classes: Any = None) -> Path:
    """Write a hierarchy in the format of BREEDS."""
    folder.mkdir(exist_ok=True)
    (folder / "class_hierarchy.txt").write_text(links)
    (folder / "node_names.txt").write_text(names)
    if classes is not None:
        (folder / "dataset_class_info.json").write_text(json.dumps(classes))
    return folder


def test_wordnet_files(wordnet: Path) -> None:
    hierarchy = read_hierarchy(wordnet)
    assert len(hierarchy.words) == 7
    assert hierarchy.words["n00000002"] == ("animal", "animate being")
    assert len(hierarchy.words["n00000006"]) == 10, "the number of words is hexadecimal"
    # The part pointer and the verb are no parents.
    assert hierarchy.parents["n00000003"] == ("n00000002",)
    assert hierarchy.and_above("n00000007") == {
        "n00000007", "n00000003", "n00000002", "n00000005", "n00000001",
    }  # fmt: skip


def test_a_synset_is_found_by_identifier_word_and_sense(wordnet: Path) -> None:
    hierarchy = read_hierarchy(wordnet)
    assert hierarchy.find("n00000003", ()) == "n00000003"
    assert hierarchy.find("Animate_Being", ()) == "n00000002"
    assert hierarchy.find("crane.n.01", ()) == "n00000006"
    assert hierarchy.find("crane.n.02", ()) == "n00000004"
    assert hierarchy.find("crane", {"n00000004", "n00000003"}) == "n00000004"
    with pytest.raises(ConfigError, match=r"n00000004 \(crane\); n00000006 \(crane, lift"):
        hierarchy.find("crane", ())
    with pytest.raises(ConfigError, match=r"has 2 as a noun"):
        hierarchy.find("crane.n.03", ())
    with pytest.raises(ConfigError, match=r"called 'animmal'\. Did you mean 'animal'"):
        hierarchy.find("animmal", ())
    with pytest.raises(ConfigError, match="Did you mean 'n0000000"):
        hierarchy.find("n00000009", ())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("00000001 03 v 01 go 0 000 | a verb", "line 1"),
        ("1 03 n 01 entity 0 000 | short", "line 1"),
        ("00000001 03 n 02 entity 0 000 | a word is missing", "line 1"),
        ("00000001 03 n 01 entity 0 002 @ 00000002 n 0000 | cut", "line 1"),
        ("00000001 03 n 01 entity 0 001 @ 00000002 n 0000 | no such", "points to n00000002"),
        ("00000001 03 n 01 entity 0 001 @ 00000001 n 0000 | its own", "goes round in a circle"),
    ],
)
def test_malformed_wordnet(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "data.noun").write_text(line + "\n")
    with pytest.raises(DatasetError, match=message):
        read_hierarchy(tmp_path)


def test_malformed_index(wordnet: Path) -> None:
    (wordnet / "index.noun").write_text("crane n 2 1 @ 2 1 00000006\n")
    with pytest.raises(DatasetError, match=r"index\.noun, line 1"):
        read_hierarchy(wordnet)


def test_breeds_files(tmp_path: Path) -> None:
    folder = breeds(
        tmp_path / "breeds",
        "a b\na c\nb d\nc d\nb d\n",
        "a\tthing\nb\tred thing, ruby\n",
        [[0, "c", "blue thing, sapphire"], [1, "b", "not this"]],
    )
    hierarchy = read_hierarchy(folder)
    assert hierarchy.parents["d"] == ("b", "c")
    assert [hierarchy.name(each) for each in "abcdx"] == [
        "thing", "red thing", "blue thing", "d", "x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("links", "names", "classes", "message"),
    [
        ("a b c\n", "a\tx\n", None, r"class_hierarchy\.txt, line 1: 'a b c' is not"),
        ("a b\n", "a x\n", None, r"node_names\.txt, line 1"),
        ("a b\n", "a\tx\n", {"no": 1}, r"dataset_class_info\.json is not a list"),
        ("a b\nb c\nc a\n", "a\tx\n", None, r"circle: . \(.+ is a kind of .* is a kind of"),
    ],
)
def test_malformed_breeds(
    tmp_path: Path, links: str, names: str, classes: Any, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        read_hierarchy(breeds(tmp_path / "breeds", links, names, classes))


def test_folder_without_a_hierarchy(tmp_path: Path) -> None:
    breeds(tmp_path / "wordnet", "a b\n", "a\tx\n")
    with pytest.raises(DatasetError, match=r"Did you mean .*wordnet\?"):
        read_hierarchy(tmp_path)
    with pytest.raises(DatasetError, match="There is no folder"):
        read_hierarchy(tmp_path / "no")


def test_a_long_chain_and_a_diamond_are_no_circle() -> None:
    chain = {str(i): (str(i + 1),) for i in range(20_000)}
    words = {str(i): (str(i),) for i in range(20_001)}
    assert len(Hierarchy(words, chain).and_above("0")) == 20_001
    Hierarchy({each: (each,) for each in "abcd"}, {"d": ("b", "c"), "b": ("a",), "c": ("a",)})


def test_members_count_once_with_several_parents(wordnet: Path) -> None:
    hierarchy = read_hierarchy(wordnet)
    members = members_of(hierarchy, ["n00000004", "n00000006", "n00000007", "unknown"])
    assert {each: len(inside) for each, inside in members.items()} == {
        "n00000001": 3, "n00000002": 2, "n00000003": 2, "n00000004": 1, "n00000005": 2,
        "n00000006": 1, "n00000007": 1,
    }  # fmt: skip
    # Animal and bird hold the same categories: the more special one is taken.
    chosen = choose_synsets(hierarchy, members, ["lift"], 2)
    assert chosen == ["n00000006", "n00000001", "n00000003", "n00000005"]


def rows() -> list[Any]:
    found = [looked("n00000004/1.jpg", face(), face()), looked("n00000004/2.jpg")]
    return [*found, looked("n00000007/3.jpg", face()), looked("n00000006/4.jpg")]


def test_table_of_supercategories(tmp_path: Path, wordnet: Path) -> None:
    write_set(tmp_path / "set", [*rows(), looked("n99999999/5.jpg")])
    config = AuditConfig(synsets=("machine", "bird"))
    audit_dataset(None, tmp_path / "set", tmp_path / "audit", config, hierarchy=wordnet)
    found = json.loads((tmp_path / "audit" / "audit.json").read_bytes())["supercategories"]
    assert (found["n_known"], found["n_unknown"], found["unknown"]) == (3, 1, ["n99999999"])
    assert [
        (each["name"], each["n_categories"], each["n_images"], each["n_with"], each["n_regions"])
        for each in found["rows"]
    ] == [("machine", 2, 2, 1, 1), ("bird", 2, 3, 2, 3)]
    assert found["rows"][1]["share"] == pytest.approx(2 / 3)


def test_data_that_is_not_imagenet(tmp_path: Path, wordnet: Path) -> None:
    write_set(tmp_path / "set", [looked("holiday/1.jpg", face())])
    config = AuditConfig(min_categories=1)
    audit_dataset(None, tmp_path / "set", tmp_path / "audit", config, hierarchy=wordnet)
    page = (tmp_path / "audit" / "index.html").read_text()
    assert "None of 1 categories is a synset of the hierarchy, the first is" in page
    assert not (tmp_path / "audit" / "tables" / "supercategories.csv").exists()
    assert (tmp_path / "audit" / "tables" / "categories.csv").exists()


def test_unknown_synset(tmp_path: Path, wordnet: Path) -> None:
    write_set(tmp_path / "set", rows())
    for synset, message in (("birds", "Did you mean 'bird'"), ("n00000009", "Did you mean")):
        with pytest.raises(ConfigError, match=message):
            audit_dataset(None, tmp_path / "set", tmp_path / "audit",
                          AuditConfig(synsets=(synset,)), hierarchy=wordnet)  # fmt: skip


def test_synset_without_categories(tmp_path: Path, wordnet: Path) -> None:
    write_set(tmp_path / "set", [looked("n00000006/1.jpg")])
    with pytest.raises(ConfigError, match=r"n00000003 \(bird\) holds none of the categories"):
        audit_dataset(None, tmp_path / "set", tmp_path / "audit",
                      AuditConfig(synsets=("bird",)), hierarchy=wordnet)  # fmt: skip
