# SPDX-License-Identifier: Apache-2.0
"""The count of answers against SciPy, against all possibilities, and against drawn assessors."""

from __future__ import annotations

import csv
import io
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from veilset.attack.people.answers import Answer
from veilset.attack.people.chance import chance_p, median_interval, share_interval
from veilset.attack.people.counting import Count, count_answers
from veilset.attack.people.key import Key
from veilset.attack.people.questions import Question
from veilset.attack.people.told import as_csv, as_json, as_markdown
from veilset.intervals import clopper_pearson, holm

SETTINGS = ("clear", "blur", "veil")


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def question(setting: str, number: int, answer: int = 1) -> Question:
    people = tuple(f"p{i}" for i in range(9))
    return Question(f"{setting}{number}", setting, people[answer - 1], "x", people, people, answer)


def asked(n: int) -> tuple[Question, ...]:
    return tuple(question(name, i, 1 + i % 9) for name in SETTINGS for i in range(n))


def knowing(share: dict[str, float], n_assessors: int, n: int = 12) -> tuple[Key, list[Answer]]:
    """Give assessors who know a share of the faces and else cannot tell or guess, by turns."""
    questions, generator = asked(n), rng()
    answers = []
    for person in range(n_assessors):
        for i, each in enumerate(questions):
            guess = int(generator.integers(1, 10)) if i % 2 else None
            is_known = generator.random() < share[each.setting]
            choice = each.answer if is_known else guess
            answers.append(Answer(f"{person:032x}", each, choice, 1.0 + person + i % 5))
    return Key(SETTINGS, {"a": questions}, 9), answers


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_chance_is_the_binomial_test_where_each_question_is_answered_once(
    picked: list[int],
) -> None:
    picks = {str(i): [place] for i, place in enumerate(picked)}
    found = chance_p(picks, dict.fromkeys(picks, 1), 9)
    expected = stats.binomtest(picked.count(1), len(picked), 1 / 9, alternative="greater")
    assert found == pytest.approx(expected.pvalue, rel=1e-9)


def test_chance_counts_all_places_of_the_right_answers() -> None:
    picks = {"a": [1, 1, 2, 4], "b": [3, 3, 3], "c": [2], "d": []}
    right = {"a": 1, "b": 2, "c": 2, "d": 4}
    n_right = 3
    totals = [
        sum(picks[name].count(place) for name, place in zip(picks, places, strict=True))
        for places in product(range(1, 5), repeat=4)
    ]
    expected = np.mean([total >= n_right for total in totals])
    assert chance_p(picks, right, 4) == pytest.approx(expected, rel=1e-12)


def test_ten_people_fooled_by_one_face_are_no_evidence() -> None:
    picks, right = {"a": [4] * 10}, {"a": 4}
    assert chance_p(picks, right, 9) == pytest.approx(1 / 9)
    assert stats.binomtest(10, 10, 1 / 9, alternative="greater").pvalue < 1e-9


def test_nobody_named_is_no_evidence() -> None:
    assert chance_p({}, {}, 9) == 1.0
    assert chance_p({"a": []}, {"a": 3}, 9) == 1.0
    assert chance_p({"a": [2]}, {"a": 3}, 9) == 1.0


def test_few_assessors_get_the_exact_interval() -> None:
    hits = [True] * 7 + [False] * 13
    found = share_interval(
        hits, ["a", "b", "c", "d"] * 5, [str(i) for i in range(20)], n_resamples=50, rng=rng()
    )
    assert found == clopper_pearson(7, 20)
    exact = stats.binomtest(7, 20).proportion_ci(method="exact")
    assert found == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("is_right", [True, False])
def test_all_alike_is_no_single_point(is_right: bool) -> None:
    people = [str(i // 4) for i in range(24)]
    names = [str(i) for i in range(24)]
    found = share_interval([is_right] * 24, people, names, n_resamples=50, rng=rng())
    assert found == clopper_pearson(24 if is_right else 0, 24)


def test_assessors_who_differ_widen_the_interval() -> None:
    people = [str(i // 20) for i in range(200)]
    names = [str(i) for i in range(200)]
    differ = [i < 100 for i in range(200)]
    alike = [i % 2 == 0 for i in range(200)]
    wide = share_interval(differ, people, names, n_resamples=2000, rng=rng())
    narrow = share_interval(alike, people, names, n_resamples=2000, rng=rng())
    assert narrow == clopper_pearson(100, 200)
    # Ten people who know all or nothing are ten observations.
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


def test_questions_that_differ_widen_the_interval() -> None:
    people = [str(i % 10) for i in range(200)]
    names = [str(i // 10) for i in range(200)]
    hits = [i < 100 for i in range(200)]
    low, high = share_interval(hits, people, names, n_resamples=2000, rng=rng())
    # Twenty faces, each known to all or to nobody, are twenty observations.
    expected = 2 * 1.96 * 0.5 / np.sqrt(20)
    assert high - low == pytest.approx(expected, rel=0.15)


def test_interval_covers_what_it_should() -> None:
    """Assessors differ (beta), questions are shared: 95 % of the intervals hold the truth."""
    generator, n_runs, n_held = rng(), 150, 0
    for _ in range(n_runs):
        skill = generator.beta(4, 6, size=12)
        hits = (generator.random((12, 10)) < skill[:, None]).reshape(-1).tolist()
        people = [str(i // 10) for i in range(120)]
        low, high = share_interval(
            hits, people, [str(i) for i in range(120)], n_resamples=300, rng=generator
        )
        n_held += low <= 0.4 <= high
    assert n_held / n_runs > 0.9


def test_median_is_enclosed_by_ordered_values() -> None:
    values = list(range(1, 31))
    low, high = median_interval(values, ["a"] * 30, n_resamples=9, rng=rng()) or (0, 0)
    assert (low, high) == (10, 21), "as tabulated for n = 30"
    assert median_interval(values[:5], ["a"] * 5, n_resamples=9, rng=rng()) is None
    by_many = median_interval(values, [str(i // 5) for i in range(30)], n_resamples=500, rng=rng())
    assert by_many is not None
    assert by_many[0] < 10
    assert by_many[1] > 21


def test_what_people_know_is_found() -> None:
    key, answers = knowing({"clear": 1.0, "blur": 0.6, "veil": 0.0}, 6)
    found = count_answers(key, answers)
    clear, blur, veil = found.settings
    assert found.chance == pytest.approx(1 / 9)
    assert found.n_assessors == 6
    assert clear.right.value == 1.0
    assert clear.cannot_tell.value == 0.0
    assert clear.is_above_chance
    assert blur.is_above_chance
    assert not veil.is_above_chance
    assert blur.right.low < blur.right.value < blur.right.high
    assert (veil.n_answers, veil.n_questions, veil.n_assessors) == (72, 12, 6)
    assert veil.right.value == veil.n_right / 72
    assert veil.cannot_tell.value == 0.5
    assert veil.right_if_named is not None
    assert veil.right_if_named.n == 36
    assert veil.right_if_named.value == veil.n_right / 36
    assert [each.p_holm for each in found.settings] == holm([each.p for each in found.settings])
    assert count_answers(key, answers) == found


def test_the_notes_say_what_limits_the_count() -> None:
    def notes(count: Count) -> str:
        return " ".join(count.notes)

    everything = {"clear": 1.0, "blur": 0.5, "veil": 0.5}
    key, answers = knowing(everything, 6)
    said = notes(count_answers(key, answers))
    assert said.startswith("Chance is 1 in 9.")
    assert "Fewer than" not in said
    assert "without an answer" not in said
    few = notes(count_answers(key, [each for each in answers if int(each.assessor, 16) < 2]))
    assert "Fewer than 5 people answered (clear, blur, veil)" in few
    stopped = notes(count_answers(key, answers[:-3]))
    assert "3 of 216 questions were left without an answer" in stopped
    no_veil = [each for each in answers if each.question.setting == "blur"]
    said = notes(count_answers(key, no_veil))
    assert "Nobody answered a question with a clear face" in said
    assert "of these settings: clear, veil." in said
    careless = notes(count_answers(*knowing(everything | {"clear": 0.3}, 6)))
    assert "Clear faces were known in" in careless
    assert count_answers(key, []).settings == ()


def test_tables_agree() -> None:
    key, answers = knowing({"clear": 1.0, "blur": 0.6, "veil": 0.0}, 2, n=2)
    answers = [
        each if each.question.setting != "veil" else Answer(each.assessor, each.question, None, 1)
        for each in answers
    ]
    found = count_answers(key, answers)
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    told = as_json(found)["settings"]
    for row, each, count in zip(rows, told, found.settings, strict=True):
        assert row["setting"] == each["setting"] == count.setting
        assert float(row["right_high"]) == each["right"]["high"] == count.right.high
        assert row["is_above_chance"] == str(int(each["is_above_chance"]))
    assert rows[2]["right_if_named"] == ""
    assert rows[2]["seconds"] == "", "four answers enclose no median"
    lines = as_markdown(found).splitlines()
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert lines[4].startswith("| veil | 0.0 % (0.0–60.2) | – | 100.0 % (39.8–100.0) | – | 0 / 4")
    assert as_csv(count_answers(key, [])) == ""


def test_cannot_tell_is_no_pick() -> None:
    questions = asked(20)
    veil = [each for each in questions if each.setting == "veil"]
    answers = [
        Answer("0" * 32, each, each.answer if i < 2 else None, 1.0) for i, each in enumerate(veil)
    ]
    (found,) = count_answers(Key(SETTINGS, {"a": questions}, 9), answers).settings
    assert found.right.value == 0.1, "less than chance"
    assert found.p == pytest.approx(1 / 81), "and yet nobody guesses like this"
