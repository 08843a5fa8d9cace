# SPDX-License-Identifier: Apache-2.0
"""How many regions there are, from how often people who looked by themselves agree.

Faces that nobody found leave no trace but this: where two people each found what the other
did not, there is more that neither did.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from veilset.errors import ConfigError
from veilset.intervals import Z_95
from veilset.review.rules.consensus import merge_replicas
from veilset.review.settings import JobSettings
from veilset.review.values import Drawing
from veilset.types import Measurement


def added_sightings(
    images: Iterable[Sequence[Drawing]], settings: JobSettings
) -> dict[int, Counter[int]]:
    """Count by how many people each added region was drawn.

    Only boxes without a source count: proposals were shown to everybody, so that finding
    them says nothing about finding.

    Args:
        images: The answers on each image; a single one says nothing and is passed over.
        settings: Decides which boxes are one region, see ``consensus.merge_replicas``.

    Returns:
        For each number of people an image had: regions by the number who drew them.

    Example:
        >>> from veilset.review.values import Drawn
        >>> face, other = Drawn((0, 0, 9, 9)), Drawn((30, 0, 39, 9))
        >>> added_sightings([[(face,), (face, other)]], JobSettings())
        {2: Counter({2: 1, 1: 1})}
    """
    found: dict[int, Counter[int]] = {}
    for drawings in images:
        if len(drawings) < 2:
            continue
        added = [tuple(each for each in drawing if each.source is None) for drawing in drawings]
        merged = merge_replicas(added, settings).merged
        found.setdefault(len(drawings), Counter()).update(each.votes for each in merged)
    return {n_people: found[n_people] for n_people in sorted(found)}


def recapture_among(sightings: Mapping[int, int], n_people: int) -> Measurement:
    """Estimate how many regions there are from any number of people, two or more.

    People differ from image to image, so only the number who drew a region counts. With
    ``f1`` and ``f2`` regions drawn by exactly one and two of ``t`` people, at least
    ``(t - 1) / t * f1 (f1 - 1) / (2 (f2 + 1))`` were drawn by nobody (Chao 1987, in the
    bias-corrected form known as Chao2). It is a lower bound if regions differ in how hard
    they are, as small faces do. For two people it is close to Chapman's estimator (1951). The
    interval is log-normal about the number of unseen regions (Chao 1987); where ``f1`` is
    below 2, which leaves no variance, its upper end is that of ``f1 = 2``.

    Args:
        sightings: Regions by the number of people who drew them, as ``added_sightings`` gives.
        n_people: How many looked at each image, at least 2.

    Returns:
        The number of regions; ``n`` is the number that was seen.

    Raises:
        ConfigError: If fewer than two people looked, or a region was drawn by none or by
            more than looked.

    Example:
        >>> found = recapture_among({1: 10, 2: 12, 3: 30}, n_people=3)
        >>> round(found.value, 1), round(found.low, 1), round(found.high, 1)
        (54.3, 52.5, 63.4)
    """
    is_known = all(1 <= k <= n_people and count >= 0 for k, count in sightings.items())
    if n_people < 2 or not is_known:
        raise ConfigError(
            f"Regions drawn by {sorted(sightings)} of {n_people} people say nothing. "
            "Give two people or more, and regions drawn by one of them at least."
        )
    seen = sum(sightings.values())
    f1, f2 = sightings.get(1, 0), sightings.get(2, 0)
    share = (n_people - 1) / n_people
    unseen, _ = _unseen(f1, f2, share)
    for_interval, factor = _unseen(max(f1, 2), f2, share)
    low = seen + unseen / factor if f1 >= 2 else float(seen)
    high = seen + for_interval * factor
    return Measurement("regions there are", seen + unseen, low, high, seen, "regions")


def _unseen(f1: int, f2: int, share: float) -> tuple[float, float]:
    """Give the number of unseen regions and the factor of its interval."""
    ratio = share / (f2 + 1)
    unseen = ratio * f1 * (f1 - 1) / 2
    if unseen == 0:
        return 0.0, 1.0
    variance = (
        unseen
        + ratio**2 * f1 * (2 * f1 - 1) ** 2 / 4
        + ratio**2 * f1**2 * f2 * (f1 - 1) ** 2 / (4 * (f2 + 1) ** 2)
    )
    return unseen, math.exp(Z_95 * math.sqrt(math.log1p(variance / unseen**2)))
