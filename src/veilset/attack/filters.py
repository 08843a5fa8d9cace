# SPDX-License-Identifier: Apache-2.0
"""The filters of our blurs along one axis, as numbers, as matrices and as spectra.

All are several box filters in a row. Written down here from their sources once more, and not
taken from ``obfuscate``: an attacker has the paper and the documentation, not our objects.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Taps: TypeAlias = NDArray[np.float64]
"""``(2 r + 1,)``, a symmetric filter; its sum is 1."""

Matrix: TypeAlias = NDArray[np.float64]

N_PASSES = 3


def kovesi_boxes(sigma_px: float) -> list[Taps]:
    """Give the box filters that make nearly a Gaussian, as in the method ``blur``.

    P. Kovesi, "Fast Almost-Gaussian Filtering", DICTA 2010: odd widths that differ by at most
    2, the narrower ones first.

    Args:
        sigma_px: Standard deviation in pixels, above 0.

    Example:
        >>> [len(taps) for taps in kovesi_boxes(10.0)]
        [19, 19, 21]
    """
    variance = 12 * sigma_px**2
    whole = math.floor(math.sqrt(variance / N_PASSES + 1))
    low = whole if whole % 2 else whole - 1
    n_low = round((variance - N_PASSES * (low + 1) * (low + 3)) / (-4 * (low + 1)))
    widths = [low if i < n_low else low + 2 for i in range(N_PASSES)]
    return [np.full(width, 1 / width) for width in widths]


def extended_boxes(sigma_px: float) -> list[Taps]:
    """Give the box filters of Pillow's ``GaussianBlur``, whose outermost taps are fractions.

    P. Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box
    Filtering", SSVM 2011, equation 14. Pillow rounds the taps to multiples of 2 ** -24.

    Args:
        sigma_px: Standard deviation in pixels, above 0.

    Example:
        >>> first, *_ = extended_boxes(10.0)
        >>> len(first), round(3 * float((np.arange(-10, 11) ** 2 * first).sum()), 9)
        (21, 100.0)
    """
    variance = sigma_px**2 / N_PASSES
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    excess = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    radius = whole + excess / (6 * (variance - (whole + 1) ** 2))
    # A radius of r covers 2 r + 1 pixels; the whole ones count 1, those at the ends the rest.
    taps = np.ones(2 * whole + 3)
    taps[[0, -1]] = radius - whole
    return [taps / (2 * radius + 1)] * N_PASSES


def reach_of(filters: list[Taps]) -> int:
    """Give how far the filters together carry a pixel, in pixels.

    Example:
        >>> reach_of(kovesi_boxes(10.0))
        28
    """
    return sum(len(taps) // 2 for taps in filters)


def filter_matrix(filters: list[Taps], n: int) -> Matrix:
    """Give the ``(n, n)`` matrix that filters a line of n pixels; its ends go on outside.

    Each filter starts from the ends that the one before left, as in OpenCV and in Pillow.

    Example:
        >>> filter_matrix([np.full(3, 1 / 3)], 3).round(2).tolist()
        [[0.67, 0.33, 0.0], [0.33, 0.33, 0.33], [0.0, 0.33, 0.67]]
    """
    rows = np.arange(n)
    result: Matrix = np.eye(n)
    for taps in filters:
        single = np.zeros((n, n))
        for shift, tap in enumerate(taps, -(len(taps) // 2)):
            # Each row once for each shift, so that nothing is added twice and lost.
            single[rows, np.clip(rows + shift, 0, n - 1)] += tap
        result = single @ result
    return result


def spectrum(filters: list[Taps], n: int) -> NDArray[np.float64]:
    """Give by how much the filters multiply the n frequencies of a line's cosine transform.

    It is the line that goes on mirrored: at its ends, nearly that of ``filter_matrix``.

    Example:
        >>> spectrum([np.array([0.25, 0.5, 0.25])], 3).round(6).tolist()
        [1.0, 0.75, 0.25]
    """
    result = np.ones(n)
    for taps in filters:
        at = np.arange(len(taps)) - len(taps) // 2
        result *= np.cos(np.pi / n * np.outer(np.arange(n), at)) @ taps
    return result
