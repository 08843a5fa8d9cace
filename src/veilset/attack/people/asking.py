# SPDX-License-Identifier: Apache-2.0
"""Writing what assessors get, and what they must not get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from veilset.attack.people.key import Key, key_exists, write_key
from veilset.attack.people.page import render_page
from veilset.attack.people.pictures import same_photograph
from veilset.attack.people.questions import Candidate, PictureOf, Plan, make_questions
from veilset.files import write_atomically, writing

KEY_NAME, PAGES_NAME = "key.json", "pages"


@dataclass(frozen=True, slots=True)
class Material:
    """What questions are made of.

    Attributes:
        candidates: Photographs of known people.
        settings: What was done to the probes; ``clear`` among them.
        picture: Gives head and shoulders of a photograph in a setting.
    """

    candidates: Sequence[Candidate]
    settings: tuple[str, ...]
    picture: PictureOf


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

    The key is written last: without it the pages are worth nothing, and a run that was
    interrupted can simply be repeated.

    Args:
        material: Photographs and pictures.
        plan: What is asked.
        out: A folder; it is made if it is not there.
        contact: Who asks, and where to reach them; shown on the page.

    Raises:
        ConfigError: If the questions cannot be drawn, or there is a key already.
        RunError: If something cannot be written.
    """
    if (out / KEY_NAME).exists():
        raise key_exists(out / KEY_NAME)
    packs = make_questions(
        material.candidates, plan, same_photograph=same_photograph(material.picture)
    )
    with writing(out):
        (out / PAGES_NAME).mkdir(parents=True, exist_ok=True)
    digests = {}
    pages = []
    for number, questions in enumerate(packs, 1):
        page = render_page(questions, material.picture, seed=plan.seed, contact=contact)
        path = out / PAGES_NAME / f"assessor-{number:0{len(str(len(packs)))}d}.html"
        write_atomically(path, page.html)
        pages.append(path)
        digests[page.sha256] = questions
    write_key(out / KEY_NAME, Key(plan.settings, digests, plan.n_shown))
    return Asked(out / KEY_NAME, tuple(pages), plan.n_questions)
