# SPDX-License-Identifier: Apache-2.0
"""CelebA's lists, whole, without their heads, and broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from veilset.errors import AnnotationError
from veilset.synthesize.celeba import CELEBA_ATTRIBUTES, read_attributes, read_identities

ROW_A = "a.jpg " + " ".join(["1", "-1"] * 20)
ROW_B = "b.jpg " + "  ".join(["-1"] * 40)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "list.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "head",
    [["2", " ".join(CELEBA_ATTRIBUTES)], ["2"], [" ".join(CELEBA_ATTRIBUTES)], [], ["1", ""]],
)
def test_the_list_is_read_with_and_without_its_head(tmp_path: Path, head: list[str]) -> None:
    table = read_attributes(written(tmp_path, *head, ROW_A, ROW_B))
    assert table.names == CELEBA_ATTRIBUTES
    assert table.image_ids == ("a.jpg", "b.jpg")
    np.testing.assert_array_equal(table.present[0], [True, False] * 20)
    assert not table.present[1].any()


def test_other_names_are_taken_as_they_stand(tmp_path: Path) -> None:
    table = read_attributes(written(tmp_path, "Tall Old", "x.png 1 -1"))
    assert table.names == ("Tall", "Old")
    assert table.present.tolist() == [[True, False]]


def test_rows_are_given_in_the_order_asked_for(tmp_path: Path) -> None:
    table = read_attributes(written(tmp_path, "A", "x 1", "y -1", "z 1"))
    assert table.of(["y", "x", "x"]).tolist() == [[False], [True], [True]]
    with pytest.raises(AnnotationError, match="1 images have no attributes, the first is 'w'"):
        table.of(["x", "w"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["3", ROW_A, ROW_B], "has 2 images, but its first line states 3"),
        (["1" * 5000, ROW_A], "line 2: 40 values for 1 attributes"),
        ([], "list.txt is empty. Give one line"),
        (["2"], "has 0 images"),
        ([ROW_A, "b.jpg 1 -1"], "line 2: 2 values for 40"),
        (["A B", "x 1 0"], "line 2: '0' is neither 1 nor -1"),
        (["A B", "", "x 1 1", "x 1 1"], "line 4: the image 'x' is there twice"),
        (["A A", "x 1 1"], "names an attribute twice"),
    ],
)
def test_a_broken_list_is_refused_with_its_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_attributes(written(tmp_path, *lines))


def test_identities(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jpg 12", "", "b.jpg 7")
    assert read_identities(path) == {"a.jpg": 12, "b.jpg": 7}
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_identities(path) == {"a.jpg": 12, "b.jpg": 7}, "as editors of Windows save it"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.jpg"], "line 1: 'a.jpg' is not the name"),
        (["a.jpg 1", "b.jpg -4"], "line 2"),
        (["a.jpg 1", f"b.jpg 1{'0' * 18}"], "line 2.*numbers of at most 18 digits"),
        (["a.jpg 1", "a.jpg 1"], "line 2: the image 'a.jpg' is there twice"),
        ([""], "is empty"),
    ],
)
def test_broken_identities_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_identities(written(tmp_path, *lines))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="No such file"):
        read_identities(tmp_path / "absent.txt")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(AnnotationError, match="not UTF-8"):
        read_attributes(tmp_path / "picture.jpg")


@pytest.mark.real
def test_the_real_lists_are_read(real_data: Path) -> None:
    folder = real_data / "celeba_faces"
    table = read_attributes(folder / "list_attr_celeba.txt")
    people = read_identities(folder / "identity_CelebA.txt")
    assert table.present.shape[1] == 40
    assert table.of(list(people)).shape == (3528, 40)
    assert len(set(people.values())) == 165
    male, beardless = table.names.index("Male"), table.names.index("No_Beard")
    assert table.present[~table.present[:, male], beardless].mean() > 0.99
