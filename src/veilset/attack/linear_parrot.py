# SPDX-License-Identifier: Apache-2.0
"""Parrots without networks: linear classifiers that were trained on obfuscated faces.

A parrot knows the method: it obfuscates the clear photographs that it holds, learns who is on
them, and looks at what was released (E. Newton, L. Sweeney, B. Malin, "Preserving Privacy by
De-identifying Face Images", IEEE TKDE 2005, where naive, reverse and parrot recognition have
their names). Few photographs of a person are enough for a linear discriminant of embeddings, or
of pixels after principal components (P. Belhumeur, J. Hespanha, D. Kriegman, "Eigenfaces vs.
Fisherfaces", IEEE TPAMI 1997).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.errors import MissingExtraError

FloatMatrix = NDArray[np.float64]

MOST_COMPONENTS = 300
"""Principal components of pixels at most; the others are noise with so few photographs."""

_LEAST_SPREAD = 1e-9


def embedding_scores(
    known: NDArray[np.float32],
    people: NDArray[np.int64],
    probes: NDArray[np.float32],
    n_people: int,
) -> FloatMatrix:
    """Learn from embeddings of obfuscated faces, and look at others.

    Args:
        known: ``(N, D)`` embeddings of the gallery, obfuscated.
        people: ``(N,)`` codes in ``[0, n_people)``.
        probes: ``(P, D)`` embeddings.
        n_people: How many people there are.

    Returns:
        ``(P, n_people)``, higher is likelier; minus infinity is never given.

    Raises:
        MissingExtraError: If scikit-learn is not installed.

    Example:
        >>> known = np.array([[0.0, 1], [0.1, 1], [1, 0], [1, 0.1]], np.float32)
        >>> found = embedding_scores(known, np.array([0, 0, 1, 1]), known[:1] + 0.05, 2)
        >>> bool(found[0, 0] > found[0, 1])
        True
    """
    return _discriminate(
        _standardised(known, known), people, _standardised(probes, known), n_people
    )


def pixel_scores(
    known: NDArray[np.uint8], people: NDArray[np.int64], probes: NDArray[np.uint8], n_people: int
) -> FloatMatrix:
    """Learn from the pixels of obfuscated faces, and look at others.

    Every face of the gallery is learned mirrored too.

    Args:
        known: ``(N, S, S, 3)`` chips of the gallery, obfuscated.
        people, n_people: As ``embedding_scores``.
        probes: ``(P, S, S, 3)`` chips.

    Returns:
        As ``embedding_scores``.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    faces = np.concatenate([known, known[:, :, ::-1]])
    flat = faces.reshape(len(faces), -1).astype(np.float32) / 255
    shown = probes.reshape(len(probes), -1).astype(np.float32) / 255
    mean = flat.mean(axis=0)
    flat, shown = flat - mean, shown - mean
    # Of the small matrix of products of faces: the components of a matrix of N faces by many
    # thousand pixels, without the matrix of pixels by pixels.
    values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
    kept = np.argsort(values)[::-1][: min(MOST_COMPONENTS, len(flat) - 1)]
    kept = kept[values[kept] > _LEAST_SPREAD * max(1.0, float(values.max()))]
    if not len(kept):
        return np.zeros((len(probes), n_people))
    axes = (flat.T @ vectors[:, kept]) / np.sqrt(values[kept])
    return _discriminate(flat @ axes, np.concatenate([people, people]), shown @ axes, n_people)


def _standardised(values: NDArray[np.float32], reference: NDArray[np.float32]) -> FloatMatrix:
    mean, spread = reference.mean(axis=0), reference.std(axis=0)
    # What is the same in all tells nobody apart.
    scaled: FloatMatrix = (values - mean) / np.where(spread > _LEAST_SPREAD, spread, np.inf)
    return scaled


def _discriminate(
    known: FloatMatrix, people: NDArray[np.int64], probes: FloatMatrix, n_people: int
) -> FloatMatrix:
    """Fit a linear discriminant with shrunken covariance (Ledoit and Wolf 2004)."""
    scores = np.zeros((len(probes), n_people))
    if not np.ptp(known, axis=0).any():
        # Nothing to learn from: everybody is as likely.
        return scores
    try:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    except ImportError as error:
        raise MissingExtraError(
            "scikit-learn is not installed. Install it with: pip install 'veilset[attack]'"
        ) from error
    present = np.unique(people)
    # Equal priors: who has more photographs is not likelier to be on a probe.
    made: Any = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(len(present), 1 / len(present))
    )
    made.fit(known, people)
    found = np.asarray(made.decision_function(probes), np.float64)
    if found.ndim == 1:
        # Of two people scikit-learn gives one number: how much likelier the second is.
        found = np.stack([-found, found], axis=1)
    scores[:] = found.min() - 1
    scores[:, present] = found
    return scores
