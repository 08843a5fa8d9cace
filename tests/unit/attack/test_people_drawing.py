# SPDX-License-Identifier: Apache-2.0
"""Questions for human assessors: fair, balanced, and right by chance where nothing is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from scipy import stats

from tests.unit.attack.people_drawn import SECRET
from veilset.attack.people.drawing import make_questions
from veilset.attack.people.questions import CLEAR, Candidate, Plan, Question
from veilset.attack.people.secret import Secret
from veilset.errors import ConfigError

SETTINGS = (CLEAR, "blur", "veil")


def people(
    n_probes: Sequence[int], *, n_clear: int = 2, groups: tuple[str, ...] = ("",)
) -> list[Candidate]:
    """Give people with as many photographs to ask about as said, in groups by turns."""
    found = []
    for n, n_each in enumerate(n_probes):
        name, group = f"person {n}", groups[n % len(groups)]
        clear = [f"g{n:03d}/{i}.jpg" for i in range(n_clear)]
        probes = [f"p{n:03d}/{i}.jpg" for i in range(n_each)]
        found += [Candidate(image_id, name, "gallery", group) for image_id in clear]
        found += [Candidate(image_id, name, "probe", group) for image_id in probes]
    return found


def crowd(
    n_people: int, *, n_clear: int = 2, n_probes: int = 6, groups: tuple[str, ...] = ("f", "m")
) -> list[Candidate]:
    return people([n_probes] * n_people, n_clear=n_clear, groups=groups)


def by_name(candidates: list[Candidate]) -> dict[str, Candidate]:
    return {each.image_id: each for each in candidates}


def secret(number: int) -> Secret:
    return Secret(number.to_bytes(16, "big"))


def test_every_question_is_fair() -> None:
    found = crowd(40)
    known = by_name(found)
    for pack in make_questions(found, Plan(SETTINGS, per_setting=6, n_packs=4, seed=3), SECRET):
        for each in pack:
            probe, shown = known[each.probe], [known[name] for name in each.shown]
            assert probe.half == "probe"
            assert {one.half for one in shown} == {"gallery"}
            assert {one.group for one in shown} == {probe.group}
            assert len({one.person for one in shown}) == len(shown) == 9
            assert tuple(one.person for one in shown) == each.people
            assert each.people[each.answer - 1] == each.person == probe.person
            assert each.probe not in each.shown


def test_packs_are_balanced_and_ask_about_no_photograph_twice() -> None:
    packs = make_questions(crowd(40), Plan(SETTINGS, per_setting=6, n_packs=6), SECRET)
    for pack in packs:
        assert Counter(each.setting for each in pack) == dict.fromkeys(SETTINGS, 6)
        assert len({each.probe for each in pack}) == len(pack)
    for block in (packs[:3], packs[3:]):
        asked = Counter((each.probe, each.setting) for pack in block for each in pack)
        assert set(asked.values()) == {1}
        probes = {each.probe for pack in block for each in pack}
        assert len(asked) == len(probes) * 3, "each probe is seen once in every setting"
    sets = [{(each.probe, frozenset(each.people)) for each in pack} for pack in packs]
    assert sets[0] == sets[1] == sets[2]
    assert not sets[0] & sets[3], "then questions are drawn anew"
    names = [each.question_id for pack in packs for each in pack]
    assert len(set(names)) == len(names)


def test_settings_and_places_follow_no_order() -> None:
    found = crowd(80, n_clear=1, n_probes=9)
    packs = make_questions(found, Plan(SETTINGS, per_setting=13, n_packs=30), SECRET)
    places = Counter(each.answer for pack in packs for each in pack)
    assert stats.chisquare([places[i] for i in range(1, 10)]).pvalue > 0.001
    first = Counter(pack[0].setting for pack in packs)
    assert set(first) == set(SETTINGS)


def test_same_seed_and_secret_same_questions_whatever_the_order() -> None:
    found, plan = crowd(40), Plan(SETTINGS, per_setting=4)
    questions = make_questions(found, plan, SECRET)
    assert make_questions(found[::-1], plan, SECRET) == questions
    assert make_questions(found, Plan(SETTINGS, 4, seed=1), SECRET) != questions


def test_the_seed_decides_who_is_shown_and_nothing_else() -> None:
    """Whoever tries seeds finds sets of people, and neither answer, setting, order nor name."""
    found, plan = crowd(40), Plan(SETTINGS, per_setting=6)
    (one,), (other,) = (make_questions(found, plan, secret(number)) for number in (1, 2))

    def sets(pack: tuple[Question, ...]) -> list[frozenset[str]]:
        return [frozenset(each.shown) for each in pack]

    assert sorted(map(sorted, sets(one))) == sorted(map(sorted, sets(other)))
    assert sets(one) != sets(other)
    assert not {each.question_id for each in one} & {each.question_id for each in other}
    again = {frozenset(each.shown): each for each in other}
    both = [(each, again[frozenset(each.shown)]) for each in one]
    n = len(both)
    assert sum(a.person == b.person for a, b in both) < n / 2
    assert sum(a.setting == b.setting for a, b in both) < 2 * n / 3
    assert sum(a.shown == b.shown for a, b in both) == 0


def strategies(pack: tuple[Question, ...]) -> Iterator[tuple[Question, dict[str, list[int]]]]:
    """Give, for each question, how much people prefer its candidates who know all others."""
    shown: dict[str, list[int]] = {}
    for at, each in enumerate(pack):
        for person in each.people:
            shown.setdefault(person, []).append(at)
    right = Counter(each.person for each in pack)
    was_right: Counter[str] = Counter()
    for at, each in enumerate(pack):
        elsewhere = right - Counter([each.person])
        yield (
            each,
            {
                "not right before": [-was_right[who] for who in each.people],
                "right before": [was_right[who] for who in each.people],
                "not right elsewhere": [-elsewhere[who] for who in each.people],
                "not shown later": [-sum(i > at for i in shown[who]) for who in each.people],
                "not shown before": [-sum(i < at for i in shown[who]) for who in each.people],
                "shown often": [len(shown[who]) for who in each.people],
                "shown seldom": [-len(shown[who]) for who in each.people],
            },
        )
        was_right[each.person] += 1


@pytest.mark.parametrize("n_probes", [(5,), (1, 2, 9, 40)])
def test_memory_does_not_help(n_probes: tuple[int, ...]) -> None:
    """40 questions of which each photograph is needed, and some where few are left of many."""
    found = people(n_probes * (72 // len(n_probes)), n_clear=1)
    rng = np.random.default_rng(8)
    n_hits: Counter[str] = Counter()
    n_asked = 0
    for number in range(16):
        plan = Plan((CLEAR, "veil"), per_setting=20, seed=number)
        for question, preferred in strategies(make_questions(found, plan, secret(number))[0]):
            n_asked += 1
            ties = rng.random(len(question.people))
            for name, worth in preferred.items():
                n_hits[name] += question.answer == 1 + int(np.argmax(np.add(worth, ties)))
    p_values = {
        name: stats.binomtest(n, n_asked, 1 / 9, alternative="two-sided").pvalue
        for name, n in n_hits.items()
    }
    assert min(p_values.values()) > 0.001, {name: n / n_asked for name, n in n_hits.items()}


def test_every_combination_of_answers_is_as_likely() -> None:
    """Three questions about two people who are shown in all of them: eight combinations."""
    found = crowd(2, n_probes=3, groups=("",))
    plan = Plan((CLEAR,), per_setting=3, n_shown=2)
    drawn: Counter[tuple[str, ...]] = Counter()
    for number in range(480):
        (pack,) = make_questions(found, plan, secret(number))
        drawn[tuple(each.person for each in pack)] += 1
    counts = [drawn[who] for who in product(("person 0", "person 1"), repeat=3)]
    assert sum(counts) == 480
    assert stats.chisquare(counts).pvalue > 0.001


def test_as_many_questions_are_asked_as_there_are_photographs_for() -> None:
    # 9 x 4 places and as many photographs, of people with one to four.
    counts = [4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 1, 1, 1, 1]
    found = people(counts)
    for seed in range(30):
        (pack,) = make_questions(found, Plan((CLEAR,), per_setting=4, seed=seed), SECRET)
        shown = Counter(person for each in pack for person in each.people)
        assert all(shown[f"person {n}"] == n_probes for n, n_probes in enumerate(counts))
    with pytest.raises(ConfigError, match="4 questions can be asked and 5 are planned"):
        make_questions(found, Plan((CLEAR,), per_setting=5), SECRET)


def test_a_copy_of_the_photograph_is_never_the_answer() -> None:
    found = crowd(40, n_probes=8)
    packs = make_questions(
        found, Plan(SETTINGS, per_setting=4, n_packs=5), SECRET,
        same_photograph=lambda probe, shown: probe[1:] == shown[1:],
    )  # fmt: skip
    for each in (each for pack in packs for each in pack):
        assert each.probe[1:] != each.shown[each.answer - 1][1:]
    with pytest.raises(ConfigError, match="0 questions can be asked"):
        make_questions(found, Plan(SETTINGS), SECRET, same_photograph=lambda *_names: True)


def test_a_copy_under_another_name_is_no_wrong_answer() -> None:
    """Some photographs to ask about lie among the clear ones of the next person, too."""
    found = crowd(40, groups=("f",))

    def person(name: str) -> int:
        return int(name[1:4])

    def is_same(probe: str, shown: str) -> bool:
        return (person(probe) + 1) % 40 == person(shown) and probe[4:] == shown[4:]

    packs = make_questions(
        found, Plan(SETTINGS, per_setting=6, n_packs=9), SECRET, same_photograph=is_same
    )
    shown = [(each.probe, name) for pack in packs for each in pack for name in each.shown]
    assert not [pair for pair in shown if is_same(*pair)]
    beside = [(probe, name) for probe, name in shown if (person(probe) + 1) % 40 == person(name)]
    assert beside, "people are shown beside each other, their other photographs"


def test_copies_that_leave_nobody_are_said() -> None:
    """All photographs to ask about lie among the clear ones of everybody else."""
    found = crowd(40)
    with pytest.raises(ConfigError, match="too many photographs are copies of others"):
        make_questions(
            found, Plan(SETTINGS, per_setting=2), SECRET,
            same_photograph=lambda probe, shown: probe[1:4] != shown[1:4],
        )  # fmt: skip


def test_people_who_have_too_few_others_beside_them_are_not_asked_about() -> None:
    women = crowd(30, groups=("f",))
    men = [
        Candidate("m/" + each.image_id, "man " + each.person, each.half, "m")
        for each in crowd(8, groups=("m",))
    ]
    (pack,) = make_questions([*women, *men], Plan(SETTINGS, per_setting=6), SECRET)
    assert not any(who.startswith("man") for each in pack for who in each.people)


def test_fewer_candidates_can_be_shown() -> None:
    (pack,) = make_questions(crowd(12), Plan(SETTINGS, per_setting=2, n_shown=4), SECRET)
    assert {len(each.shown) for each in pack} == {4}


def test_too_few_photographs_is_said() -> None:
    said = "13 questions can be asked and 30 are planned .*120 photographs of 20 people to ask"
    with pytest.raises(ConfigError, match=said):
        make_questions(crowd(20, groups=("f",)), Plan(SETTINGS), SECRET)
    clear = [each for each in crowd(40) if each.half == "gallery"]
    with pytest.raises(ConfigError, match="0 questions can be asked"):
        make_questions(clear, Plan(SETTINGS), SECRET)


def test_a_photograph_in_both_halves_is_refused() -> None:
    twice = [*crowd(40), Candidate("g001/0.jpg", "person 1", "probe", "m")]
    with pytest.raises(ConfigError, match=r"g001/0\.jpg is listed twice"):
        make_questions(twice, Plan(SETTINGS), SECRET)


def test_a_secret_is_long_and_never_printed() -> None:
    one, other = Secret.drawn(), Secret.drawn()
    assert one != other
    assert len(one.data) == 16
    assert repr(one) == "Secret()"
    assert one.name("a", 1) != one.name("a", 2) != other.name("a", 2)
    assert one.random("a").integers(2**60) == Secret(one.data).random("a").integers(2**60)
    with pytest.raises(ConfigError, match="A secret has 4 bytes"):
        Secret(b"1234")
