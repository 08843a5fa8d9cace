# SPDX-License-Identifier: Apache-2.0
"""Drawing questions, so that whoever learns nothing from the faces in question is right by chance.

The seed decides who is shown. For every question of a page it draws a set of candidates, for
each of them the clear photograph, and another photograph of the same person which can be asked
about and is kept for this place. No photograph is kept twice in a page. The secret of the key
then decides which of the candidates is the right one, in each question by itself and each with
the same probability, and in which setting, order and places all of it is shown.

**Why chance is exact.** Whatever the secret draws can be asked, as every candidate has a
photograph of their own to be asked about. So nothing on the page depends on what is right but
the faces in question. Given all sets of the page, the seed, all photographs and the answers to
all other questions, each candidate of a question is the right one with probability
1 / ``n_shown``. It does not matter what an assessor remembers, nor whether they go back and
change answers after they have seen the rest of the page. Two rules that look fair are not:

- If nobody is the right answer twice, whoever was right before can be ruled out.
- If candidates only need a photograph that has not been asked about *yet*, whoever is shown once
  more with the only photograph there is was not right before.

The price is that a person is in no more questions of a page than there are photographs to ask
about. Each ``len(settings)`` packs that follow each other ask the same questions in other
settings, so that within a setting all questions are independent of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from veilset.attack.people.questions import Candidate, Plan, Question, SamePhotograph
from veilset.attack.people.secret import Secret
from veilset.errors import ConfigError

_TRIES = 20
"""Draws of all sets of a page, if photographs that are copies of each other get in the way."""

_Free: TypeAlias = dict[str, list[Candidate]]
"""By person, photographs that can be asked about and are kept for no place yet."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A candidate of a question: what is shown, and what is asked about if it is the right one."""

    shown: Candidate
    probe: Candidate


@dataclass(frozen=True, slots=True)
class _Case:
    """A question before its setting, its name and its order are chosen; ``right`` from 0 on."""

    places: tuple[_Place, ...]
    right: int


def make_questions(
    candidates: Sequence[Candidate],
    plan: Plan,
    secret: Secret,
    *,
    same_photograph: SamePhotograph | None = None,
) -> tuple[tuple[Question, ...], ...]:
    """Draw the questions of every pack.

    In a pack no photograph is asked about twice; a person may be, on another one. The settings
    alternate at random. Packs that follow each other ask the same questions, each time in
    another setting, until each was asked in every setting; then questions are drawn anew.

    Args:
        candidates: All photographs; their order does not matter.
        plan: What is asked. Its seed decides who is shown together, and on which photographs.
        secret: Decides who of them is right, in which setting and order they are asked about,
            and all names.
        same_photograph: Tells copies under another name, which would be matched without
            looking at the face. No photograph is shown beside a copy of it that is asked
            about, whoever it is said to be; None if there are no copies.

    Returns:
        For each pack its questions, in the order in which they are asked. The same for the
        same arguments.

    Raises:
        ConfigError: If there are too few people or photographs.

    Example:
        >>> found = [Candidate(f"{person}{half}{i}", person, half)
        ...          for person in "abcdefghijkl" for half in ("gallery", "probe")
        ...          for i in range(8)]
        >>> (pack,) = make_questions(found, Plan(("clear", "veil"), per_setting=5),
        ...                          Secret(bytes(16)))
        >>> len(pack), sorted({each.setting for each in pack}), len({each.probe for each in pack})
        (10, ['clear', 'veil'], 10)
        >>> first = pack[0]
        >>> first.people[first.answer - 1] == first.person, first.probe in first.shown
        (True, False)
    """
    album = _Album(candidates, plan, same_photograph)
    n_settings = len(plan.settings)
    cases: list[_Case] = []
    packs = []
    for number in range(plan.n_packs):
        block, turn = divmod(number, n_settings)
        if not turn:
            cases = _cases(album.draw(block), block, secret)
        asked = [(case, plan.settings[(i + turn) % n_settings]) for i, case in enumerate(cases)]
        packs.append(_shuffled(asked, number, secret))
    return tuple(packs)


def _cases(sets: Sequence[tuple[_Place, ...]], block: int, secret: Secret) -> list[_Case]:
    """Draw who is right, and an order from which the settings follow."""
    rng = secret.random("right", block)
    order = secret.random("settings", block).permutation(len(sets))
    return [_Case(sets[i], int(rng.integers(len(sets[i])))) for i in order]


def _shuffled(
    asked: Sequence[tuple[_Case, str]], number: int, secret: Secret
) -> tuple[Question, ...]:
    """Put the questions of a pack, and the candidates of each, into a random order."""
    rng = secret.random("order", number)
    questions = []
    for at in rng.permutation(len(asked)):
        case, setting = asked[at]
        order = rng.permutation(len(case.places))
        shown = [case.places[i].shown for i in order]
        probe = case.places[case.right].probe
        questions.append(
            Question(
                question_id=secret.name("question", number, int(at)),
                setting=setting,
                person=probe.person,
                probe=probe.image_id,
                shown=tuple(each.image_id for each in shown),
                people=tuple(each.person for each in shown),
                answer=int(np.flatnonzero(order == case.right)[0]) + 1,
            )
        )
    return tuple(questions)


class _Album:
    """What may be drawn: clear photographs, and those to ask about, by group and person."""

    def __init__(
        self, candidates: Sequence[Candidate], plan: Plan, same: SamePhotograph | None
    ) -> None:
        self._plan = plan
        self._same = same
        ordered = sorted(candidates, key=lambda each: each.image_id)
        _check_names(ordered)
        halves: dict[str, dict[tuple[str, str], list[Candidate]]] = {"gallery": {}, "probe": {}}
        for each in ordered:
            halves[each.half].setdefault((each.group, each.person), []).append(each)
        self._clear = halves["gallery"]
        self._probes: dict[str, _Free] = {}
        for (group, person), probes in sorted(halves["probe"].items()):
            clear = self._clear.get((group, person), [])
            found = [each for each in probes if any(self._fit(each, one) for one in clear)]
            if found:
                self._probes.setdefault(group, {})[person] = found
        self._most = [_most(free, plan.n_shown) for free in self._probes.values()]
        if sum(self._most) < plan.n_questions:
            raise self._too_few()

    def _too_few(self) -> ConfigError:
        plan, found = self._plan, [each for free in self._probes.values() for each in free.values()]
        return ConfigError(
            f"{sum(self._most)} questions can be asked and {plan.n_questions} are planned "
            f"({plan.per_setting} for each of {len(plan.settings)} settings). There are "
            f"{sum(map(len, found))} photographs of {len(found)} people to ask about, and each of "
            f"the {plan.n_shown} candidates of a question needs one that is asked about nowhere "
            "else in the page: else people could rule some out. Ask fewer, show fewer "
            "candidates, or give more people with photographs in both halves."
        )

    def _fit(self, probe: Candidate, shown: Candidate) -> bool:
        return self._same is None or not self._same(probe.image_id, shown.image_id)

    def draw(self, block: int) -> list[tuple[_Place, ...]]:
        """Draw the candidates of all questions of a block.

        Raises:
            ConfigError: If copies of photographs leave too few that may be shown together.
        """
        for attempt in range(_TRIES):
            rng = np.random.default_rng([self._plan.seed, block, attempt])
            sets = list(self._sets(rng))
            if len(sets) == self._plan.n_questions:
                return sets
        raise ConfigError(
            f"{self._plan.n_questions} questions are planned, and {_TRIES} draws found no "
            "candidates for all of them: too many photographs are copies of others, which are "
            "not shown together. Ask fewer, or leave out the copies."
        )

    def _sets(self, rng: np.random.Generator) -> Iterator[tuple[_Place, ...]]:
        """Draw the candidates of as many questions as can be."""
        n_each = rng.multivariate_hypergeometric(self._most, self._plan.n_questions)
        for (group, probes), n_questions in zip(self._probes.items(), n_each, strict=True):
            free = {person: list(found) for person, found in probes.items()}
            for n_left in range(int(n_questions), 0, -1):
                places = self._set(group, free, n_left, rng)
                if len(places) < self._plan.n_shown:
                    return
                for each in places:
                    free[each.probe.person].remove(each.probe)
                yield places

    def _set(
        self, group: str, free: _Free, n_left: int, rng: np.random.Generator
    ) -> tuple[_Place, ...]:
        """Draw the candidates of one question, so that there remain enough for those after it.

        Whoever has fewer photographs than there are questions left may be needed later: of
        these people as many are taken as can be spared.
        """
        counts = np.array([len(found) for found in free.values()])
        n_over = int(np.minimum(counts, n_left).sum()) - self._plan.n_shown * n_left
        n_spared = n_over + self._plan.n_shown - int((counts >= n_left).sum())
        people = list(free)
        places: list[_Place] = []
        for i in rng.permutation(len(people)):
            is_scarce = counts[i] < n_left
            if not counts[i] or (is_scarce and n_spared < 1):
                continue
            place = self._place((group, people[i]), free[people[i]], places, rng)
            if place is not None:
                places.append(place)
                n_spared -= bool(is_scarce)
            if len(places) == self._plan.n_shown:
                break
        return tuple(places)

    def _place(
        self,
        of: tuple[str, str],
        probes: Sequence[Candidate],
        others: Sequence[_Place],
        rng: np.random.Generator,
    ) -> _Place | None:
        """Draw a clear photograph of a person and one to ask about; None if all are copies."""
        for probe in _in_random_order(probes, rng):
            if not all(self._fit(probe, other.shown) for other in others):
                continue
            for shown in _in_random_order(self._clear[of], rng):
                if self._fit(probe, shown) and all(self._fit(o.probe, shown) for o in others):
                    return _Place(shown, probe)
        return None


def _most(free: _Free, n_shown: int) -> int:
    """Give the most questions that one group has candidates for.

    Nobody is twice in a question, so n questions can be asked if everybody's photographs, at
    most n of each person, are enough for n times ``n_shown`` places. From above, each step
    below leads no further down than to the largest such n.

    Example:
        >>> one = Candidate("a", "a", "probe")
        >>> _most({"a": [one] * 9, "b": [one] * 2, "c": [one] * 2}, 2)
        4
        >>> _most({"a": [one] * 9}, 2)
        0
    """
    counts = np.array([len(found) for found in free.values()])
    most = int(counts.sum()) // n_shown
    while (lower := int(np.minimum(counts, most).sum()) // n_shown) < most:
        most = lower
    return most


def _check_names(ordered: Sequence[Candidate]) -> None:
    for one, next_one in pairwise(ordered):
        if one.image_id == next_one.image_id:
            raise ConfigError(
                f"Photograph {one.image_id} is listed twice. List each once, with one person "
                "and in one half: a face beside itself is no question."
            )


def _in_random_order(
    photographs: Sequence[Candidate], rng: np.random.Generator
) -> Iterator[Candidate]:
    return (photographs[int(i)] for i in rng.permutation(len(photographs)))
