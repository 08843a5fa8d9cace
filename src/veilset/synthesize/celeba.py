# SPDX-License-Identifier: Apache-2.0
"""CelebA's lists of attributes and identities (Liu et al. 2015, ICCV), or lists of that form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veilset.errors import AnnotationError

Attributes = NDArray[np.bool_]
"""``(N, K)`` or ``(K,)``, true where a face has the attribute."""

CELEBA_ATTRIBUTES = tuple(
    (
        "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips "
        "Big_Nose Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin "
        "Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open "
        "Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline "
        "Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat "
        "Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young"
    ).split()
)
"""The 40 names in the order of the columns."""


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """Which images have which attributes.

    Attributes:
        names: K names, in the order of the columns.
        image_ids: N names of files, in the order of the rows.
        present: ``(N, K)`` bool.
    """

    names: tuple[str, ...]
    image_ids: tuple[str, ...]
    present: Attributes = field(repr=False)

    def of(self, image_ids: Sequence[str]) -> Attributes:
        """Give the rows of some images, in their order.

        Raises:
            AnnotationError: If an image is not listed.
        """
        rows = {image_id: row for row, image_id in enumerate(self.image_ids)}
        missing = [each for each in image_ids if each not in rows]
        if missing:
            raise AnnotationError(
                f"{len(missing)} images have no attributes, the first is {missing[0]!r}. Give a "
                "list that names them all."
            )
        return self.present[[rows[each] for each in image_ids]]


def read_attributes(path: Path) -> AttributeTable:
    """Read ``list_attr_celeba.txt``.

    The first line is the number of images, the second names the attributes, each further one
    is the name of a file and a 1 or a -1 for each attribute. Either of the first two may be
    missing; without names the columns are CelebA's 40. Rows beyond the stated number are read
    too; fewer are an error, since the file was cut off.

    Raises:
        AnnotationError: If the file cannot be read or has another form; names the line.
    """
    lines = list(_lines(path))
    stated = int(lines.pop(0)[1][0]) if lines and _is_number(lines[0][1]) else 0
    has_names = bool(lines) and {"1", "-1"}.isdisjoint(lines[0][1])
    names = tuple(lines.pop(0)[1] if has_names else CELEBA_ATTRIBUTES)
    if len(set(names)) < len(names):
        raise AnnotationError(f"The attribute list {path} names an attribute twice. Name it once.")
    if not lines and not stated:
        raise AnnotationError(f"The attribute list {path} is empty. Give one line for each image.")
    if len(lines) < stated:
        raise AnnotationError(
            f"The attribute list {path} has {len(lines)} images, but its first line states "
            f"{stated}. Get the whole file."
        )
    ids: dict[str, int] = {}
    present = np.zeros((len(lines), len(names)), dtype=np.bool_)
    for row, (number, words) in enumerate(lines):
        _check_row(path, number, words, len(names))
        _once(ids, words[0], row, path, number)
        present[row] = [word == "1" for word in words[1:]]
    return AttributeTable(names, tuple(ids), present)


# More is no number of 64 bits.
_MOST_DIGITS = 18


def read_identities(path: Path) -> dict[str, int]:
    """Read ``identity_CelebA.txt``: the name of a file and the number of a person in each line.

    Returns:
        The number of each file, in the order of the lines.

    Raises:
        AnnotationError: If the file cannot be read or has another form; names the line.
    """
    people: dict[str, int] = {}
    for number, words in _lines(path):
        if len(words) != 2 or not words[1].isdecimal() or len(words[1]) > _MOST_DIGITS:
            raise AnnotationError(
                f"Identity list {path}, line {number}: {' '.join(words)[:80]!r} is not the name of "
                "a file and the number of a person. Give these two, with a space between, and "
                f"numbers of at most {_MOST_DIGITS} digits."
            )
        _once(people, words[0], int(words[1]), path, number)
    if not people:
        raise AnnotationError(f"The identity list {path} is empty. Give one line for each image.")
    return people


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the lines that hold something, as words, with their numbers from 1."""
    try:
        # Editors of Windows put a mark before the first name.
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AnnotationError(
            f"The list {path} cannot be read: {reason}. Give CelebA's text file."
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words:
            yield number, words


def _is_number(words: list[str]) -> bool:
    return len(words) == 1 and words[0].isdecimal() and len(words[0]) <= _MOST_DIGITS


def _check_row(path: Path, number: int, words: list[str], n_names: int) -> None:
    if len(words) != n_names + 1:
        raise AnnotationError(
            f"Attribute list {path}, line {number}: {len(words) - 1} values for {n_names} "
            "attributes. Give the name of the file and one value for each."
        )
    wrong = [word for word in words[1:] if word not in {"1", "-1"}]
    if wrong:
        raise AnnotationError(
            f"Attribute list {path}, line {number}: {wrong[0]!r} is neither 1 nor -1. Give 1 where "
            "the face has the attribute, else -1."
        )


def _once(seen: dict[str, int], image_id: str, value: int, path: Path, number: int) -> None:
    if image_id in seen:
        raise AnnotationError(
            f"List {path}, line {number}: the image {image_id!r} is there twice. Name it once."
        )
    seen[image_id] = value
