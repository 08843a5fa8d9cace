# SPDX-License-Identifier: Apache-2.0
"""The same bytes as when the golden pictures were looked at and committed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PilImage

from tests.golden.regenerate import FOLDER, METHODS, picture_of

# OpenCV, NumPy and OpenVINO compute these in floating point, where another CPU may round otherwise.
TOLERANCE = {"blur": 1, "inpaint": 2, "swirl": 1, "synthesize": 1}


@pytest.mark.parametrize("name", METHODS)
def test_the_picture_is_the_golden_one(name):
    with PilImage.open(FOLDER / f"{name}.png") as stored:
        golden = np.asarray(stored.convert("RGB")).astype(int)
    error = np.abs(picture_of(name).astype(int) - golden)
    assert error.max() <= TOLERANCE.get(name, 0)


def test_no_golden_picture_is_left_over():
    assert sorted(path.stem for path in FOLDER.glob("*.png")) == sorted(METHODS)
