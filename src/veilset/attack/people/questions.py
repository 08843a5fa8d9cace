# SPDX-License-Identifier: Apache-2.0
"""Which questions people are asked: drawn with a seed, balanced over what was done to the faces.

A question is one *probe*, a photograph as a setting left it, and nine clear photographs of
nine people. One of them is the person of the probe on another photograph. All ten are of one
group (the same gender attribute, where it is given), so that hair and gender alone do not
tell who it is; and the nine are drawn in the same way, so that nothing but the probe does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from veilset.errors import ConfigError
from veilset.types import Image

CLEAR = "clear"
"""The setting in which nothing was done. It shows what careful people could do at best."""

MAX_SHOWN = 9
"""Most candidates of a question: each has a key of its own, 1 to 9."""

PictureOf: TypeAlias = Callable[[str, str], Image]
"""Takes a setting and an ``image_id``, gives head and shoulders, ``(H, W, 3)`` uint8 RGB."""

SamePhotograph: TypeAlias = Callable[[str, str], bool]
"""Whether two images, by their ``image_id``, are one photograph."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One photograph that may be shown.

    Attributes:
        image_id: Its name; each only once.
        person: Who it shows.
        half: ``gallery`` photographs are shown clear, ``probe`` photographs obfuscated.
        group: Only photographs of one group meet in a question; "" for all.
    """

    image_id: str
    person: str
    half: Literal["gallery", "probe"]
    group: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked.

    Attributes:
        settings: What was done to the probes; ``clear`` is one of them.
        per_setting: Questions of each setting in each pack.
        n_packs: Different packs, one page each. With as many packs as settings each probe is
            asked about once in every setting, by different people.
        n_shown: Candidates of a question, 2 to 9.
        seed: Of everything that is drawn.

    Raises:
        ConfigError: If something of this cannot be asked.
    """

    settings: tuple[str, ...]
    per_setting: int = 10
    n_packs: int = 1
    n_shown: int = MAX_SHOWN
    seed: int = 0

    def __post_init__(self) -> None:
        if CLEAR not in self.settings:
            raise ConfigError(
                f"The settings lack '{CLEAR}'. Add it: without clear faces nobody knows "
                "whether assessors looked with care."
            )
        if len(set(self.settings)) < len(self.settings) or not all(self.settings):
            raise ConfigError(
                f"The settings {', '.join(map(repr, self.settings))} have one twice, or one "
                "without a name. Name each once."
            )
        if self.per_setting < 1 or self.n_packs < 1:
            raise ConfigError(
                f"{self.n_packs} packs of {self.per_setting} questions for each setting ask "
                "nothing. Give numbers from 1 on."
            )
        if not 2 <= self.n_shown <= MAX_SHOWN:
            raise ConfigError(
                f"{self.n_shown} candidates cannot be shown. Give 2 to {MAX_SHOWN}: each has a "
                "key of its own."
            )
        if self.seed < 0:
            raise ConfigError(f"Seed {self.seed} is below 0. Give one from 0 on.")

    @property
    def n_questions(self) -> int:
        """Questions of each pack."""
        return self.per_setting * len(self.settings)


@dataclass(frozen=True, slots=True)
class Question:
    """One probe and the candidates beside it.

    Attributes:
        question_id: A random name, which says nothing.
        setting: What was done to the probe.
        person: Who it is.
        probe: ``image_id`` of the probe.
        shown: ``image_id`` of each candidate, in the order in which they are shown.
        people: Who they are.
        answer: Place of the right one, from 1 on.
    """

    question_id: str
    setting: str
    person: str
    probe: str
    shown: tuple[str, ...]
    people: tuple[str, ...]
    answer: int


@dataclass(frozen=True, slots=True)
class _Case:
    """A question before its setting, its name and the order of its candidates are chosen."""

    probe: Candidate
    match: Candidate
    others: tuple[Candidate, ...]


def make_questions(
    candidates: Sequence[Candidate], plan: Plan, *, same_photograph: SamePhotograph | None = None
) -> tuple[tuple[Question, ...], ...]:
    """Draw the questions of every pack.

    In a pack nobody is the right answer twice, and the settings alternate at random. Packs
    that follow each other ask about the same probes, each time in another setting, until
    every probe was in every setting; then come new probes.

    Args:
        candidates: All photographs; their order does not matter.
        plan: What is asked.
        same_photograph: Tells copies under another name, which would be matched without
            looking at the face. A pair of them is never shown; None if there are none.

    Returns:
        For each pack its questions, in the order in which they are asked.

    Raises:
        ConfigError: If there are too few people or photographs.

    Example:
        >>> found = [Candidate(f"{person}{half}", person, half)
        ...          for person in "abcdefghijkl" for half in ("gallery", "probe")]
        >>> (pack,) = make_questions(found, Plan(("clear", "veil"), per_setting=5))
        >>> len(pack), sorted({each.setting for each in pack}), len({each.person for each in pack})
        (10, ['clear', 'veil'], 10)
        >>> first = pack[0]
        >>> first.people[first.answer - 1] == first.person, first.probe in first.shown
        (True, False)
    """
    known = _Known(candidates, plan.n_shown, same_photograph)
    order = _random(plan.seed, 0).permutation(known.askable)
    if len(order) < plan.n_questions:
        raise ConfigError(
            f"{len(order)} people can be asked about and {plan.n_questions} questions are "
            f"planned ({plan.per_setting} for each of {len(plan.settings)} settings). Ask fewer, "
            "or give more people with two photographs: nobody is the answer twice."
        )
    n_settings = len(plan.settings)
    packs = []
    for number in range(plan.n_packs):
        block, turn = divmod(number, n_settings)
        rng = _random(plan.seed, 1, block)
        start = block * plan.n_questions
        people = [str(order[(start + i) % len(order)]) for i in range(plan.n_questions)]
        cases = [known.draw(person, rng) for person in people]
        asked = [(case, plan.settings[(i + turn) % n_settings]) for i, case in enumerate(cases)]
        packs.append(_shuffled(asked, _random(plan.seed, 2, number)))
    return tuple(packs)


def _random(seed: int, *purpose: int) -> np.random.Generator:
    """Give a generator for one purpose; none moves when another draws more."""
    return np.random.default_rng([seed, *purpose])


def _shuffled(asked: Sequence[tuple[_Case, str]], rng: np.random.Generator) -> tuple[Question, ...]:
    """Put the questions of a pack, and the candidates of each, into a random order."""
    questions = []
    for at in rng.permutation(len(asked)):
        case, setting = asked[at]
        nine = (case.match, *case.others)
        order = rng.permutation(len(nine))
        questions.append(
            Question(
                question_id=rng.bytes(8).hex(),
                setting=setting,
                person=case.probe.person,
                probe=case.probe.image_id,
                shown=tuple(nine[i].image_id for i in order),
                people=tuple(nine[i].person for i in order),
                answer=int(np.flatnonzero(order == 0)[0]) + 1,
            )
        )
    return tuple(questions)


class _Known:
    """What may be drawn: gallery photographs by group and person, probes by person."""

    def __init__(
        self, candidates: Sequence[Candidate], n_shown: int, same: SamePhotograph | None
    ) -> None:
        self._n_others = n_shown - 1
        self._same = same
        self._galleries: dict[str, dict[str, list[Candidate]]] = defaultdict(dict)
        self._probes: dict[str, list[Candidate]] = {}
        ordered = sorted(candidates, key=lambda each: each.image_id)
        _check_names(ordered)
        for each in ordered:
            if each.half == "gallery":
                self._galleries[each.group].setdefault(each.person, []).append(each)
        for each in ordered:
            if each.half == "probe" and self._is_askable(each):
                self._probes.setdefault(each.person, []).append(each)

    @property
    def askable(self) -> list[str]:
        """People of whom there is a probe, another photograph, and enough others beside them."""
        return sorted(self._probes)

    def _is_askable(self, probe: Candidate) -> bool:
        gallery: Mapping[str, list[Candidate]] = self._galleries.get(probe.group, {})
        n_others = len(gallery.keys() - {probe.person})
        return n_others >= self._n_others and any(self._matches(probe))

    def _matches(self, probe: Candidate) -> Iterator[Candidate]:
        for each in self._galleries[probe.group].get(probe.person, ()):
            if self._same is None or not self._same(probe.image_id, each.image_id):
                yield each

    def draw(self, person: str, rng: np.random.Generator) -> _Case:
        probe = _one_of(self._probes[person], rng)
        gallery = self._galleries[probe.group]
        others = rng.choice(sorted(gallery.keys() - {person}), self._n_others, replace=False)
        return _Case(
            probe,
            _one_of(list(self._matches(probe)), rng),
            tuple(_one_of(gallery[str(other)], rng) for other in others),
        )


def _check_names(ordered: Sequence[Candidate]) -> None:
    for one, next_one in pairwise(ordered):
        if one.image_id == next_one.image_id:
            raise ConfigError(
                f"Photograph {one.image_id} is listed twice. List each once, with one person "
                "and in one half: a face beside itself is no question."
            )


def _one_of(photographs: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
    return photographs[int(rng.integers(len(photographs)))]


def chosen_settings(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Give the settings to ask about: all that are known, or ``clear`` and those wanted.

    Raises:
        ConfigError: If one is not known.

    Example:
        >>> chosen_settings(("clear", "blur", "veil"), ["veil"])
        ('clear', 'veil')
    """
    for name in wanted:
        if name not in known:
            raise ConfigError(f"No setting is named '{name}'. Known: {', '.join(known)}.")
    return tuple(name for name in known if not wanted or name in wanted or name == CLEAR)
