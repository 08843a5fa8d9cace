# SPDX-License-Identifier: Apache-2.0
"""The finder of competing pairs: what is planted is found, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from veilset.study.pairs import (
    Moves,
    candidates,
    confusions,
    find_pairs,
    preferences,
)

N_CLASSES, PER_CLASS = 100, 20
LABELS = np.repeat(np.arange(N_CLASSES), PER_CLASS)
UNITS = [(network, seed) for network in "abc" for seed in (1, 2, 3)]
PLANTED = {(10, 11), (40, 41)}


def _run(rng, shifted: bool) -> np.ndarray:
    """Each class is taken for its neighbour (2k, 2k + 1) in a third of its images."""
    p_neighbour = np.full(len(LABELS), 0.35)
    if shifted:
        for a, b in PLANTED:
            p_neighbour[a == LABELS] = 0.70
            p_neighbour[b == LABELS] = 0.05
    swapped = rng.random(len(LABELS)) < p_neighbour
    return confusions(LABELS, np.where(swapped, LABELS ^ 1, LABELS), N_CLASSES)


def _study(seed: int, *, planted: bool):
    rng = np.random.default_rng(seed)
    before = {unit: _run(rng, False) for unit in UNITS}
    after = {unit: _run(rng, planted) for unit in UNITS}
    return before, after


def test_two_planted_pairs_are_found():
    found = find_pairs(*_study(0, planted=True))
    assert found is not None
    assert {(pair.a, pair.b) for pair in found[:2]} == PLANTED
    assert all(pair.shift > 0.5 and not pair.few_seeds for pair in found[:2])


def test_where_nothing_is_planted_almost_nothing_is_found():
    clean = sum(not find_pairs(*_study(seed, planted=False)) for seed in range(100))
    # Without any true pair a false discovery rate of 5 % is a chance of 5 % of any at all.
    assert clean >= 95


def test_beside_planted_pairs_others_are_rare():
    found = [find_pairs(*_study(seed, planted=True)) or [] for seed in range(20)]
    false = sum((pair.a, pair.b) not in PLANTED for each in found for pair in each)
    assert all(len(each) >= 2 for each in found)
    assert false / sum(map(len, found)) < 0.15


def test_the_shift_and_its_p_are_those_of_the_definition():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [10, 14, 8])
    before = {}
    after = {}
    shifts = []
    for unit in UNITS:
        u, s = (np.where(rng.random(32) < 0.5, labels, rng.integers(0, 2, 32)) for _ in range(2))
        before[unit], after[unit] = confusions(labels, u, 3), confusions(labels, s, 3)
        moved = (s == 1).astype(int) - (s == 0) - ((u == 1).astype(int) - (u == 0))
        shifts.append((moved[labels == 0].mean() + moved[labels == 1].mean()) / 2)
    pair = np.array([[0, 1]])
    mine = [(preferences(after[u], pair) - preferences(before[u], pair))[0] for u in UNITS]
    assert mine == pytest.approx(shifts)
    found = find_pairs(before, after)
    pooled = candidates(np.sum([*before.values(), *after.values()], axis=0))[0]
    assert [0, 1] in pooled.tolist()
    p = stats.ttest_1samp(shifts, 0).pvalue
    assert found is not None
    assert all(each.p == pytest.approx(p) for each in found if (each.a, each.b) == (0, 1))


def test_candidates_are_the_confused_pairs_only():
    pooled = np.array([[90, 3, 0], [3, 97, 0], [1, 0, 99]])
    pairs, share = candidates(pooled)
    assert pairs.tolist() == [[0, 1]]
    assert share[0] == pytest.approx(6 / 193)


def test_few_runs_or_a_single_seed_give_no_answer():
    before, after = _study(0, planted=True)
    one_seed = [unit for unit in UNITS if unit[1] == 1]
    assert find_pairs({u: before[u] for u in one_seed}, after) is None
    assert find_pairs({u: before[u] for u in UNITS[:2]}, after) is None


def test_runs_that_shift_alike_to_the_last_image_are_no_certainty_beyond_their_steps():
    before = {unit: np.array([[5, 5], [5, 5]]) for unit in UNITS}
    after = {unit: np.array([[4, 6], [4, 6]]) for unit in UNITS}
    found = find_pairs(before, after)
    assert found is not None
    assert len(found) == 1
    assert 0 < found[0].p < 1e-3


# Table 4 of the paper, drops in percent: top-1, top-5, average precision, of both.
TABLE_4 = {
    "eskimo dog, siberian husky": ((12.8, -16.9), (0.4, -0.2), (-0.5, -0.4)),
    "projectile, missile": ((13.9, -14.2), (0.7, -0.3), (0.6, -0.7)),
    "tub, bathtub": ((7.64, -7.1), (3.78, -1.9), (1.1, 2.3)),
    "american chameleon, green lizard": ((8.3, -3.6), (0.4, 1.6), (0.7, 0.2)),
}


@pytest.mark.parametrize("name", TABLE_4)
def test_the_published_pairs_compete_by_our_rule(name):
    moves = Moves(*((a / 100, b / 100) for a, b in TABLE_4[name]))
    assert moves.are_opposite
    assert moves.compete is True


def test_pairs_that_do_not_compete():
    assert Moves((0.1, 0.1), (0.0, 0.0), (0.0, 0.0)).compete is False
    assert Moves((0.1, -0.02), (0.0, 0.0), (0.0, 0.0)).compete is False
    assert Moves((0.1, -0.1), (0.06, 0.0), (0.0, 0.0)).compete is False
    assert Moves((0.1, -0.1), (0.0, 0.0), (0.0, -0.06)).compete is False
    assert Moves((0.1, -0.1), None, (0.0, 0.0)).compete is None
