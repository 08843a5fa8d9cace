# SPDX-License-Identifier: Apache-2.0
"""Undoing a blur whose filter is public: ``blur``, ``blur-paper`` and ``blur-released``.

A blur of many pixels still lets low frequencies through, and 8 bits hold them to a thousandth
of their size; around the face, where the mask fades, more and more of the clear picture shows.
What is solved is Wiener's problem (R. Gonzalez and R. Woods, "Digital Image Processing",
section 5.8) for the picture as it is: the true filter and mask, noise of rounding to 8 bits,
photographs of spectrum 1 / f**2, and all pixels that are known kept as they are
(``least_squares``). Wiener's filter in the Fourier domain, by itself, knows one filter for all
pixels and a picture without an end; here it is what makes the solver fast.

PSNR inside a box of 100 x 120 px in the middle of one photograph each of 40 people of LFW, in
decibels; the mean gain with its 95 % interval (Student's, n = 40), and the least of the 40::

    blur-paper               17.97 -> 24.56   gain 6.59 [6.25, 6.93]   least  4.19
    blur-released            18.77 -> 25.00   gain 6.23 [5.87, 6.59]   least  4.42
    blur, strength 0.05      18.84 -> 22.83   gain 4.00 [3.73, 4.27]   least  2.25
    blur, strength 0.1       16.51 -> 19.87   gain 3.35 [3.07, 3.64]   least  1.69
    blur, strength 0.2       14.50 -> 17.80   gain 3.30 [2.94, 3.66]   least  0.73
    blur 0.1, then JPEG 85   16.51 -> 18.28   gain 1.77 [1.49, 2.06]   least -0.49

So after JPEG, of quality 85 with colour at half resolution, it helps on the mean, and can make a
single picture worse than the blurred one. ``STEP_VARIANCES`` and ``STAGES`` were chosen on six
photographs of the same set, of which some may be among the 40. The Richardson-Lucy iteration was
not tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from veilset.attack.cores import MIN_SIDE_PX, pixels
from veilset.attack.filters import spectrum
from veilset.attack.least_squares import (
    Effort,
    PerPlane,
    Planes,
    most_likely,
    to_image,
    to_planes,
)
from veilset.attack.smears import Blurred, blurs_of
from veilset.errors import ConfigError
from veilset.protocols import Obfuscator
from veilset.types import Image, Mask, Region

ROUNDING_SD = math.sqrt(1 / 12)
"""Standard deviation of what rounding to whole grey levels adds."""

STEP_VARIANCES = (400.0, 20.0, 20.0)
"""Variance of the difference of two neighbours, in squared grey levels, of each plane."""

STAGES = ((1000.0, 25), (30.0, 25), (1.0, 30))
"""Excess of smoothness, and steps with it. A smoother picture is found sooner and is a good place
to go on from. At once at the last, the solver needs twice the steps, and broken off before the
end it is far worse than the blurred picture."""

_TOLERANCE = 1e-4

_MIXTURES = (0.0, 0.5, 0.9, 1.0)
"""Weights of the mask for which Wiener's filter is built; pixels between two take from both."""


@dataclass(frozen=True, slots=True)
class Deconvolution:
    """Undoes the blurs, whose filters, masks and sizes follow from the regions.

    Attributes:
        noise_sd: Standard deviation of the noise in grey levels: that of rounding, unless more
            is known of what happened to the picture since.

    Raises:
        ConfigError: If the noise is not above 0.
    """

    noise_sd: float = ROUNDING_SD

    def __post_init__(self) -> None:
        if not 0 < self.noise_sd < math.inf:
            raise ConfigError(
                f"The noise of a deconvolution is {self.noise_sd} grey levels. "
                f"Give a number above 0; rounding alone makes {ROUNDING_SD:.2f}."
            )

    def restore(self, image: Image, regions: Sequence[Region], obfuscator: Obfuscator) -> Image:
        """Give the picture before the blur, as far as it can be told.

        Args:
            image: ``(H, W, 3)`` uint8, what ``obfuscator.obfuscate`` gave.
            regions: The regions that it was given.
            obfuscator: ``blur``, ``blur-paper`` or ``blur-released``, with its settings.

        Returns:
            A copy. Pixels in which nothing was mixed are those of ``image``.
        """
        result = image.copy()
        size_wh = (image.shape[1], image.shape[0])
        if min(size_wh) < MIN_SIDE_PX:
            return result
        for blurred in blurs_of(obfuscator, regions, size_wh):
            seen = to_planes(image[pixels(blurred.frame)])
            unknown = blurred.weight > 0
            found = self._solved(blurred, seen, unknown)
            result[pixels(blurred.frame)][unknown] = to_image(found)[unknown]
        return result

    def _solved(self, blurred: Blurred, seen: Planes, unknown: Mask) -> Planes:
        found = seen
        for excess, n_steps in STAGES:
            grey, red, blue = (excess * self.noise_sd**2 / each for each in STEP_VARIANCES)
            smoothness, effort = (grey, red, blue), Effort(n_steps, _TOLERANCE)
            wiener = _wiener(blurred, smoothness)
            found = most_likely(blurred, seen, unknown, found, smoothness, effort, wiener)
        return found


def _wiener(blurred: Blurred, smoothness: PerPlane) -> Callable[[Planes], Planes]:
    """Give nearly the inverse of what is solved: Wiener's filters for some weights of the mask.

    Each pixel belongs to the two weights next to its own. The windows' squares add up to 1
    and come before and after each filter, so that the whole stays symmetric and positive.
    """
    from scipy.fft import dctn, idctn

    weight = blurred.weight
    height, width = weight.shape
    largest = max(blurred.smears, key=lambda smear: smear.weight.size)
    down, across = spectrum(largest.filters, height), spectrum(largest.filters, width)
    gain = np.outer(down, across)
    # What differences of neighbours, squared, are to each frequency.
    half_turns = [np.arange(n) / n for n in (height, width)]
    rough_down, rough_across = (2 - 2 * np.cos(np.pi * turns) for turns in half_turns)
    rough = rough_down[:, None] + rough_across
    penalty = np.array(smoothness)[:, None, None] * rough
    parts = []
    for mixture, hat in zip(_MIXTURES, np.eye(len(_MIXTURES)), strict=True):
        window = np.sqrt(np.interp(weight, _MIXTURES, hat))
        inverse = 1 / ((1 - mixture + mixture * gain) ** 2 + penalty)
        # Single precision: the inverse is not exact anyway, and this is most of the time.
        parts.append((window.astype(np.float32), inverse.astype(np.float32)))

    def eased(planes: Planes) -> Planes:
        total, single = np.zeros_like(planes), planes.astype(np.float32)
        for window, inverse in parts:
            spectra = dctn(window * single, axes=(1, 2), norm="ortho") * inverse
            total += window * idctn(spectra, axes=(1, 2), norm="ortho")
        return total

    return eased
