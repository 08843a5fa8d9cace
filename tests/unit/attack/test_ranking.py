# SPDX-License-Identifier: Apache-2.0
"""What is kept of attacks, how settings are put in order, and what is recommended."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from veilset.attack.measuring import HITS, compare_embeddings
from veilset.attack.outcomes import Outcome, Pen, Row, read_outcome, write_outcome
from veilset.attack.ranking import OF_FACES, Standing, rank_settings
from veilset.attack.resampling import draw_people
from veilset.attack.stage import COPIES, find_copies
from veilset.attack.telling import recommend, summary_markdown
from veilset.attack.views import Glimpse, SeenFace, delete_private, read_view, write_seen
from veilset.errors import ConfigError, DatasetError, RunError
from veilset.files import part_path
from veilset.types import Measurement

DRAWS = draw_people(200, seed=1, n_draws=200)


def outcome(
    setting: str, attack: str, share: float, n_people: int = 200, protocol: str = "p"
) -> Outcome:
    """Make what an attack came to that names so many of the people, the first of them."""
    hits = [float(at < share * n_people) for at in range(n_people)]
    row = Row(setting, attack, protocol, "rank-1", share, share - 0.03, share + 0.03,
              n_people, chance=1 / n_people)  # fmt: skip
    return Outcome(setting, attack, (row,), {}, {HITS: {protocol: list(hits)}})


def likeness(setting: str, ssim: float) -> Outcome:
    return Outcome(setting, "similarity", (Row(setting, "similarity", "", "SSIM", ssim, ssim, ssim,
                                               9, direction="higher"),))  # fmt: skip


def ranked(settings: dict[str, tuple[float, float]], n_people: int = 200) -> list[Standing]:
    """Rank settings of a share that is named and an SSIM."""
    made: list[Outcome] = []
    for name, (share, ssim) in settings.items():
        made.append(outcome(name, "recognise", share, n_people))
        made.append(outcome(name, "parrot-pixels", share / 2, n_people))
        made += [likeness(name, ssim)] if name != "clear" else []
    return rank_settings(made, draw_people(n_people, seed=1, n_draws=200))


def names(standings: Sequence[Standing]) -> list[str]:
    return [each.setting for each in standings]


FOUR = {
    "clear": (0.97, 1.0), "filled": (0.02, 0.7), "strong": (0.02, 0.8), "weak": (0.95, 0.99),
    "bad": (0.96, 0.9),
}  # fmt: skip


def test_settings_are_put_in_order_and_the_frontier_is_marked() -> None:
    found = ranked(FOUR)
    assert names(found) == ["clear", "filled", "strong", "weak", "bad"]
    assert [each.setting for each in found if each.is_frontier] == ["strong", "weak"]
    assert all(each.worst.attack == "recognise" for each in found)
    beyond = {each.setting: each.beyond_filled for each in found}
    assert beyond["filled"] is None
    assert beyond["weak"] is not None
    assert beyond["weak"].value == pytest.approx(0.93)
    assert beyond["weak"].low > 0.8


def named(setting: str, shares: NDArray[np.float64]) -> list[Outcome]:
    """Make what attacks came to, of the shares of each person's hits, ``(A, I)``."""
    found = []
    for attack, hits in zip(OF_FACES, shares, strict=False):
        row = Row(setting, attack, "p", "rank-1", float(hits.mean()), 0.0, 1.0, hits.size)
        found.append(Outcome(setting, attack, (row,), {}, {HITS: {"p": hits.tolist()}}))
    return found


@pytest.mark.parametrize(("n_mine", "n_filled"), [(7, 1), (1, 7), (7, 7)])
def test_the_difference_to_filled_faces_holds_though_the_worst_are_chosen(
    n_mine: int, n_filled: int
) -> None:
    """Attacks are equally strong: nothing is beyond, but the best of seven looks better."""
    n_people, n_trials = 120, 200
    rng, draws = np.random.default_rng(4), draw_people(n_people, seed=1, n_draws=200)
    held = held_by_maxima = 0
    for _ in range(n_trials):
        ease = rng.beta(1, 6, size=n_people)
        mine, filled = (rng.binomial(4, ease, (n, n_people)) / 4 for n in (n_mine, n_filled))
        standings = rank_settings([*named("filled", filled), *named("a", mine)], draws)
        (found,) = (each.beyond_filled for each in standings if each.setting == "a")
        assert found is not None
        assert found.value == pytest.approx(mine.mean(axis=1).max() - filled.mean(axis=1).max())
        held += found.low <= 0 <= found.high
        maxima = [(draws.multiplicities @ each.T).max(axis=1) for each in (mine, filled)]
        low, high = np.quantile(maxima[0] - maxima[1], (0.025, 0.975))
        held_by_maxima += low <= 0 <= high
    assert held / n_trials >= 0.93
    if n_mine != n_filled:
        # Why attacks are not chosen anew in each draw.
        assert held_by_maxima / n_trials < 0.8


def test_of_those_that_tell_no_more_the_one_that_leaves_most_is_recommended() -> None:
    told = recommend(ranked({**FOUR, "better": (0.02, 0.85)}))
    assert "'better' leaves most of the pictures: SSIM 0.850" in told
    assert "n = 200" in told
    assert "95" not in told.split("Its worst")[0]


def test_a_weak_setting_is_never_recommended() -> None:
    told = recommend(ranked({name: FOUR[name] for name in ("clear", "filled", "weak", "bad")}))
    assert "No setting protects as much as faces filled" in told
    assert "Least is told by 'weak'" in told


@pytest.mark.parametrize("n_people", [2, 3, 5, 20])
def test_for_want_of_people_nothing_is_recommended(n_people: int) -> None:
    some = {"clear": (1.0, 1.0), "filled": (1 / n_people, 0.7), "strong": (1 / n_people, 0.8)}
    told = recommend(ranked(some, n_people))
    assert "No setting can be recommended. Of 1 it cannot be said" in told
    assert "Attack photographs of more people" in told


def test_without_filled_faces_or_settings_nothing_is_recommended() -> None:
    assert "No setting was attacked" in recommend([])
    assert "No setting was attacked" in recommend(ranked({"clear": (1.0, 1.0)}))
    told = recommend(ranked({"clear": (1.0, 1.0), "strong": (0.01, 0.8)}))
    assert "'strong' leaves" not in told
    assert "none of these attacks was made on faces filled with one colour" in told


def test_fewer_than_filled_faces_is_not_called_no_difference() -> None:
    told = recommend(ranked({"clear": (0.97, 1.0), "filled": (0.2, 0.7), "strong": (0.02, 0.8)}))
    assert "'strong' leaves most of the pictures" in told
    assert "that is fewer than filled faces let through (-2" in told
    assert "not told apart" not in told


def test_a_frontier_of_equals_holds_all_of_them() -> None:
    found = ranked({"filled": (0.1, 0.7), "a": (0.2, 0.9), "b": (0.2, 0.9), "c": (0.2, 0.8)})
    assert [each.setting for each in found if each.is_frontier] == ["a", "b"]


def test_attacks_of_other_tasks_do_not_count() -> None:
    made = [outcome("filled", "recognise", 0.1), outcome("a", "recognise", 0.1),
            outcome("a", "assessor", 1.0), outcome("filled", "scene", 1.0)]  # fmt: skip
    found = rank_settings(made, DRAWS)
    assert {each.worst.attack for each in found} == {"recognise"}
    assert rank_settings([outcome("filled", "scene", 1.0)], DRAWS) == []


def test_the_table_has_a_line_for_each_setting() -> None:
    told = summary_markdown(ranked(FOUR), "Advice.")
    lines = [line for line in told.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + 5
    assert len({line.count("|") for line in lines}) == 1
    assert any(line.startswith("| strong * | 0.800 | 2.0 | 1.0 |") for line in lines)


def test_a_name_of_a_setting_stays_text() -> None:
    some = {"clear": (1.0, 1.0), "filled": (0.2, 0.7), "<script>|": (0.02, 0.8)}
    told = summary_markdown(ranked(some), "It is '<script>|'.")
    assert told.count("<script>|") == 0
    assert told.count(r"\<script\>\|") == 2


@pytest.mark.parametrize("text", ["", "7", "{"])
def test_a_damaged_list_of_copies_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / COPIES).write_text(text)
    with pytest.raises(RunError, match=rf"{COPIES} is damaged. Delete {tmp_path}, then run"):
        find_copies(tmp_path, [], 1, 64)


def test_a_number_in_a_unit_says_so() -> None:
    decibels = Measurement("PSNR", 31.0, 30.0, 32.0, 9, unit="dB")
    assert Pen("a", "similarity").row(decibels).note == "in dB"
    assert Pen("a", "similarity").row(decibels, note="of no probe").note == "of no probe; in dB"
    assert Pen("a", "similarity").row(replace(decibels, unit="")).note == ""


def test_an_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = outcome("a", "recognise", 0.25)
    path = tmp_path / "new" / "recognise.json"
    assert read_outcome(path) is None
    write_outcome(path, kept)
    assert read_outcome(path) == kept
    odd = Outcome("a", "x", (Row("a", "x", "", "PSNR", float("inf"), None, None, 3),), {}, {})
    write_outcome(path, odd)
    found = read_outcome(path)
    assert found is not None
    assert found.rows[0].value is None
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="is damaged"):
        read_outcome(path)


def test_is_at_chance_only_where_the_interval_holds_it() -> None:
    row = Row("a", "x", "", "rank-1", 0.2, 0.1, 0.3, 9, chance=0.1)
    assert row.is_at_chance
    assert not Row("a", "x", "", "rank-1", 0.2, 0.1, 0.3, 9, chance=0.31).is_at_chance
    assert not Row("a", "x", "", "rank-1", None, None, None, 9, chance=0.3).is_at_chance


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_are_those_of_scipy(metric: str) -> None:
    rng = np.random.default_rng(1)
    probes, gallery = (rng.normal(size=(n, 9)).astype(np.float32) for n in (5, 7))
    found = compare_embeddings(probes, gallery, metric)
    np.testing.assert_allclose(found, cdist(probes, gallery, metric), rtol=1e-12)
    with pytest.raises(ConfigError, match="no metric 'city'"):
        compare_embeddings(probes, gallery, "city")
    with pytest.raises(ConfigError, match="no direction"):
        compare_embeddings(probes * 0, gallery, "cosine")


def seen(name: str, level: int) -> SeenFace:
    glimpse = Glimpse(np.full(4, level, np.float32), np.full((8, 8, 3), level, np.uint8), 30.0, 0.9)
    same = Glimpse(np.zeros(4, np.float32), np.zeros((8, 8, 3), np.uint8), None, 1.0)
    return SeenFace(name, "Ann", "probe", 30.0, {"veil": glimpse, "same": same})


def test_views_are_read_back_and_private_for_their_owner(tmp_path: Path) -> None:
    slugs = {"veil": "veil", "same": "same", "swirl+restored": "swirl+restored"}
    write_seen(tmp_path, slugs, 0, [seen("a", 1), SeenFace("b", "Ann", "probe", 3.0, reason="x")])
    write_seen(tmp_path, slugs, 1, [seen("c", 3)])
    found = read_view(tmp_path, "veil", 2, 8)
    assert found.image_ids == ("a", "c")
    assert found.embeddings[:, 0].tolist() == [1, 3]
    assert found.chips[:, 0, 0, 0].tolist() == [1, 3]
    assert found.scenes is None
    assert found.take([1]).image_ids == ("c",)
    assert np.isinf(read_view(tmp_path, "same", 2, 8).psnr_db).all()
    with pytest.raises(DatasetError, match="Nothing was seen"):
        read_view(tmp_path, "swirl+restored", 2, 8)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700
    going = part_path(tmp_path / "private")
    going.mkdir()
    delete_private(tmp_path)
    delete_private(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["faces"]
