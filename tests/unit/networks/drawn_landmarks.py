# SPDX-License-Identifier: Apache-2.0
"""Landmarks of a drawn face, numbered as dlib numbers them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def drawn_landmarks(
    centre: tuple[float, float] = (50.0, 55.0),
    width: float = 50.0,
    height: float = 60.0,
    turn: float = 0.0,
) -> NDArray[np.float64]:
    """Give ``(68, 2)`` of a face from brows to chin, turned by ``turn`` radians."""
    jaw_turn = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 * np.cos(jaw_turn), -0.15 + 0.65 * np.sin(jaw_turn)], axis=1)
    brows = np.stack([np.linspace(-0.4, 0.4, 10), np.full(10, -0.4)], axis=1)
    bridge = np.stack([np.zeros(4), np.linspace(-0.3, 0.0, 4)], axis=1)
    bottom = np.stack([np.linspace(-0.1, 0.1, 5), np.full(5, 0.05)], axis=1)
    around = np.linspace(np.pi, -np.pi, 6, endpoint=False)
    eye = np.stack([0.08 * np.cos(around), -0.25 - 0.04 * np.sin(around)], axis=1)
    around = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    lips = np.stack([0.15 * np.cos(around), 0.25 - 0.08 * np.sin(around)], axis=1)
    inner = lips[[0, 2, 3, 4, 6, 8, 9, 10]] * (0.8, 1.0)
    aside = np.array([0.2, 0.0])
    parts = (jaw, brows, bridge, bottom, eye - aside, eye + aside, lips, inner)
    points = np.concatenate(parts) * (width, height)
    cos, sin = np.cos(turn), np.sin(turn)
    turned: NDArray[np.float64] = points @ np.array([[cos, sin], [-sin, cos]]) + centre
    return turned
