# SPDX-License-Identifier: Apache-2.0
"""Who is on which photograph, and which photographs the attacker holds.

The photographs of each person are split once: the *gallery* half is what an attacker holds
clear, and may obfuscate himself and train on; the *probe* half is what was released. Every
attack uses this one split, so that what they achieve can be compared.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from veilset.errors import ConfigError, DatasetError
from veilset.seeds import derive
from veilset.types import ImageRecord

FOLDERS = "folders"
"""Source of identities: the name of the folder in which a photograph lies is the person's."""

GALLERY, PROBE = "gallery", "probe"
HALVES = (GALLERY, PROBE)

STRANGER = "stranger"
"""In place of a half: nobody is named, and attackers learn from the face without knowing whose."""

LEAST_PHOTOS = 2
"""Of a person, to be attacked: one to be known by, one to be found on."""

_COLUMNS = ("image_id", "person", "half")


@dataclass(frozen=True, slots=True)
class Named:
    """A photograph and who is on it.

    Attributes:
        person: Name of the person; any text.
        half: ``gallery`` or ``probe`` if the source says so, else "".
    """

    person: str
    half: str = ""


def read_identities(source: str, image_ids: Iterable[str]) -> dict[str, Named]:
    """Read who is on which photograph.

    Args:
        source: ``folders``, or the path of a text file: lines of an image and a person between
            white space, as CelebA's ``identity_CelebA.txt``; or CSV with the header
            ``image_id,person`` and, if the halves are given, ``half``.
        image_ids: The photographs, as the data set names them.

    Returns:
        The photographs that are named, in the order of ``image_ids``.

    Raises:
        ConfigError: If the file cannot be read or is neither of the two.
        DatasetError: If none of the photographs is named, or none lies in a folder.
    """
    names = list(image_ids)
    if source == FOLDERS:
        found = {name: Named(ImageRecord(name).category) for name in names}
        found = {name: named for name, named in found.items() if named.person}
        if not found:
            raise DatasetError(
                f"None of the {len(names):,} photographs lies in a folder of its person. Name a "
                "file that says who is on which with --identities."
            )
        return found
    listed = _read_file(Path(source))
    found = {name: listed[name] for name in names if name in listed}
    if not found:
        raise DatasetError(
            f"{source} names none of the {len(names):,} photographs: its first is "
            f"{next(iter(listed))!r}, theirs is {names[0] if names else ''!r}. Give the file of "
            "this data set, with names from its root."
        )
    return found


def _read_file(path: Path) -> dict[str, Named]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(
            f"The identities {path} cannot be read ({why}). Give a text file or 'folders'."
        ) from error
    lines = text.splitlines()
    words = [word.strip(' "') for word in lines[0].split(",")] if lines else []
    is_csv = words[:2] == [*_COLUMNS[:2]]
    pairs = _csv_rows(path, text) if is_csv else _plain_rows(path, lines)
    found: dict[str, Named] = {}
    try:
        for at, (image_id, named) in pairs:
            if found.setdefault(image_id, named) != named:
                raise ConfigError(
                    f"{path}, line {at}: {image_id!r} is named twice, as two people or on both "
                    "sides. Leave one of the lines."
                )
    except csv.Error as error:
        raise ConfigError(
            f"The identities {path} cannot be read as CSV ({error}). Check the quotation marks."
        ) from error
    if not found:
        raise ConfigError(f"The identities {path} name nobody. Give a file with a line a photo.")
    return found


def _plain_rows(path: Path, lines: Sequence[str]) -> Iterable[tuple[int, tuple[str, Named]]]:
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        words = line.rsplit(maxsplit=1)
        if len(words) != 2:
            raise ConfigError(
                f"{path}, line {at}: {line.strip()[:60]!r} is no image and person. Give both in "
                "each line, or CSV with the header image_id,person."
            )
        yield at, (words[0].strip(), Named(words[1]))


def _csv_rows(path: Path, text: str) -> Iterable[tuple[int, tuple[str, Named]]]:
    rows = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
    header = [word.strip() for word in next(rows)]
    if header not in ([*_COLUMNS[:2]], [*_COLUMNS]):
        raise ConfigError(
            f"{path} has the columns {', '.join(header)}. Give image_id,person or "
            "image_id,person,half."
        )
    for row in rows:
        if not row:
            continue
        half = row[2].strip() if len(row) == 3 else ""
        if len(row) != len(header) or not row[1].strip() or half not in ("", *HALVES):
            raise ConfigError(
                f"{path}, line {rows.line_num}: give {','.join(header)}, with gallery or probe "
                "for the half."
            )
        yield rows.line_num, (row[0], Named(row[1].strip(), half))


@dataclass(frozen=True, slots=True)
class Split:
    """Which photographs take part, and on which side.

    Attributes:
        people: Names of the people, in order; a code is a place in it.
        codes: Person of each photograph that takes part, by ``image_id``.
        halves: ``gallery`` or ``probe`` of each.
        left_out: Why photographs with a usable face do not take part, and how many.
    """

    people: tuple[str, ...]
    codes: Mapping[str, int]
    halves: Mapping[str, str]
    left_out: Mapping[str, int]

    def count(self, half: str) -> int:
        """Give the number of photographs of one half."""
        return Counter(self.halves.values())[half]


def split_photographs(named: Mapping[str, Named], gallery_share: float, seed: int) -> Split:
    """Share out each person's photographs between gallery and probes.

    Where the source gives halves they are kept. Else a person's photographs are put in an order
    that the seed and their names decide, and the first ``gallery_share`` of them, rounded, at
    least one and never all, are the gallery. A person with a single photograph is left out:
    nobody could be recognised by it on another.

    Args:
        named: The photographs with a usable face, and who is on them.
        gallery_share: Above 0 and below 1.
        seed: Of the attack.

    Returns:
        The split; ``left_out`` counts ``one photograph`` and ``not in the gallery`` (or
        ``not among the probes``) of given halves.

    Raises:
        DatasetError: If fewer than two people are left, or of given halves the probes show
            people who are not in the gallery and nobody else.

    Example:
        >>> photos = {f"{who}/{n}.jpg": Named(who) for who in "ab" for n in range(3)}
        >>> split = split_photographs(photos | {"c/0.jpg": Named("c")}, 0.5, seed=1)
        >>> split.people, split.count(GALLERY), split.count(PROBE), dict(split.left_out)
        (('a', 'b'), 4, 2, {'one photograph': 1})
    """
    by_person: dict[str, list[str]] = defaultdict(list)
    for image_id, each in named.items():
        by_person[each.person].append(image_id)
    halves: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    for _, photos in sorted(by_person.items()):
        shared = _share_out(named, photos, gallery_share, seed)
        missing = [half for half in HALVES if half not in shared.values()]
        if len(photos) < LEAST_PHOTOS:
            left_out["one photograph"] += len(photos)
        elif missing:
            where = "in the gallery" if missing[0] == GALLERY else "among the probes"
            left_out[f"not {where}"] += len(photos)
        else:
            halves |= shared
    people = tuple(sorted({named[image_id].person for image_id in halves}))
    if len(people) < 2:
        raise DatasetError(_too_few(by_person, left_out, people))
    place = {person: code for code, person in enumerate(people)}
    order = [image_id for image_id in named if image_id in halves]
    return Split(
        people,
        {image_id: place[named[image_id].person] for image_id in order},
        {image_id: halves[image_id] for image_id in order},
        dict(left_out),
    )


def _share_out(
    named: Mapping[str, Named], photos: Sequence[str], share: float, seed: int
) -> dict[str, str]:
    if any(named[image_id].half for image_id in photos):
        return {image_id: named[image_id].half or PROBE for image_id in photos}
    order = sorted(photos, key=lambda image_id: (derive(seed, "half", image_id), image_id))
    n_gallery = min(max(1, round(share * len(order))), max(1, len(order) - 1))
    return {image_id: (GALLERY if at < n_gallery else PROBE) for at, image_id in enumerate(order)}


def _too_few(
    by_person: Mapping[str, Sequence[str]], left_out: Mapping[str, int], people: Sequence[str]
) -> str:
    told = "; ".join(f"{n:,} photographs left out: {why}" for why, n in left_out.items())
    return (
        f"{len(people):,} of {len(by_person):,} people can be attacked, and at least two are "
        f"needed, each with a usable face on {LEAST_PHOTOS} photographs or more"
        f"{f' ({told})' if told else ''}. Give more photographs, or check --identities."
    )
