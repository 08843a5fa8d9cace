# SPDX-License-Identifier: Apache-2.0
"""How well attributes are told from faces, beside telling nothing from them.

Most attributes are rare: whoever calls nobody bald is right 98 times of 100. So each accuracy
stands beside that of the commonest answer, and balanced accuracy and average precision, which
such an answer does not lift, stand beside both.

Images of one person are not independent observations. Where it is known who is who, intervals
are over people: proportions by Wilson's interval with as many images as would carry the same
information if they were independent (Rao and Scott 1992, Biometrics 48, 577-585), average
precision by a bootstrap that draws people. A bootstrap sees no more than the images: where a
handful of people have an attribute its interval is too narrow, so ``n_present`` is given too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import DatasetError
from veilset.intervals import Z_95, bounded_mean
from veilset.types import Direction, Measurement

BoolVector = NDArray[np.bool_]
FloatVector = NDArray[np.float64]
IntVector = NDArray[np.int64]

N_RESAMPLES = 1000
_CHUNK = 4_000_000
"""Weights of images held at a time."""


@dataclass(frozen=True, slots=True)
class AttributeMeasures:
    """How well one attribute is told.

    Attributes:
        name: The attribute.
        n_images: How many images.
        n_present: How many of them have it.
        accuracy: Share of images that are told rightly.
        majority: That of the commonest answer; the two do not differ by skill where the
            intervals meet.
        balanced: Mean of the shares right among those with and those without; the commonest
            answer has 0.5. None where all images are alike.
        average_precision: By the scores; scores that know nothing have the share of images
            that have the attribute. None where all images are alike.
    """

    name: str
    n_images: int
    n_present: int
    accuracy: Measurement
    majority: Measurement
    balanced: Measurement | None
    average_precision: Measurement | None


def measure_attributes(
    names: Sequence[str],
    present: ArrayLike,
    scores: ArrayLike,
    *,
    common: ArrayLike | None = None,
    people: ArrayLike | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> list[AttributeMeasures]:
    """Measure each attribute over the same images.

    Args:
        names: K names.
        present: ``(N, K)`` bool, the truth.
        scores: ``(N, K)`` float, the logits: above 0 the face is said to have the attribute.
        common: ``(K,)`` bool, the commonest answer among the images that were trained on. Left
            out, it is taken from these very images, which favours it.
        people: ``(N,)``, who is in each image; left out, all are taken as different people.
        n_resamples: Of the bootstrap, for average precision.
        seed: Of it.

    Returns:
        One for each attribute, in order. ``Measurement.n`` is the number of people.

    Raises:
        DatasetError: If the arrays do not go together, or a score is not finite.
    """
    truth, logits = _checked(names, present, scores)
    who = _codes(people, len(truth))
    answers = truth.mean(axis=0) > 0.5 if common is None else np.asarray(common, np.bool_)
    if answers.shape != (len(names),):
        raise DatasetError(f"Common answers of shape {answers.shape} do not go with {len(names)}.")
    weights = _Draws(who, n_resamples, seed)
    return [
        _measure(name, truth[:, k], logits[:, k], bool(answers[k]), who, weights)
        for k, name in enumerate(names)
    ]


def mean_accuracy(
    present: ArrayLike, scores: ArrayLike, *, people: ArrayLike | None = None
) -> Measurement:
    """Give the accuracy over all images and attributes, the number that the report gives.

    The interval is over people (or images): each gives one value, the share of right answers.
    It is Agresti and Coull's, which needs values between 0 and 1 only.

    Args:
        present, scores, people: As ``measure_attributes``.

    Raises:
        DatasetError: As ``measure_attributes``.

    Example:
        >>> found = mean_accuracy([[True, False]], [[2.0, 1.0]])
        >>> found.value, found.n
        (0.5, 1)
    """
    truth, logits = np.asarray(present, np.bool_), np.asarray(scores, np.float64)
    columns = [str(k) for k in range(truth.shape[-1])] if truth.ndim == 2 else []
    truth, logits = _checked(columns, truth, logits)
    who = _codes(people, len(truth))
    right = ((logits > 0) == truth).mean(axis=1)
    by_person = np.bincount(who, right) / np.bincount(who)
    low, high = bounded_mean(by_person.tolist())
    value = float(right.mean())
    # The mean over images weighs people by their images: keep it inside where the two differ.
    return Measurement(
        "mean accuracy over attributes",
        value,
        min(low, value),
        max(high, value),
        len(by_person),
        direction=Direction.HIGHER,
    )


def measure_share(right: ArrayLike, people: ArrayLike, title: str) -> Measurement:
    """Give the share of images that are right, with Wilson's interval over people.

    An interval of a share of 0 or 1 is as wide as that of as many images as there are people.

    Args:
        right: ``(N,)`` bool, or 0 and 1; N at least 1.
        people: ``(N,)``, who is in each image.
        title: Name of the measurement.

    Raises:
        DatasetError: If there is no image, or not as many people.

    Example:
        >>> found = measure_share([1, 1, 1], [7, 7, 8], "found")
        >>> found.value, round(found.low, 2), found.high, found.n
        (1.0, 0.34, 1.0, 2)
    """
    hits = np.asarray(right, np.bool_)
    if hits.ndim != 1 or not len(hits):
        raise DatasetError(f"Answers of shape {hits.shape} have no share. Give (N,), N at least 1.")
    return _proportion(title, hits, np.ones(len(hits), np.bool_), _codes(people, len(hits)))


def average_precision(present: ArrayLike, scores: ArrayLike) -> float | None:
    """Give ``sum_n (R_n - R_(n-1)) P_n`` over the distinct scores; scikit-learn's definition.

    Args:
        present: ``(N,)`` bool.
        scores: ``(N,)`` float, higher is more likely present.

    Returns:
        In [0, 1]; None if no image has the attribute.

    Raises:
        DatasetError: If a score is not finite, or there are not as many as images.

    Example:
        >>> average_precision([True, False, True], [3.0, 2.0, 1.0])  # (1 + 2 / 3) / 2
        0.8333333333333333
    """
    table, logits = _checked(["one"], np.atleast_2d(present).T, np.atleast_2d(scores).T)
    truth = table[:, 0]
    if not truth.any():
        return None
    return float(_weighted_precision(truth, logits[:, 0], np.ones((1, len(truth))))[0])


class _Draws:
    """The same draws of people for every attribute, made anew for each: memory stays small."""

    def __init__(self, who: IntVector, n_resamples: int, seed: int) -> None:
        self._who, self._n, self._seed = who, n_resamples, seed

    def interval(self, truth: BoolVector, logits: FloatVector) -> tuple[float, float]:
        """Give the middle 95 % of average precision; [0, 1] where one person is all there is."""
        n_people = int(self._who.max()) + 1
        if n_people == 1:
            return 0.0, 1.0
        rng = np.random.default_rng(self._seed)
        even = np.full(n_people, 1 / n_people)
        step = max(1, _CHUNK // len(self._who))
        found = []
        for start in range(0, self._n, step):
            drawn = rng.multinomial(n_people, even, size=min(step, self._n - start))
            found.append(_weighted_precision(truth, logits, drawn[:, self._who]))
        low, high = np.nanquantile(np.concatenate(found), (0.025, 0.975))
        return float(low), float(high)


def _weighted_precision(
    truth: BoolVector, logits: FloatVector, weights: NDArray[np.float64] | IntVector
) -> FloatVector:
    """Give average precision for each row of weights, ``(B, N)``; NaN where none is present."""
    order = np.argsort(-logits, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(logits[order])), len(logits) - 1)
    drawn = np.asarray(weights, np.float64)[:, order]
    # Images of one score enter together: only the last of them counts.
    seen = np.cumsum(drawn, axis=1)[:, ends]
    hits = np.cumsum(drawn * truth[order], axis=1)[:, ends]
    gained = np.diff(hits, prepend=0.0, axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0: nobody drawn yet, or nobody present
        precision = np.where(seen > 0, hits / seen, 0.0)
        value: FloatVector = (gained * precision).sum(axis=1) / hits[:, -1]
    return value


def _measure(
    name: str,
    truth: BoolVector,
    logits: FloatVector,
    common: bool,
    who: IntVector,
    draws: _Draws,
) -> AttributeMeasures:
    right = (logits > 0) == truth
    everything = np.ones(len(truth), np.bool_)
    accuracy = _proportion(f"{name}: accuracy", right, everything, who)
    title = f"{name}: accuracy of the commonest answer"
    majority = _proportion(title, truth == common, everything, who)
    balanced = precision = None
    if truth.any() and not truth.all():
        balanced = _balanced(name, right, truth, who)
        value = average_precision(truth, logits) or 0.0
        low, high = draws.interval(truth, logits)
        precision = Measurement(
            f"{name}: average precision",
            value,
            min(low, value),
            max(high, value),
            accuracy.n,
            direction=Direction.HIGHER,
        )
    return AttributeMeasures(
        name, len(truth), int(truth.sum()), accuracy, majority, balanced, precision
    )


def _balanced(name: str, right: BoolVector, truth: BoolVector, who: IntVector) -> Measurement:
    """Give the mean of two proportions.

    Its interval is put together from theirs (Zou and Donner 2008, Statistics in Medicine 27,
    1693-1702), as if those with and those without the attribute were independent.
    """
    with_it = _proportion("", right, truth, who)
    without = _proportion("", right, ~truth, who)
    value = (with_it.value + without.value) / 2
    below = np.hypot(with_it.value - with_it.low, without.value - without.low) / 2
    above = np.hypot(with_it.high - with_it.value, without.high - without.value) / 2
    return Measurement(
        f"{name}: balanced accuracy",
        value,
        max(0.0, float(value - below)),
        min(1.0, float(value + above)),
        int(who.max()) + 1,
        direction=Direction.HIGHER,
    )


def _proportion(name: str, right: BoolVector, among: BoolVector, who: IntVector) -> Measurement:
    """Give the share that is right among some images, with Wilson's interval over people."""
    n_people = int(who.max()) + 1
    trials = np.bincount(who, among, n_people)
    hits = np.bincount(who, among & right, n_people)
    n, m = float(trials.sum()), int((trials > 0).sum())
    share = float(hits.sum()) / n
    if m == n:
        effect = 1.0
    elif share in (0.0, 1.0) or m == 1:
        # Nothing is seen of how people differ: each counts once.
        effect = n / m
    else:
        variance = m / (m - 1) * float(((hits - share * trials) ** 2).sum()) / n**2
        effect = max(1.0, variance * n / (share * (1 - share)))
    low, high = _wilson(share, n / effect)
    return Measurement(name, share, low, high, m, direction=Direction.HIGHER)


def _wilson(share: float, n: float) -> tuple[float, float]:
    """Give Wilson's interval; as ``intervals.wilson``, for a number that need not be whole."""
    z2 = Z_95 * Z_95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the formula meets 0 and 1; rounding must not step over, nor leave the share out.
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def _checked(
    names: Sequence[str], present: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth, logits = np.asarray(present, np.bool_), np.asarray(scores, np.float64)
    if truth.ndim != 2 or truth.shape != logits.shape or truth.shape[1] != len(names):
        raise DatasetError(
            f"Truth of shape {truth.shape} and scores of shape {logits.shape} do not go with "
            f"{len(names)} attributes. Give (N, K) of both."
        )
    if not len(truth) or not truth.shape[1]:
        raise DatasetError("There is nothing to measure: give at least one image and attribute.")
    if not np.isfinite(logits).all():
        raise DatasetError("A score is not a finite number. Train the classifier anew.")
    return truth, logits


def _codes(people: ArrayLike | None, n: int) -> IntVector:
    if people is None:
        return np.arange(n)
    given = np.asarray(people)
    if given.shape != (n,):
        raise DatasetError(f"People of shape {given.shape} do not go with {n} images. Give ({n},).")
    return np.unique(given, return_inverse=True)[1].astype(np.int64)
