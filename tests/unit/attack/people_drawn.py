# SPDX-License-Identifier: Apache-2.0
"""Drawn people for the tests of the human assessor: everybody has a colour."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np

from veilset.attack.people.asking import Material
from veilset.attack.people.questions import Candidate
from veilset.types import Image

SETTINGS = ("clear", "blur-strong", "veil-strong")
MAN = "Ichabod Crane"


def colour(text: str) -> np.ndarray:
    """Give the colour of a name."""
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:3], np.uint8)


def drawn_material(n_people: int = 12) -> Material:
    """Give people with two photographs each; settings darken them."""
    people = [f"{MAN} {n}" for n in range(n_people)]
    candidates = [
        Candidate(f"{person}/{half}.jpg", person, half, "m")
        for person in people
        for half in ("gallery", "probe")
    ]

    def picture(setting: str, image_id: str) -> Image:
        image = np.empty((44, 36, 3), np.uint8)
        image[:] = colour(image_id.rpartition("/")[0])
        image[:] //= 1 + SETTINGS.index(setting)
        # A stripe whose place is that of the photograph, so that no two are one photograph.
        at = int(colour(image_id)[0]) % 20
        image[at : at + 3] = 255
        return image

    return Material(candidates, SETTINGS, picture)


def page_data(text: str) -> dict[str, Any]:
    """Give the data of a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data
