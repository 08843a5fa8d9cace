# SPDX-License-Identifier: Apache-2.0
"""The page that goes to an assessor: one HTML file that works from the disk, and no answer in it.

Pictures are encoded anew and have random names; the page knows neither people nor files nor
what was done to a face. It may run its own script and nothing else, and cannot send anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from string import Template

from veilset.attack.people.answers import ANSWERS_FORMAT
from veilset.attack.people.pictures import encode
from veilset.attack.people.questions import CLEAR, PictureOf, Question
from veilset.attack.people.secret import Secret
from veilset.files import sha256_hex
from veilset.pages.frame import page_style
from veilset.pages.markup import el, escape
from veilset.types import Image

PROBE_PX, SHOWN_PX = 480, 256
"""Longest sides in the page: of the face in question, and of a candidate."""

_SECONDS_EACH = 10
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class AssessorPage:
    """A page for assessors.

    Attributes:
        html: UTF-8.
        sha256: Digest of its questions with all their pictures; the answers carry it.
    """

    html: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The pictures of a pack under random names, so that not even their order says anything."""

    files: dict[str, bytes]
    names: dict[tuple[str, str], str]
    ratios: list[float]


def render_page(
    questions: Sequence[Question], picture: PictureOf, *, secret: Secret, contact: str = ""
) -> AssessorPage:
    """Make the page of a pack.

    Args:
        questions: Of one pack, at least one.
        picture: Gives head and shoulders; each picture is asked for once.
        secret: Names the pictures.
        contact: Who asks, and where to reach them: shown before the first question.

    Returns:
        The same for the same arguments.

    Raises:
        ConfigError: If something that was given is no picture.
    """
    found = _collect(questions, picture, secret)
    shown = [
        {
            "id": each.question_id,
            "probe": found.names[each.setting, each.probe],
            "shown": [found.names[_as_candidate(image_id)] for image_id in each.shown],
        }
        for each in questions
    ]
    digest = _digest(shown, found.files)
    data = {
        "answers_format": ANSWERS_FORMAT,
        "pack": digest,
        "ratio": round(min(max(median(found.ratios), 0.7), 1.4), 3),
        "questions": shown,
        "pictures": {
            name: "data:image/webp;base64," + base64.b64encode(content).decode("ascii")
            for name, content in sorted(found.files.items())
        },
    }
    return AssessorPage(_fill(data, questions, contact), digest)


def _as_candidate(image_id: str) -> tuple[str, str]:
    # A clear probe is shown larger than a candidate: one photograph may be both, in two
    # questions, and has two names then.
    return f"{CLEAR}, as a candidate", image_id


def _collect(questions: Sequence[Question], picture: PictureOf, secret: Secret) -> _Pictures:
    found = _Pictures({}, {}, [])

    def take(key: tuple[str, str], image: Image, longest: int) -> None:
        content = encode(image, longest)
        # The first question stands for the pack: no two pages have a name in common.
        name = secret.name("picture", questions[0].question_id, *key)
        found.files[name], found.names[key] = content, name
        found.ratios.append(image.shape[1] / image.shape[0])

    for each in questions:
        take((each.setting, each.probe), picture(each.setting, each.probe), PROBE_PX)
        for image_id in each.shown:
            key = _as_candidate(image_id)
            if key not in found.names:
                take(key, picture(CLEAR, image_id), SHOWN_PX)
    return found


def _digest(shown: Sequence[Mapping[str, object]], files: dict[str, bytes]) -> str:
    told = json.dumps(
        {"questions": shown, "pictures": {name: sha256_hex(files[name]) for name in sorted(files)}},
        sort_keys=True,
    )
    return sha256_hex(told.encode())


def _fill(data: dict[str, object], questions: Sequence[Question], contact: str) -> bytes:
    style = page_style() + _read("page.css")
    script = _read("page.js")
    minutes = math.ceil(len(questions) * _SECONDS_EACH / 60)
    text = Template(_read("page.html")).substitute(
        policy=escape(_policy(style, script)),
        style=style,
        script=script,
        # No text of the data may end its element.
        data=json.dumps(data, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c"),
        n_questions=len(questions),
        n_shown=len(questions[0].shown),
        minutes=f"{minutes} minutes" if minutes > 1 else "a minute",
        contact=el("div", el("h2", "Who asks"), el("p", contact)) if contact else "",
    )
    return text.encode("utf-8")


def _policy(style: str, script: str) -> str:
    """Give the content security policy: this style, this script, and no request to anybody."""
    sources = [
        f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode('ascii')}'"
        for part in (style, script)
    ]
    return (
        f"default-src 'none'; img-src data:; style-src {sources[0]}; script-src {sources[1]}; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
