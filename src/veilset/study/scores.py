# SPDX-License-Identifier: Apache-2.0
"""What all runs said of the test images, in memory: the classes they named, not the logits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.study.paired import Drop, paired_drop
from veilset.study.precision import average_precisions, rank_hits
from veilset.study.statistics import MeanSem, mean_sem

BoolVector = NDArray[np.bool_]
IntVector = NDArray[np.int64]
FloatVector = NDArray[np.float64]
FloatMatrixOrNone = NDArray[np.float64] | None

METRICS = ("top1", "top5")
METRIC_NAMES = {"top1": "Top-1 accuracy", "top5": "Top-5 accuracy", "ap": "Average precision"}


class Question(NamedTuple):
    """On which setting a network was trained, and on which it was evaluated."""

    trained: str
    evaluated: str


class RunKey(NamedTuple):
    """One file of predictions."""

    network: str
    question: Question
    seed: int


@dataclass(frozen=True, slots=True)
class RunScores:
    """What one run made of the test images.

    Attributes:
        top1: ``(N,)``, whether the likeliest class is right.
        top5: ``(N,)``, whether one of the first five is; None for five classes or fewer.
        predicted: ``(N,)``, the likeliest class.
        ap: ``(K,)``, average precision of each class; None where no scores were kept.
    """

    top1: BoolVector
    top5: BoolVector | None
    predicted: IntVector
    ap: FloatVector | None

    @classmethod
    def of(
        cls, labels: ArrayLike, top: ArrayLike, scores: ArrayLike | None, n_classes: int
    ) -> RunScores:
        """Judge a run.

        Args:
            labels: ``(N,)`` integers, the truth.
            top: ``(N, min(5, K))`` classes, the likeliest first.
            scores: ``(N, K)`` logits, or None.
            n_classes: K.
        """
        first, among = rank_hits(labels, top, n_classes)
        predicted = np.asarray(top, dtype=np.int64)[:, 0]
        ap = None if scores is None else average_precisions(labels, scores)
        return cls(first, among, predicted, ap)

    def correct(self, metric: str) -> BoolVector | None:
        """Give what is right by a metric, ``top1`` or ``top5``."""
        return self.top1 if metric == "top1" else self.top5


@dataclass(frozen=True, slots=True)
class Scores:
    """All runs of a study on the same test images.

    Attributes:
        labels: ``(N,)``, the class of each image.
        n_classes: K.
        networks: Names, in the order of the study.
        runs: What is there.
        ddof: Of standard errors.
    """

    labels: IntVector
    n_classes: int
    networks: tuple[str, ...]
    runs: Mapping[RunKey, RunScores] = field(repr=False)
    ddof: int = 1

    def seeds(self, networks: Iterable[str], questions: Iterable[Question]) -> tuple[int, ...]:
        """Give the seeds of which every one of these networks answered all of these questions."""
        asked = [(network, question) for network in networks for question in questions]
        shared = [
            {key.seed for key in self.runs if (key.network, key.question) == each} for each in asked
        ]
        return tuple(sorted(set.intersection(*shared))) if shared else ()

    def has(self, metric: str) -> bool:
        """Whether any run knows a metric: ``top1``, ``top5`` or ``ap``."""
        return any(getattr(run, metric) is not None for run in self.runs.values())

    def correct(
        self, networks: Sequence[str], question: Question, seeds: Sequence[int], metric: str
    ) -> FloatMatrixOrNone:
        """Give the share of networks that are right, for each seed and image.

        Returns:
            ``(S, N)`` in [0, 1]; None if a run is missing or does not know the metric.
        """
        rows = []
        for seed in seeds:
            total = np.zeros(len(self.labels))
            for network in networks:
                run = self.runs.get(RunKey(network, question, seed))
                right = run.correct(metric) if run else None
                if right is None:
                    return None
                total += right
            rows.append(total / len(networks))
        return np.array(rows).reshape(len(rows), len(self.labels))

    def accuracy(self, network: str, question: Question, metric: str) -> MeanSem | None:
        """Give the accuracy of one network over all its seeds; None without any."""
        seeds = self.seeds([network], [question])
        right = self.correct([network], question, seeds, metric)
        if right is None or not seeds:
            return None
        return mean_sem(right.mean(axis=1), self.ddof)

    def average(self, question: Question, metric: str) -> MeanSem | None:
        """Give the mean over networks of their means; without a standard error, as published.

        Returns:
            Over the seeds of which every network has a run, and how many they are. None if
            there is none: the mean of some networks would be of something else.
        """
        seeds = self.seeds(self.networks, [question])
        right = self.correct(self.networks, question, seeds, metric)
        if right is None or not seeds:
            return None
        return MeanSem(float(right.mean()), None, len(seeds))

    def mean_drop(
        self, networks: Sequence[str], questions: tuple[Question, Question], metric: str
    ) -> float | None:
        """Give what the second question costs, over the seeds of which all networks have both."""
        seeds = self.seeds(networks, questions)
        a, b = (self.correct(networks, question, seeds, metric) for question in questions)
        if not seeds or a is None or b is None:
            return None
        return float(a.mean() - b.mean())

    def compare(
        self,
        networks: Sequence[str],
        questions: tuple[Question, Question],
        metric: str,
        *,
        images: BoolVector | None = None,
        n_resamples: int,
        rng: np.random.Generator,
    ) -> Drop | None:
        """Give what the second question costs against the first.

        Args:
            networks: One, or several to be averaged.
            questions: The reference, and what is compared with it.
            metric: ``top1`` or ``top5``.
            images: ``(N,)``, which count; None for all.
            n_resamples: Of the bootstrap.
            rng: Draws them.

        Returns:
            None where no seed has all of these runs, or no image counts.
        """
        seeds = self.seeds(networks, questions)
        a, b = (self.correct(networks, question, seeds, metric) for question in questions)
        if not seeds or a is None or b is None:
            return None
        chosen = np.ones(len(self.labels), dtype=np.bool_) if images is None else images
        return paired_drop(
            a[:, chosen],
            b[:, chosen],
            self.labels[chosen],
            n_resamples=n_resamples,
            rng=rng,
        )

    def by_class(self, question: Question, seeds: Sequence[int], metric: str) -> FloatMatrixOrNone:
        """Give a metric of every class, averaged over networks, for each seed.

        Args:
            question: Which runs.
            seeds: Of which every network has a run.
            metric: ``top1``, ``top5`` or ``ap``.

        Returns:
            ``(S, K)`` in [0, 1], NaN for a class without images; None if a run is missing or
            does not know the metric.
        """
        if metric == "ap":
            return self._ap_by_class(question, seeds)
        right = self.correct(self.networks, question, seeds, metric)
        if right is None:
            return None
        counts = np.bincount(self.labels, minlength=self.n_classes)
        sums = [np.bincount(self.labels, row, minlength=self.n_classes) for row in right]
        with np.errstate(invalid="ignore"):
            return np.array(sums).reshape(len(right), self.n_classes) / counts

    def _ap_by_class(self, question: Question, seeds: Sequence[int]) -> FloatMatrixOrNone:
        rows = []
        for seed in seeds:
            found = [self.runs.get(RunKey(network, question, seed)) for network in self.networks]
            known = [run.ap for run in found if run is not None and run.ap is not None]
            if len(known) < len(found):
                return None
            rows.append(np.mean(known, axis=0))
        return np.array(rows).reshape(len(rows), self.n_classes)
