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

import numpy as np
from numpy.typing import NDArray

from veilset.errors import MissingExtraError

FloatMatrix = NDArray[np.float64]

MOST_COMPONENTS = 300
"""Principal components of pixels at most; the others are noise with so few photographs."""

_LEAST_SPREAD = 1e-9
_LEAST_WITHIN = 1e-3
"""Scatter within people at least, as a share of the spread of everything."""


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
        ``(P, n_people)``, finite, higher is likelier; who is not in the gallery is least likely.

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
    """Fit a linear discriminant: everybody is as likely, photographs of all scatter alike.

    The scatter within people is that of all of them together, shrunken (O. Ledoit, M. Wolf, "A
    well-conditioned estimator for large-dimensional covariance matrices", 2004). A small share of
    the spread of everything is added to it: with one photograph of each, or photographs that are
    all alike, there is no scatter, and whose mean is nearest is likeliest.
    """
    scores = np.zeros((len(probes), n_people))
    spread = float(known.var(axis=0).mean())
    if not spread:
        # Nothing to learn from: everybody is as likely.
        return scores
    present, place = np.unique(people, return_inverse=True)
    counts = np.bincount(place)
    sums = np.zeros((len(present), known.shape[1]))
    np.add.at(sums, place, known)
    means = sums / counts[:, None]
    within = _shrunken(known - means[place]) + _LEAST_WITHIN * spread * np.eye(known.shape[1])
    weights = np.linalg.solve(within, means.T)
    found = probes @ weights - (means.T * weights).sum(axis=0) / 2
    scores[:] = found.min() - 1
    scores[:, present] = found
    return scores


def _shrunken(rest: FloatMatrix) -> FloatMatrix:
    """Estimate the covariance of rows whose mean is zero."""
    try:
        from sklearn.covariance import ledoit_wolf
    except ImportError as error:
        raise MissingExtraError(
            "scikit-learn is not installed. Install it with: pip install 'veilset[attack]'"
        ) from error
    found: FloatMatrix = ledoit_wolf(rest, assume_centered=True)[0]
    return found
