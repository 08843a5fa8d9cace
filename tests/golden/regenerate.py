# SPDX-License-Identifier: Apache-2.0
"""Draw the scene of the golden pictures and write what each method makes of it.

    python -m tests.golden.regenerate

A golden picture says that nothing changed, not that it is right: look at the new ones
before committing them, raise ``version`` on the card of the method, and say so in the
changelog.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from tests.obfuscators import NAMES, made
from veilset.types import Image, Region

FOLDER = Path(__file__).parent
METHODS = ("scene", *NAMES)

REGIONS = (
    Region((22.0, 10.0, 62.0, 60.0)),
    Region((78.5, 30.2, 98.1, 55.9)),
    Region((90.0, 45.0, 104.0, 62.0)),  # overlaps the one before
    Region((106.0, 4.0, 112.0, 11.0)),
    Region((118.0, 60.0, 140.0, 96.0)),  # over the border
    Region((70.0, 8.0, 71.0, 9.0)),  # one pixel
)


def draw_scene() -> Image:
    """Draw five schematic faces before a slanted sky, ``(80, 128, 3)`` uint8."""
    y, x = np.mgrid[0:80, 0:128].astype(float)
    scene = np.stack([90 + 0.5 * x, 120 + 0.6 * y, 200 - 0.4 * x], axis=2)
    scene += (((x // 4) + (y // 4)) % 2 * 14)[..., None]
    for region in REGIONS[:5]:
        x0, y0, x1, y1 = region.box_xyxy
        u, v = (x - (x0 + x1) / 2) / ((x1 - x0) / 2), (y - (y0 + y1) / 2) / ((y1 - y0) / 2)
        scene[u**2 + v**2 < 1] = (214, 160, 128)
        for eye in (-0.4, 0.4):
            scene[(u - eye) ** 2 / 0.03 + (v + 0.25) ** 2 / 0.015 < 1] = (250, 250, 250)
            scene[(u - eye) ** 2 / 0.008 + (v + 0.25) ** 2 / 0.01 < 1] = (40, 24, 16)
        scene[(np.abs(u) < 0.07) & (np.abs(v - 0.1) < 0.2)] = (180, 120, 96)
        scene[u**2 / 0.12 + (v - 0.55) ** 2 / 0.012 < 1] = (170, 40, 50)
        scene[(v < -0.62) & (u**2 + v**2 < 1)] = (60, 40, 30)
    drawn: Image = np.clip(np.rint(scene), 0, 255).astype(np.uint8)
    return drawn


def picture_of(name: str) -> Image:
    """Give the scene itself, or what a method makes of it."""
    scene = draw_scene()
    return scene if name == "scene" else made(name).obfuscate(scene, REGIONS)


def main() -> None:
    for name in METHODS:
        PilImage.fromarray(picture_of(name)).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
