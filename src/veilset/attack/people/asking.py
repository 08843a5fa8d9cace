# SPDX-License-Identifier: Apache-2.0
"""Writing what assessors get, and what they must not get."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from veilset.attack.people.contents import KEY_NAME, PAGES_NAME
from veilset.attack.people.drawing import make_questions
from veilset.attack.people.key import Begun, Key, begin_key, read_begun, write_key
from veilset.attack.people.page import render_page
from veilset.attack.people.pictures import same_photograph
from veilset.attack.people.questions import Candidate, PictureOf, Plan
from veilset.attack.people.secret import Secret
from veilset.dataset.folder import check_apart
from veilset.dataset.locations import Location, location_of
from veilset.errors import ConfigError
from veilset.files import PART_PREFIX, make_private, sha256_hex, write_atomically, writing


@dataclass(frozen=True, slots=True)
class Material:
    """What questions are made of.

    Attributes:
        candidates: Photographs of known people.
        settings: What was done to the probes; ``clear`` among them.
        picture: Gives head and shoulders of a photograph in a setting.
        sources: Data sets of originals and releases: no clear face is written among them.
    """

    candidates: Sequence[Candidate]
    settings: tuple[str, ...]
    picture: PictureOf
    sources: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What was written.

    Attributes:
        key: The key, readable by its owner only.
        pages: A page for each pack.
        n_questions: Of each page.
    """

    key: Path
    pages: tuple[Path, ...]
    n_questions: int


def write_questions(material: Material, plan: Plan, out: Path, *, contact: str = "") -> Asked:
    """Draw questions, and write the key to ``key.json`` and the pages to the folder ``pages``.

    A key is begun, with a secret of its own, before there are pages, and finished after them. A
    run that was interrupted can simply be repeated: from the key that was begun it writes the
    same pages, so that those that were given away already still count. Where no key was begun,
    pages that lie there have lost theirs, and are deleted.

    Args:
        material: Photographs and pictures.
        plan: What is asked.
        out: A folder; it is made if it is not there.
        contact: Who asks, and where to reach them; shown on the page.

    Raises:
        ConfigError: If the questions cannot be drawn, or there is a key already that is whole
            or was begun for other questions.
        DatasetError: If the folder lies in a data set, or the other way round.
        RunError: If something cannot be written.
    """
    for source in material.sources:
        check_apart(source, location_of(out))
    begun = _begun(out / KEY_NAME, material, plan)
    packs = make_questions(
        material.candidates, plan, begun.secret, same_photograph=same_photograph(material.picture)
    )
    folder = out / PAGES_NAME
    with writing(out):
        make_private(folder)
        if not (out / KEY_NAME).exists():
            _delete_pages(folder)
    begin_key(out / KEY_NAME, begun)
    digests = {}
    pages = []
    n_digits = max(2, len(str(len(packs))))
    for number, questions in enumerate(packs, 1):
        page = render_page(questions, material.picture, secret=begun.secret, contact=contact)
        path = folder / f"assessor-{number:0{n_digits}d}.html"
        write_atomically(path, page.html)
        pages.append(path)
        digests[page.sha256] = questions
    write_key(out / KEY_NAME, Key(plan.settings, digests, plan.n_shown), begun)
    return Asked(out / KEY_NAME, tuple(pages), plan.n_questions)


def _begun(path: Path, material: Material, plan: Plan) -> Begun:
    """Give the key that an interrupted run began, or a new one with a new secret."""
    photographs = sorted(material.candidates, key=lambda each: each.image_id)
    told = {"plan": asdict(plan), "photographs": [asdict(each) for each in photographs]}
    drawn_from = sha256_hex(json.dumps(told, sort_keys=True).encode())
    found = read_begun(path)
    if found is None:
        return Begun(Secret.drawn(), drawn_from)
    if found.drawn_from != drawn_from:
        raise ConfigError(
            f"{path} was begun with other options or other photographs, and not all of its pages "
            "were written. Give the same, to write the rest, or another folder; or delete that "
            "key and its pages."
        )
    return found


def _delete_pages(folder: Path) -> None:
    for pattern in ("assessor-*.html", f"{PART_PREFIX}*"):
        for path in folder.glob(pattern):
            path.unlink()
