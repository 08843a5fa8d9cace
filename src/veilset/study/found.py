# SPDX-License-Identifier: Apache-2.0
"""What an evaluation has before it: the runs of a study, and what is known of its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from veilset.seeds import derive
from veilset.study.facts import ImageFacts
from veilset.study.scores import IntVector, Question, RunKey, Scores


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that tables are made of.

    Attributes:
        reference: The setting that drops are measured against.
        settings: All of them, in the order of the study.
        scores: The runs that are there.
        planned: The runs that the study asks for.
        classes: Folder of each class.
        names: Name for people of each class.
        is_ilsvrc: Whether the paper's numbers are of these classes.
        facts: Of the test images; None without annotations.
        n_resamples: Of every bootstrap.
        area_bins: Edges of the shares of images that are obfuscated.
        object_bins: Edges of the shares of objects that faces cover.
        roles: Setting of ``released``, ``per_face``, ``veil`` and ``overlay``, where there is one.
        splits: Facts and classes of the images of each split; empty without annotations.
        failed: Kind of failure of a run, by its id.
    """

    reference: str
    settings: tuple[str, ...]
    scores: Scores
    planned: frozenset[RunKey]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    is_ilsvrc: bool
    facts: ImageFacts | None
    n_resamples: int
    area_bins: tuple[float, ...]
    object_bins: tuple[float, ...]
    roles: Mapping[str, str]
    splits: tuple[tuple[ImageFacts, IntVector], ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> Question:
        """Trained and evaluated on the reference."""
        return Question(self.reference, self.reference)

    @property
    def questions(self) -> frozenset[Question]:
        """The questions that the study asks."""
        return frozenset(key.question for key in self.planned)

    def obfuscated(self) -> list[str]:
        """Give the settings, but for the reference, that are trained and evaluated on."""
        others = [each for each in self.settings if each != self.reference]
        return [each for each in others if Question(each, each) in self.questions]

    def rng(self, *words: str) -> np.random.Generator:
        """Give the generator of one row of one table: always the same."""
        return np.random.Generator(np.random.PCG64(derive(0, "bootstrap", *words)))

    def missing_note(self, questions: Iterable[Question]) -> str:
        """Name the runs that these questions ask for and that are not there, "" if all are."""
        asked = frozenset(questions)
        absent = sorted(
            key for key in self.planned - self.scores.runs.keys() if key.question in asked
        )
        if not absent:
            return ""
        listed = ", ".join(self._named(absent[:6]))
        more = f" and {len(absent) - 6} more" if len(absent) > 6 else ""
        runs = "1 run is" if len(absent) == 1 else f"{len(absent)} runs are"
        return (
            f"{runs} missing: {listed}{more}. Cells with fewer seeds say how many; an average is "
            "over the seeds of which every network has a run, and is not given without one."
        )

    def missing_in_settings(self) -> str:
        """As ``missing_note``, of everything that is trained and evaluated on one setting."""
        return self.missing_note([self.own, *(Question(s, s) for s in self.obfuscated())])

    def n_planned(self, question: Question) -> int:
        """Count the seeds with which the study asks a question."""
        return len({key.seed for key in self.planned if key.question == question})

    def _named(self, keys: Sequence[RunKey]) -> list[str]:
        named = []
        for key in keys:
            run = f"{key.network}.{key.question.trained}.s{key.seed}"
            kind = self.failed.get(run)
            other = key.question.evaluated
            where = f" on {other}" if other != key.question.trained else ""
            named.append(f"{run}{where}{f' ({kind})' if kind else ''}")
        return named
