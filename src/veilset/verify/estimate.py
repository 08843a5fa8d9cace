# SPDX-License-Identifier: Apache-2.0
"""From a sample to a rate with its interval."""

from __future__ import annotations

from collections.abc import Mapping

from veilset.intervals import clopper_pearson
from veilset.types import Direction, Measurement


def missed_face_rate(
    which: str, n_missed: int, n_sampled: int, inputs: Mapping[str, str]
) -> Measurement:
    """Estimate the share of images that show a missed face.

    Args:
        which: ``untouched`` or ``touched``: the images it speaks of.
        n_missed: Images of the sample in which a face was found at leak level.
        n_sampled: Images in the sample, at least 1.
        inputs: Digests of what was measured, by name.

    Returns:
        The share with its exact 95 % interval. It counts what the detectors of the
        verification can find, so it is a lower bound of what people would.
    """
    low, high = clopper_pearson(n_missed, n_sampled)
    return Measurement(
        name=f"{which} images with a missed face",
        value=n_missed / n_sampled,
        low=low,
        high=high,
        n=n_sampled,
        direction=Direction.LOWER,
        inputs=inputs,
    )
