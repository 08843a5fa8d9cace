# SPDX-License-Identifier: Apache-2.0
"""How often people knew who it is, for each setting, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from veilset.attack.people.answers import Answer
from veilset.attack.people.chance import (
    MIN_ASSESSORS,
    chance_p,
    median_interval,
    share_interval,
)
from veilset.attack.people.key import Key
from veilset.attack.people.questions import CLEAR
from veilset.intervals import holm
from veilset.types import Direction, Measurement

LEVEL = 0.05
"""A setting is called above chance below this p, corrected for their number."""

CARE = 0.9
"""Share of clear faces that careful people should know at least."""


@dataclass(frozen=True, slots=True)
class SettingCount:
    """What assessors made of one setting.

    Attributes:
        setting: What was done to the faces.
        right: Share of answers that are right; "cannot tell" is a miss.
        right_if_named: Share that is right where somebody was named; None if nobody was.
        cannot_tell: Share of answers that name nobody.
        seconds: Median of the seconds for a question; None where there are too few answers
            for an interval.
        n_right: Right answers.
        n_answers: All answers.
        n_questions: Different questions that were answered.
        n_assessors: People who answered.
        p: Of so many right answers or more by chance, exact (``chance_p``).
        p_holm: The same, corrected for the number of settings.
    """

    setting: str
    right: Measurement
    right_if_named: Measurement | None
    cannot_tell: Measurement
    seconds: Measurement | None
    n_right: int
    n_answers: int
    n_questions: int
    n_assessors: int
    p: float
    p_holm: float

    @property
    def is_above_chance(self) -> bool:
        """Whether people knew faces of this setting more often than by chance."""
        return self.p_holm < LEVEL


@dataclass(frozen=True, slots=True)
class Count:
    """What all assessors made of all settings.

    Attributes:
        chance: Share that is right without looking, of those who name somebody.
        settings: In the order in which they were asked for; those without answers are left out.
        n_assessors: People who answered anything.
        notes: What a reader has to know besides, a sentence or two each.
    """

    chance: float
    settings: tuple[SettingCount, ...]
    n_assessors: int
    notes: tuple[str, ...]


def count_answers(
    key: Key, answers: Sequence[Answer], *, n_resamples: int = 4000, seed: int = 0
) -> Count:
    """Count what people knew.

    Args:
        key: The right answers.
        answers: Of all assessors, from ``read_answers``.
        n_resamples: Draws of the bootstrap.
        seed: Of these draws.
    """
    given = {
        name: [each for each in answers if each.question.setting == name] for name in key.settings
    }
    asked = {name: each for name, each in given.items() if each}
    p_values = [_chance_p(each, key.n_shown) for each in asked.values()]
    settings = tuple(
        _count_setting(name, each, p, p_holm, _Resampling(n_resamples, seed, at, key.sha256))
        for at, ((name, each), p, p_holm) in enumerate(
            zip(asked.items(), p_values, holm(p_values), strict=True)
        )
    )
    n_assessors = len({each.assessor for each in answers})
    notes = _notes(key, answers, settings, n_assessors)
    return Count(1 / key.n_shown, settings, n_assessors, notes)


@dataclass(frozen=True, slots=True)
class _Resampling:
    n_resamples: int
    seed: int
    at: int
    key_sha256: str

    def rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.at, purpose])

    def share(self, name: str, hits: Sequence[bool], answers: Sequence[Answer]) -> Measurement:
        low, high = share_interval(
            hits,
            [each.assessor for each in answers],
            [each.question.question_id for each in answers],
            n_resamples=self.n_resamples,
            # The same draws for every share of a setting.
            rng=self.rng(0),
        )
        inputs = {"key": self.key_sha256}
        return Measurement(name, sum(hits) / len(hits), low, high, len(hits), inputs=inputs)


def _chance_p(answers: Sequence[Answer], n_shown: int) -> float:
    picks: dict[str, list[int]] = {}
    for each in answers:
        if each.choice is not None:
            picks.setdefault(each.question.question_id, []).append(each.choice)
    right = {each.question.question_id: each.question.answer for each in answers}
    return chance_p(picks, right, n_shown)


def _count_setting(
    name: str, answers: Sequence[Answer], p: float, p_holm: float, draws: _Resampling
) -> SettingCount:
    named = [each for each in answers if each.choice is not None]
    right = [each.is_right for each in answers]
    return SettingCount(
        setting=name,
        right=draws.share("right", right, answers),
        right_if_named=(
            draws.share("right if named", [each.is_right for each in named], named)
            if named
            else None
        ),
        cannot_tell=draws.share("cannot tell", [each.choice is None for each in answers], answers),
        seconds=_seconds(answers, draws),
        n_right=sum(right),
        n_answers=len(answers),
        n_questions=len({each.question.question_id for each in answers}),
        n_assessors=len({each.assessor for each in answers}),
        p=p,
        p_holm=p_holm,
    )


def _seconds(answers: Sequence[Answer], draws: _Resampling) -> Measurement | None:
    values = [each.seconds for each in answers]
    ends = median_interval(
        values,
        [each.assessor for each in answers],
        n_resamples=draws.n_resamples // 4,
        rng=draws.rng(1),
    )
    if ends is None:
        return None
    return Measurement(
        "seconds", median(values), *ends, n=len(values), unit="s", direction=Direction.NEITHER
    )


def _notes(
    key: Key, answers: Sequence[Answer], settings: Sequence[SettingCount], n_assessors: int
) -> tuple[str, ...]:
    notes = [
        f"Chance is 1 in {key.n_shown}. That a setting is not above it does not show that "
        "nobody is recognised: the upper end of its interval says how often people may be."
    ]
    few = [each.setting for each in settings if each.n_assessors < MIN_ASSESSORS]
    if few:
        notes.append(
            f"Fewer than {MIN_ASSESSORS} people answered ({', '.join(few)}): these intervals are "
            "exact binomial ones, which take all answers for independent. Answers of one person "
            "are not, so the intervals are too narrow for a statement about people in general."
        )
    clear = next((each for each in settings if each.setting == CLEAR), None)
    if clear is None:
        notes.append(
            "Nobody answered a question with a clear face: whether assessors looked with care "
            "is not known."
        )
    elif clear.right.high < CARE:
        notes.append(
            f"Clear faces were known in {clear.right.value:.0%} of the answers only. What was "
            "missed elsewhere may have been missed for lack of care, or because the photographs "
            "are hard."
        )
    if missing := [name for name in key.settings if name not in {s.setting for s in settings}]:
        notes.append(f"Nobody answered a question of these settings: {', '.join(missing)}.")
    n_pages = len({(each.assessor, pack) for pack, each in _with_pack(key, answers)})
    notes += _unanswered(key, answers, n_pages)
    return tuple(notes)


def _with_pack(key: Key, answers: Sequence[Answer]) -> list[tuple[str, Answer]]:
    pack_of = {each.question_id: pack for pack, asked in key.packs.items() for each in asked}
    return [(pack_of[each.question.question_id], each) for each in answers]


def _unanswered(key: Key, answers: Sequence[Answer], n_pages: int) -> list[str]:
    n_each = len(next(iter(key.packs.values())))
    n_left = n_pages * n_each - len(answers)
    if not n_left:
        return []
    return [
        f"{n_left:,} of {n_pages * n_each:,} questions were left without an answer, as everybody "
        "may stop at any time. If people stop where it is hard, the shares are too high."
    ]
