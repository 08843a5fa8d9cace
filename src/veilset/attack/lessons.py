# SPDX-License-Identifier: Apache-2.0
"""What an attacker who knows the method learns from: faces that he holds, clear and obfuscated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilset.attack.config import CLEAR
from veilset.attack.measuring import Evidence

HELD_OUT = 0.1
"""Share of faces that a student is not shown, to see what it learned of all."""

_LEAST_HELD_OUT = 2
_LEAST_TO_HOLD_OUT_OF = 10

Chips = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Faces in one setting and in clear: the gallery first, then strangers. No probe is here.

    Attributes:
        shown: ``(N, S, S, 3)`` uint8, as the setting shows them.
        clear: ``(N, S, S, 3)`` uint8, the same faces.
        embeddings: ``(N, D)``, the recogniser's of the clear faces.
        n_gallery: How many are of the gallery.
    """

    shown: Chips
    clear: Chips
    embeddings: NDArray[np.float32]
    n_gallery: int

    @property
    def n_strangers(self) -> int:
        """How many are of strangers."""
        return len(self.shown) - self.n_gallery

    def held_out(self, seed: int) -> NDArray[np.bool_]:
        """Choose faces that are not learned from, ``(N,)``.

        A tenth of the strangers, where there are none of the gallery, two at least; nobody where
        there are fewer than ten.
        """
        n = self.n_strangers or self.n_gallery
        if n < _LEAST_TO_HOLD_OUT_OF:
            return np.zeros(len(self.shown), bool)
        chosen = np.random.default_rng(seed).permutation(n)
        chosen = chosen[: max(_LEAST_HELD_OUT, round(HELD_OUT * n))]
        found = np.zeros(len(self.shown), bool)
        found[chosen + len(found) - n] = True
        return found


def lessons_of(evidence: Evidence, setting: str) -> Lessons:
    """Gather the faces of the gallery and of strangers, if there are any.

    Args:
        evidence: What was seen.
        setting: Name of the setting.
    """
    held = evidence.is_gallery
    clear, shown = evidence.view(CLEAR), evidence.view(setting)
    parts = [(shown.chips[held], clear.chips[held], clear.embeddings[held])]
    theirs, hidden = evidence.strangers_view(CLEAR), evidence.strangers_view(setting)
    if theirs is not None and hidden is not None:
        parts.append((hidden.chips, theirs.chips, theirs.embeddings))
    chips, clear_chips, embeddings = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Lessons(chips, clear_chips, embeddings, int(held.sum()))
