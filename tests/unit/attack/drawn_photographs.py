# SPDX-License-Identifier: Apache-2.0
"""Pictures that vary as photographs do, drawn from seeds."""

from __future__ import annotations

import numpy as np

from veilset.types import Image


def photograph(height: int, width: int, seed: int = 0, steepness: float = 1.4) -> Image:
    """Draw noise whose amplitude falls with frequency: higher steepness is smoother."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1
    planes = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.normal(size=(height, width))) / frequency**steepness
        spectrum[0, 0] = 0
        plane = np.fft.irfft2(spectrum, s=(height, width))
        planes.append(plane / plane.std())
    # Brightness varies more than colour.
    grey = planes[0]
    rgb = np.stack([grey, grey + 0.2 * planes[1], grey + 0.2 * planes[2]], axis=-1)
    drawn: Image = np.clip(np.rint(128 + 45 * rgb), 0, 255).astype(np.uint8)
    return drawn
