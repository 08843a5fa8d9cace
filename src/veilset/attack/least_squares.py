# SPDX-License-Identifier: Apache-2.0
"""The picture that best explains what is seen, where how it was changed is known and linear.

Both analytic restorations end here. Of all pictures that agree with the known pixels, the one
is looked for that makes

    sum of (seen - changed(picture))**2  +  smoothness * sum of (differences of neighbours)**2

least. With rounding as the noise and the spectrum of natural photographs, 1 / f**2, as what is
known before looking (D. Field, 1987), it is their most likely picture and has the least expected
squared error of all linear estimates: Wiener's filter (1949), for a picture that ends somewhere
and is known around the unknown part, which the usual form in the Fourier domain cannot take up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from veilset.types import Image, Mask

Planes: TypeAlias = NDArray[np.float64]
"""``(3, h, w)``: grey, red against green, blue against both; an orthonormal turn of RGB."""

PerPlane: TypeAlias = tuple[float, float, float]
"""A number for each plane."""

_SQUARES = np.sqrt([3.0, 2.0, 6.0])
# Colour varies far less than brightness, and is told apart from the noise accordingly.
_OPPONENTS = np.array([[1, 1, 1], [1, -1, 0], [-1, -1, 2]]) / _SQUARES[:, None]


class Change(Protocol):
    """What was done to a picture, as a linear map on each plane."""

    def forward(self, planes: Planes) -> Planes:
        """Give what the picture became, ``(3, h, w)``."""

    def backward(self, planes: Planes) -> Planes:
        """Give the transposed map of ``forward``, ``(3, h, w)``."""


@dataclass(frozen=True, slots=True)
class Effort:
    """When the solver ends.

    Attributes:
        n_steps: At most so many steps.
        tolerance: Once the residual is this share of the first one, in every plane.
    """

    n_steps: int
    tolerance: float = 1e-4


def to_planes(image: Image) -> Planes:
    """Turn RGB pixels into planes.

    Example:
        >>> to_planes(np.full((1, 1, 3), 5, dtype=np.uint8)).ravel().round(3).tolist()
        [8.66, 0.0, 0.0]
    """
    return np.ascontiguousarray(np.moveaxis(image @ _OPPONENTS.T, -1, 0))


def to_image(planes: Planes) -> Image:
    """Turn planes into RGB pixels, rounded and cut to [0, 255].

    Example:
        >>> picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        >>> bool((to_image(to_planes(picture)) == picture).all())
        True
    """
    rgb = np.moveaxis(planes, 0, -1) @ _OPPONENTS
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def most_likely(
    change: Change,
    seen: Planes,
    unknown: Mask,
    start: Planes,
    smoothness: PerPlane,
    effort: Effort,
    precondition: Callable[[Planes], Planes] = lambda residual: residual,
) -> Planes:
    """Give the picture that best explains what is seen.

    Args:
        change: What was done; pixels that are known come out of it as they went in.
        seen: ``(3, h, w)``, what came of it.
        unknown: ``(h, w)``, the pixels to find; all others are those of ``start``.
        start: ``(3, h, w)``, a first guess.
        smoothness: Of each plane: variance of the noise by variance of the difference of two
            neighbours.
        effort: When to stop.
        precondition: As in ``conjugate_gradients``.

    Returns:
        ``(3, h, w)``.
    """
    weight = np.array(smoothness)[:, None, None]

    def apply(planes: Planes) -> Planes:
        explained = change.backward(change.forward(planes))
        return np.asarray((explained + weight * _roughness(planes)) * unknown)

    def eased(planes: Planes) -> Planes:
        return precondition(planes) * unknown

    missing = change.backward(seen - change.forward(start)) - weight * _roughness(start)
    return start + conjugate_gradients(apply, missing * unknown, effort, eased)


def conjugate_gradients(
    apply: Callable[[Planes], Planes],
    right: Planes,
    effort: Effort,
    precondition: Callable[[Planes], Planes] = lambda residual: residual,
) -> Planes:
    """Solve ``apply(x) = right`` for each plane, by preconditioned conjugate gradients.

    Hestenes and Stiefel, 1952; here as in J. Nocedal and S. Wright, "Numerical Optimization",
    2nd ed., algorithm 5.3, from zero. The planes only share the time: each has its own step
    lengths.

    Args:
        apply: Symmetric and positive on each plane.
        right: ``(3, h, w)``.
        effort: When to stop.
        precondition: Symmetric and positive; nearly the inverse of ``apply``.

    Example:
        >>> weight = np.arange(1.0, 13.0).reshape(3, 2, 2)
        >>> found = conjugate_gradients(lambda x: weight * x, weight * 2.5, Effort(4, 0.0))
        >>> bool(np.allclose(found, 2.5))
        True
    """
    solution, residual = np.zeros_like(right), right
    direction = eased = precondition(residual)
    energy = _dots(residual, eased)
    enough = effort.tolerance**2 * energy
    for _ in range(effort.n_steps):
        if (energy <= enough).all():
            break
        image = apply(direction)
        length = _ratio(energy, _dots(direction, image))
        solution += length * direction
        # Not in place: without a preconditioner the direction is this very array.
        residual = residual - length * image
        eased = precondition(residual)
        former, energy = energy, _dots(residual, eased)
        direction = eased + _ratio(energy, former) * direction
    return solution


def _dots(a: Planes, b: Planes) -> Planes:
    return np.asarray((a * b).sum(axis=(1, 2), keepdims=True))


def _ratio(above: Planes, below: Planes) -> Planes:
    # A plane that is solved has 0 in both, and stays where it is.
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _roughness(planes: Planes) -> Planes:
    """Transposed differences of the differences of neighbours; none across the edge."""
    result = np.zeros_like(planes)
    across, down = np.diff(planes, axis=2), np.diff(planes, axis=1)
    result[:, :, 1:] += across
    result[:, :, :-1] -= across
    result[:, 1:] += down
    result[:, :-1] -= down
    return result
