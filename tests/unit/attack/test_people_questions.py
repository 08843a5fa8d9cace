# SPDX-License-Identifier: Apache-2.0
"""Questions for human assessors: fair, balanced, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from veilset.attack.people.pictures import same_photograph
from veilset.attack.people.questions import CLEAR, Candidate, Plan, chosen_settings, make_questions
from veilset.errors import ConfigError

SETTINGS = (CLEAR, "blur", "veil")


def crowd(n_people: int, *, n_each: int = 2, groups: tuple[str, ...] = ("f", "m")):
    """Give people with photographs in both halves, by turns of one group and the other."""
    return [
        Candidate(f"{half[0]}{n:02d}/{i}.jpg", f"person {n}", half, groups[n % len(groups)])
        for n in range(n_people)
        for half in ("gallery", "probe")
        for i in range(n_each)
    ]


def by_name(candidates: list[Candidate]) -> dict[str, Candidate]:
    return {each.image_id: each for each in candidates}


def test_every_question_is_fair() -> None:
    found = crowd(40)
    known = by_name(found)
    for pack in make_questions(found, Plan(SETTINGS, per_setting=6, n_packs=4, seed=3)):
        for each in pack:
            probe, shown = known[each.probe], [known[name] for name in each.shown]
            assert probe.half == "probe"
            assert {one.half for one in shown} == {"gallery"}
            assert {one.group for one in shown} == {probe.group}
            assert len({one.person for one in shown}) == len(shown) == 9
            assert tuple(one.person for one in shown) == each.people
            assert each.people[each.answer - 1] == each.person == probe.person
            assert each.probe not in each.shown


def test_packs_are_balanced_and_ask_about_nobody_twice() -> None:
    packs = make_questions(crowd(40), Plan(SETTINGS, per_setting=6, n_packs=6))
    for pack in packs:
        assert Counter(each.setting for each in pack) == dict.fromkeys(SETTINGS, 6)
        assert len({each.person for each in pack}) == len(pack)
    asked = Counter((each.probe, each.setting) for pack in packs[:3] for each in pack)
    assert set(asked.values()) == {1}
    probes = {each.probe for pack in packs[:3] for each in pack}
    assert len(asked) == len(probes) * 3, "each probe is seen once in every setting"
    later = {each.person for each in packs[3]}
    assert later - {each.person for each in packs[0]}, "then others come first"
    names = [each.question_id for pack in packs for each in pack]
    assert len(set(names)) == len(names)


def test_settings_and_places_follow_no_order() -> None:
    packs = make_questions(crowd(80, n_each=1), Plan(SETTINGS, per_setting=13, n_packs=30))
    places = Counter(each.answer for pack in packs for each in pack)
    assert stats.chisquare([places[i] for i in range(1, 10)]).pvalue > 0.001
    first = Counter(pack[0].setting for pack in packs)
    assert set(first) == set(SETTINGS)


def test_same_seed_same_questions_whatever_the_order() -> None:
    found = crowd(30)
    plan = Plan(SETTINGS, per_setting=4)
    assert make_questions(found, plan) == make_questions(found[::-1], plan)
    assert make_questions(found, plan) != make_questions(found, Plan(SETTINGS, 4, seed=1))


def test_a_copy_of_the_photograph_is_never_the_answer() -> None:
    found = crowd(30)
    packs = make_questions(
        found, Plan(SETTINGS, per_setting=4, n_packs=5),
        same_photograph=lambda probe, shown: probe[-5:] == shown[-5:],
    )  # fmt: skip
    for each in (each for pack in packs for each in pack):
        assert each.probe[-5:] != each.shown[each.answer - 1][-5:]
    with pytest.raises(ConfigError, match="0 people can be asked about"):
        make_questions(found, Plan(SETTINGS), same_photograph=lambda *_names: True)


def test_people_who_have_too_few_others_beside_them_are_not_asked_about() -> None:
    found = [*crowd(20, groups=("f",)), *crowd(8, groups=("m",))]
    women = [each for each in found if each.group == "f"]
    men = [
        Candidate("m/" + each.image_id, "man " + each.person, each.half, "m")
        for each in found
        if each.group == "m"
    ]
    (pack,) = make_questions([*women, *men], Plan(SETTINGS, per_setting=6))
    assert not any(each.person.startswith("man") for each in pack)


def test_fewer_candidates_can_be_shown() -> None:
    (pack,) = make_questions(crowd(12), Plan(SETTINGS, per_setting=2, n_shown=4))
    assert {len(each.shown) for each in pack} == {4}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"settings": ("veil",)}, "The settings lack 'clear'"),
        ({"settings": (CLEAR, "veil", "veil")}, "have one twice"),
        ({"settings": (CLEAR, "")}, "without a name"),
        ({"settings": SETTINGS, "per_setting": 0}, "ask nothing"),
        ({"settings": SETTINGS, "n_packs": 0}, "ask nothing"),
        ({"settings": SETTINGS, "n_shown": 10}, "10 candidates cannot be shown"),
        ({"settings": SETTINGS, "n_shown": 1}, "1 candidates cannot be shown"),
        ({"settings": SETTINGS, "seed": -1}, "Seed -1 is below 0"),
    ],
)
def test_plans_that_cannot_be_asked(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Plan(**arguments)  # type: ignore[arg-type]  # arguments of a table of cases


def test_too_few_people_is_said() -> None:
    with pytest.raises(ConfigError, match="20 people can be asked about and 30 questions are"):
        make_questions(crowd(20), Plan(SETTINGS))
    one_photograph_each = [each for each in crowd(40) if each.half == "gallery"]
    with pytest.raises(ConfigError, match="0 people can be asked about"):
        make_questions(one_photograph_each, Plan(SETTINGS))


def test_a_photograph_in_both_halves_is_refused() -> None:
    twice = [*crowd(40), Candidate("g01/0.jpg", "person 1", "probe", "m")]
    with pytest.raises(ConfigError, match=r"g01/0\.jpg is listed twice"):
        make_questions(twice, Plan(SETTINGS))


def test_unknown_setting_is_refused() -> None:
    assert chosen_settings(SETTINGS, ()) == SETTINGS
    with pytest.raises(ConfigError, match=r"No setting is named 'vail'\. Known: clear, blur, veil"):
        chosen_settings(SETTINGS, ["vail"])


def test_copies_are_told_from_other_photographs() -> None:
    rng = np.random.default_rng(5)
    # Smooth pictures, as photographs are.
    one, other = (np.kron(rng.integers(0, 255, (6, 6, 3)), np.ones((20, 20, 1))) for _ in "ab")
    pictures = {
        "one": one,
        "brighter": one * 0.6 + 90,
        "smaller": one[::2, ::2],
        "noisy": np.clip(one + rng.normal(0, 12, one.shape), 0, 255),
        "other": other,
        "gray": np.full((9, 9, 3), 128),
    }
    asked: Counter[str] = Counter()

    def picture(setting: str, name: str) -> np.ndarray:
        assert setting == CLEAR
        asked[name] += 1
        return pictures[name].astype(np.uint8)

    is_same = same_photograph(picture)
    same = {name for name in pictures if is_same("one", name)}
    assert same == {"one", "brighter", "smaller", "noisy"}
    assert not is_same("gray", "gray")
    assert set(asked.values()) == {1}
