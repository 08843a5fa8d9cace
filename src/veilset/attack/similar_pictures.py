# SPDX-License-Identifier: Apache-2.0
"""What obfuscation leaves of the pictures: the utility that every release keeps or loses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veilset.attack.config import CLEAR, Setting
from veilset.attack.measuring import Evidence
from veilset.attack.outcomes import Outcome, Pen, Row
from veilset.intervals import Z_95, bounded_mean
from veilset.types import Direction, Measurement

SIMILARITY = "similarity"


def measure_similarity(evidence: Evidence, setting: Setting) -> Outcome | None:
    """Measure how alike obfuscated pictures and originals are, over all photographs.

    Returns:
        Rows of the mean SSIM and the mean PSNR (of the pictures that were changed, if at least two
        were); None for the originals.
    """
    if setting.name == CLEAR:
        return None
    view = evidence.view(setting.name)
    pen = Pen(setting.name, SIMILARITY)
    rows: list[Row] = [pen.row(_mean_ssim(view.ssim))]
    changed = view.psnr_db[np.isfinite(view.psnr_db)]
    if len(changed) > 1:
        rows.append(pen.row(_mean_psnr(changed)))
    return Outcome(setting.name, SIMILARITY, tuple(rows))


def _mean_ssim(values: NDArray[np.float64]) -> Measurement:
    # SSIM may fall below 0 in theory; of a picture of which a part was changed it does not.
    inside = [float(each) for each in values.clip(0.0, 1.0)]
    low, high = bounded_mean(inside)
    return Measurement(
        "SSIM", float(np.mean(inside)), low, high, len(inside), direction=Direction.HIGHER
    )


def _mean_psnr(values: NDArray[np.float64]) -> Measurement:
    mean = float(values.mean())
    half = Z_95 * float(values.std(ddof=1)) / np.sqrt(len(values))
    return Measurement(
        "PSNR", mean, mean - half, mean + half, len(values), unit="dB",
        direction=Direction.HIGHER,
    )  # fmt: skip
