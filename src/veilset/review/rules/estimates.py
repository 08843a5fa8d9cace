# SPDX-License-Identifier: Apache-2.0
"""What can be said about workers, about faces still missed, and about when to stop.

Nothing here knows the truth of the whole data set. Each estimate says what it rests on:
gold, a random sample that an expert looked at, or the pace of the work so far. What several
people who looked at the same images say is in ``recapture``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from veilset.intervals import clopper_pearson, clustered_rate, wilson
from veilset.review.values import GoldVerdict
from veilset.types import Direction, Measurement


@dataclass(frozen=True, slots=True)
class GoldQuality:
    """What gold says of somebody; None where they met no face or drew no box.

    Attributes:
        recall: Share of the true regions that were covered.
        precision: Share of the boxes that lay on true regions.
    """

    recall: Measurement | None
    precision: Measurement | None


def gold_quality(verdicts: Iterable[GoldVerdict]) -> GoldQuality:
    """Give somebody's recall and precision on gold, with Wilson's intervals.

    Faces count one by one; those of one image are not quite independent, so that on gold
    with crowds the intervals are somewhat too narrow.

    Args:
        verdicts: Of all their answers on gold.

    Example:
        >>> verdict = GoldVerdict(False, (), n_true=4, n_found=3, n_drawn=3, n_right=3, union_iou=1)
        >>> quality = gold_quality([verdict])
        >>> quality.recall.value, quality.precision.value
        (0.75, 1.0)
    """
    every = list(verdicts)
    n_found, n_true = sum(each.n_found for each in every), sum(each.n_true for each in every)
    n_right, n_drawn = sum(each.n_right for each in every), sum(each.n_drawn for each in every)
    return GoldQuality(
        recall=_share("recall on gold", n_found, n_true),
        precision=_share("precision on gold", n_right, n_drawn),
    )


def _share(name: str, k: int, n: int) -> Measurement | None:
    if n == 0:
        return None
    low, high = wilson(k, n)
    return Measurement(name, k / n, low, high, n, direction=Direction.HIGHER)


def missed_face_estimate(n_missed: int, n_audited: int) -> Measurement:
    """Give the share of images that still miss a region, from a random audit sample.

    The interval of Clopper and Pearson (1934) holds whatever the truth, if the sample was
    drawn at random and the expert misses nothing.

    Args:
        n_missed: Audited images on which the expert found a region that was missed.
        n_audited: Images in the sample, at least 1.

    Raises:
        ConfigError: If the two make no proportion.

    Example:
        >>> found = missed_face_estimate(0, 300)
        >>> found.value, round(found.high, 4)
        (0.0, 0.0122)
    """
    low, high = clopper_pearson(n_missed, n_audited)
    return Measurement(
        "images that miss a region", n_missed / n_audited, low, high, n_audited,
        direction=Direction.LOWER,
    )  # fmt: skip


def missed_per_image(counts: Sequence[int]) -> Measurement:
    """Give the mean number of regions that an image still misses, from a random sample.

    Args:
        counts: Missed regions of each audited image, the zeros too.

    Returns:
        The mean; its interval is clustered by image (``intervals.clustered_rate``).

    Raises:
        ConfigError: If there is no image or a count is negative.

    Example:
        >>> missed_per_image([0, 0, 0, 4]).value
        1.0
    """
    return _rate("missed regions of an image", counts, len(counts), "regions per image")


def _rate(name: str, counts: Sequence[int], exposure: float, unit: str) -> Measurement:
    low, high = clustered_rate(counts, exposure)
    return Measurement(name, sum(counts) / exposure, low, high, len(counts), unit)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An image that somebody finished.

    Attributes:
        priority: Its place in the order of work, from ``rules.order``.
        n_found: Regions that were missing before and that the person added.
        minutes: How long they had it before them.
    """

    priority: float
    n_found: int
    minutes: float


def found_per_minute(reviewed: Sequence[Reviewed]) -> Measurement | None:
    """Give the missed regions that people found in a minute of work.

    Args:
        reviewed: Finished images, those on which nothing was found too.

    Returns:
        The rate with Garwood's interval, widened by how unevenly the finds are spread over
        images (``intervals.clustered_rate``); ``n`` counts images. None if no time passed.

    Example:
        >>> found = found_per_minute([Reviewed(0.5, 1, 0.5), Reviewed(0.4, 0, 0.25)] * 8)
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (1.333, 0.576, 2.627)
    """
    minutes = math.fsum(each.minutes for each in reviewed)
    if minutes <= 0:
        return None
    counts = [each.n_found for each in reviewed]
    found = _rate("missed regions found", counts, minutes, "regions per minute")
    return _higher(found)


def _higher(found: Measurement) -> Measurement:
    return replace(found, direction=Direction.HIGHER)


def like_the_next(
    reviewed: Iterable[Reviewed], upcoming: Sequence[float], n_like: int = 200
) -> list[Reviewed]:
    """Choose the finished images whose priority is nearest to that of the images to come.

    Work goes from high priority to low. What was found so far on average says too much
    about the rest; what was found on images like it says more. If nothing like it was
    seen yet, the nearest are the last ones, and then the expectation is rather too high.

    Args:
        reviewed: Finished images.
        upcoming: Priorities of the images to come: the next batch, or all that are open.
        n_like: How many to choose.

    Returns:
        At most ``n_like``, nearest first; none if no image is to come.

    Example:
        >>> done = [Reviewed(0.9, 3, 1.0), Reviewed(0.3, 0, 1.0), Reviewed(0.2, 1, 1.0)]
        >>> [each.priority for each in like_the_next(done, [0.1, 0.2], n_like=2)]
        [0.2, 0.3]
    """
    if not upcoming:
        return []
    middle = median(upcoming)
    return sorted(reviewed, key=lambda each: abs(each.priority - middle))[:n_like]


@dataclass(frozen=True, slots=True)
class StopRule:
    """When reviewing is done.

    Attributes:
        missed_per_1000: Stop when, at the upper end of the interval, no more missed regions
            than these are expected in 1,000 of the open images.
        found_per_minute: Stop when, at the upper end of the interval, a minute of work finds
            fewer missed regions than this.
    """

    missed_per_1000: float = 5.0
    found_per_minute: float = 0.05


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether to go on.

    Attributes:
        is_done: Whether the rule says to stop.
        sentence: The same for the owner, with the numbers it rests on.
        expected_per_minute: Missed regions a minute on images like the next; None if unknown.
        missed_left: Missed regions expected in the open images; None if unknown.
    """

    is_done: bool
    sentence: str
    expected_per_minute: Measurement | None
    missed_left: Measurement | None


def advise(
    reviewed: Iterable[Reviewed],
    upcoming: Sequence[float],
    rule: StopRule | None = None,
    n_like: int = 1000,
) -> Advice:
    """Say whether to go on with an ordered queue of images.

    The finished images most like the open ones (``like_the_next``) tell how many missed
    regions a person finds on such an image and in a minute. The rule looks at the upper
    ends of both intervals, so that little work is never a reason to stop: with nothing
    found, 5 in 1,000 takes 738 images. It speaks of what people find. What they overlook
    too is for the audit sample to say.

    Args:
        reviewed: Finished images.
        upcoming: Priorities of the open images.
        rule: When to stop.
        n_like: How many finished images to look at.

    Example:
        >>> done = [Reviewed(0.1, 0, 0.2)] * 1000
        >>> advise(done, [0.1, 0.0]).is_done
        True
        >>> advise(done[:100], [0.1, 0.0]).sentence.startswith("Go on: in 100 images like")
        True
    """
    rule = rule or StopRule()
    like = like_the_next(reviewed, upcoming, n_like)
    pace = found_per_minute(like)
    if not upcoming:
        return Advice(True, "Done: no image is open.", None, None)
    if pace is None:
        return Advice(False, "Go on: nothing is known yet about images like these.", None, None)
    each = missed_per_image([image.n_found for image in like])
    n_open = len(upcoming)
    left = Measurement(
        "missed regions in the open images", each.value * n_open, each.low * n_open,
        each.high * n_open, each.n, "regions", Direction.LOWER,
    )  # fmt: skip
    is_done = each.high * 1000 <= rule.missed_per_1000 or pace.high < rule.found_per_minute
    n_found = sum(image.n_found for image in like)
    sentence = (
        f"{'Stop' if is_done else 'Go on'}: in {len(like):,} images like the open ones people "
        f"found {n_found:,} missed region{'' if n_found == 1 else 's'}, at most "
        f"{each.high * 1000:,.1f} in 1,000 images and {pace.high:.2f} a minute (95 %). Stop at "
        f"{rule.missed_per_1000:g} in 1,000, or below {rule.found_per_minute:g} a minute."
    )
    return Advice(is_done, sentence, pace, left)
