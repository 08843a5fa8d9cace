# SPDX-License-Identifier: Apache-2.0
"""What every measure of an attack is computed from: how far each probe is from the gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError, DatasetError

FloatMatrix = NDArray[np.float64]
IntVector = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Every probe photograph against every gallery photograph; no photograph is in both.

    Attributes:
        distances: ``(P, G)`` finite, smaller is more alike. An attacker with scores passes
            their negative.
        probe_people: ``(P,)``, who is on each probe, codes in ``[0, n_people)``.
        gallery_people: ``(G,)``, likewise.
        n_people: I, how many people there are, whether they occur here or not.
    """

    distances: FloatMatrix
    probe_people: IntVector
    gallery_people: IntVector
    n_people: int

    @classmethod
    def of(
        cls, distances: ArrayLike, probe_people: ArrayLike, gallery_people: ArrayLike, n_people: int
    ) -> Comparisons:
        """Check and convert.

        Raises:
            ConfigError: If shapes, codes or values are not as described above.
            DatasetError: If there is no probe, or no gallery.

        Example:
            >>> Comparisons.of([[0.2, 0.9]], [1], [1, 0], n_people=2).distances.shape
            (1, 2)
        """
        matrix = np.asarray(distances, dtype=np.float64)
        people = [np.asarray(each, dtype=np.int64) for each in (probe_people, gallery_people)]
        lengths = tuple(len(each) if each.ndim == 1 else -1 for each in people)
        if matrix.shape != lengths:
            raise ConfigError(
                f"Distances of shape {matrix.shape} do not fit {lengths[0]} probes and "
                f"{lengths[1]} gallery photographs. Give a row for each probe, a column for "
                "each gallery photograph."
            )
        if not matrix.size:
            raise DatasetError(
                f"There are {lengths[0]} probes and {lengths[1]} gallery photographs. An attack "
                "needs at least one of each."
            )
        if any(each.min() < 0 or each.max() >= n_people for each in people):
            raise ConfigError(f"Codes of people must lie between 0 and {n_people - 1}.")
        if not np.isfinite(matrix).all():
            raise ConfigError("Distances must be finite. Leave out what could not be compared.")
        return cls(matrix, people[0], people[1], n_people)

    def same_person(self) -> NDArray[np.bool_]:
        """Give ``(P, G)``, true where both photographs show one person."""
        same: NDArray[np.bool_] = self.probe_people[:, None] == self.gallery_people[None, :]
        return same

    def check_gallery_holds_probes(self) -> None:
        """Refuse probes whose person the gallery cannot name.

        Raises:
            DatasetError: If the person of any probe has no photograph in the gallery.
        """
        absent = ~np.isin(self.probe_people, self.gallery_people)
        if absent.any():
            n_absent = len(np.unique(self.probe_people[absent]))
            raise DatasetError(
                f"{absent.sum()} of {len(absent)} probes show {n_absent} people who have no "
                "photograph in the gallery. Leave these probes out, or give the gallery a "
                "photograph of each."
            )
