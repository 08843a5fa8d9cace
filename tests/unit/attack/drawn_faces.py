# SPDX-License-Identifier: Apache-2.0
"""Drawn embeddings: people are points, their photographs lie around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.float64]
IntVector = NDArray[np.int64]


def drawn_faces(
    rng: np.random.Generator,
    n_people: int = 12,
    *,
    n_each: int = 3,
    noise: float = 0.8,
    n_levels: int | None = None,
) -> tuple[FloatMatrix, IntVector, IntVector]:
    """Give distances, people of the probes and people of the gallery.

    Args:
        rng: Draws them.
        n_people: I.
        n_each: Photographs of a person on each side; the probes have one to that many.
        noise: How far photographs lie from their person, people being 1 apart.
        n_levels: Round distances to so many values, for ties.
    """
    gallery = np.repeat(np.arange(n_people), n_each)
    probes = np.repeat(np.arange(n_people), rng.integers(1, n_each + 1, size=n_people))
    centres = rng.normal(size=(n_people, 4))
    a, b = (centres[who] + noise * rng.normal(size=(len(who), 4)) for who in (probes, gallery))
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    if n_levels is not None:
        distances = np.round(distances / distances.max() * (n_levels - 1))
    return distances, probes, gallery
