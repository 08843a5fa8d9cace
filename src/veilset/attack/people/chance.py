# SPDX-License-Identifier: Apache-2.0
"""What answers say: tests against chance that are exact, intervals that respect who answered.

Several answers by one person, and several people's answers to one question, are alike: who
looks with care is right more often, and a candidate who resembles the probe is picked by all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from veilset.intervals import binomial_tail, clopper_pearson

MIN_ASSESSORS = 5
"""With fewer, resampling assessors says nothing of others."""

FloatVector = NDArray[np.float64]


def chance_p(picks: Mapping[str, Sequence[int]], right: Mapping[str, int], n_shown: int) -> float:
    """Give the probability of so many right picks, or more, if the probes told nothing.

    Who of the candidates is right is drawn for each question by itself, each with the same
    probability (``drawing`` says how). If the probe tells nothing, whoever is picked, for
    whatever reason, each of them was as likely to be the right one. So a question that v people
    gave to a candidate has v right picks with probability 1 / n_shown for each candidate, and
    questions are independent of each other: their distributions are convolved. Where each
    question was answered once, this is the exact one-sided binomial test.

    Args:
        picks: For each question the places that were picked, 1 to ``n_shown``; people who
            named nobody are left out, as they cannot be right by chance.
        right: For each question the right place.
        n_shown: Candidates of each question.

    Returns:
        In (0, 1]; 1 if nobody was picked.

    Example:
        >>> round(chance_p({"a": [1], "b": [2], "c": [3]}, {"a": 1, "b": 2, "c": 9}, 9), 6)
        0.034294
        >>> round(chance_p({"a": [1, 1, 1]}, {"a": 1}, 9), 6)
        0.111111
    """
    n_right = sum(list(places).count(right[name]) for name, places in picks.items())
    if all(len(places) <= 1 for places in picks.values()):
        n_picks = sum(map(len, picks.values()))
        return binomial_tail(n_right, n_picks, 1 / n_shown) if n_right else 1.0
    chances = np.ones(1)
    for places in picks.values():
        votes = list(Counter(places).values())
        one = np.zeros(max(votes, default=0) + 1)
        for n_votes in votes + [0] * (n_shown - len(votes)):
            one[n_votes] += 1 / n_shown
        chances = np.convolve(chances, one)
    return min(1.0, float(chances[n_right:].sum()))


def share_interval(
    hits: Sequence[bool],
    assessors: Sequence[str],
    questions: Sequence[str],
    *,
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Give the 95 % interval of a share of answers.

    From five assessors on they are drawn with replacement, with all their answers; where
    several people answered a question, questions are drawn as well, independently (the
    pigeonhole bootstrap of Owen 2007, Ann. Appl. Stat. 1, 386-411, which errs on the wide
    side). It is never narrower than the exact binomial interval, so that it is no single
    point where all are right or all wrong. With fewer assessors it is the exact one, which
    takes all answers for independent.

    Args:
        hits: For each answer whether it counts; at least one answer.
        assessors: For each answer whose it is.
        questions: For each answer what was asked.
        n_resamples: Draws of the bootstrap.
        rng: Draws them.

    Returns:
        Lower and upper end, in [0, 1].

    Example:
        >>> people, names = "aaaabbbb", [str(i) for i in range(8)]
        >>> low, high = share_interval([True] * 4 + [False] * 4, people, names,
        ...                            n_resamples=100, rng=np.random.default_rng(1))
        >>> round(low, 3), round(high, 3)
        (0.157, 0.843)
    """
    low, high = clopper_pearson(sum(hits), len(hits))
    people, person = np.unique(list(assessors), return_inverse=True)
    if len(people) < MIN_ASSESSORS:
        return low, high
    asked, question = np.unique(list(questions), return_inverse=True)
    counts = np.zeros((2, len(people), len(asked)))
    np.add.at(counts[0], (person, question), np.asarray(hits, dtype=np.float64))
    np.add.at(counts[1], (person, question), 1.0)
    drawn = _drawn(rng, len(people), n_resamples)
    if len(asked) < len(hits):
        weights = _drawn(rng, len(asked), n_resamples)
        n_hits, n_all = (((drawn @ each) * weights).sum(axis=1) for each in counts)
    else:
        n_hits, n_all = (drawn @ each.sum(axis=1) for each in counts)
    # Where few people share a question, a draw may have no answer at all.
    shares = n_hits[n_all > 0] / n_all[n_all > 0]
    ends = np.quantile(shares, (0.025, 0.975))
    return min(low, float(ends[0])), max(high, float(ends[1]))


def _drawn(rng: np.random.Generator, n: int, n_resamples: int) -> FloatVector:
    """Give how often each of n is drawn in n draws with replacement, ``(n_resamples, n)``."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)


def median_interval(
    values: Sequence[float],
    assessors: Sequence[str],
    *,
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    """Give the 95 % interval of a median over answers.

    From five assessors on they are drawn with replacement. With fewer it is the interval
    between two of the ordered values, exact if answers were independent (Conover 1999,
    Practical Nonparametric Statistics, section 3.2).

    Returns:
        None for fewer than 6 answers by fewer than 5 people: no two of them enclose the
        median with a probability of 95 %.

    Example:
        >>> median_interval(range(1, 7), "aaaaaa", n_resamples=9, rng=np.random.default_rng(1))
        (1, 6)
    """
    groups = _by_assessor(values, assessors)
    if len(groups) >= MIN_ASSESSORS:
        picked = rng.integers(len(groups), size=(n_resamples, len(groups)))
        medians = [median(np.concatenate([groups[i] for i in row])) for row in picked]
        low, high = np.quantile(medians, (0.025, 0.975))
        return float(low), float(high)
    ordered, n = sorted(values), len(values)
    # The k-th smallest and the k-th largest: as far in as coverage allows.
    inside = [k for k in range(1, n // 2 + 1) if binomial_tail(n - k + 1, n, 0.5) <= 0.025]
    return (ordered[inside[-1] - 1], ordered[n - inside[-1]]) if inside else None


def _by_assessor(values: Iterable[float], assessors: Iterable[str]) -> list[FloatVector]:
    groups: dict[str, list[float]] = {}
    for value, assessor in zip(values, assessors, strict=True):
        groups.setdefault(assessor, []).append(value)
    return [np.array(group, dtype=np.float64) for _, group in sorted(groups.items())]
