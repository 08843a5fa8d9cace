# SPDX-License-Identifier: Apache-2.0
"""Drawn people for the tests of the human assessor: everybody has a colour."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np

from veilset.attack.people.asking import Material
from veilset.attack.people.key import Begun
from veilset.attack.people.questions import Candidate
from veilset.attack.people.secret import Secret
from veilset.types import Image

SETTINGS = ("clear", "blur-strong", "veil-strong")
MAN = "Ichabod Crane"
SECRET = Secret(bytes(range(16)))
BEGUN = Begun(SECRET, "0" * 64)


def colour(text: str) -> np.ndarray:
    """Give the colour of a name."""
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:3], np.uint8)


def drawn_material(n_people: int = 12, *, n_probes: int = 8) -> Material:
    """Give people with a clear photograph and some to ask about; settings darken them."""
    people = [f"{MAN} {n}" for n in range(n_people)]
    candidates = [Candidate(f"{person}/gallery.jpg", person, "gallery", "m") for person in people]
    candidates += [
        Candidate(f"{person}/probe {n}.jpg", person, "probe", "m")
        for person in people
        for n in range(n_probes)
    ]

    def picture(setting: str, image_id: str) -> Image:
        image = np.empty((44, 36, 3), np.uint8)
        image[:] = colour(image_id.rpartition("/")[0])
        image[:] //= 2 + 2 * SETTINGS.index(setting)
        # Light spots of its own, so that no two are one photograph.
        bits = np.unpackbits(np.frombuffer(hashlib.sha256(image_id.encode()).digest(), np.uint8))
        image += np.kron(bits[:99].reshape(11, 9, 1), np.full((4, 4, 1), 120, np.uint8))
        return image

    return Material(candidates, SETTINGS, picture)


def page_data(text: str) -> dict[str, Any]:
    """Give the data of a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data
