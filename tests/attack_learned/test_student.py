# SPDX-License-Identifier: Apache-2.0
"""A student learns what a recogniser sees in clear, and shows what a method leaves of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.attack.drawn_attack import (
    QUICK,
    Album,
    Planted,
    draw_album,
    fields,
    planted_plugins,
)
from veilset.attack import student
from veilset.attack.classifier import Training
from veilset.attack.config import method_setting
from veilset.attack.outcomes import read_outcome
from veilset.attack.student import make_student, train_student
from veilset.errors import ConfigError, RunError

N_STRANGERS = 90
CONFIG = replace(
    QUICK, settings=(method_setting("shuffled"), method_setting("blackout")), device="cpu",
    attacks=("recognise", "parrot-student"), strangers=True, epochs=14, shard_size=256,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pairs(n: int, first_seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw faces turned negative, and what the planted recogniser sees in clear."""
    clear = [fields(first_seed + row, 32) for row in range(n)]
    return 255 - np.stack(clear), Planted().embed(clear)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Album]:
    with planted_plugins(tmp_path_factory.mktemp("package")):
        album = draw_album(tmp_path_factory.mktemp("album"), n_people=6, n_strangers=N_STRANGERS)
        album.attack(CONFIG)
        yield album


def rank_1(out: Path, setting: str, attack: str, protocol: str) -> dict[str, Any]:
    wanted = (setting, attack, protocol, "rank-1")
    (row,) = (
        each
        for each in pq.read_table(out / "results.parquet").to_pylist()
        if tuple(each[name] for name in ("setting", "attack", "protocol", "measure")) == wanted
    )
    found: dict[str, Any] = row
    return found


def test_a_method_that_only_shuffles_is_exposed_by_a_student_alone(attacked: Album) -> None:
    naive = rank_1(attacked.out, "shuffled", "recognise", "clear-to-obfuscated")
    assert naive["low"] <= naive["chance"] <= naive["high"]
    learned = rank_1(attacked.out, "shuffled", "parrot-student", "trained on obfuscated")
    assert learned["low"] > max(0.5, naive["high"])
    assert learned["n"] == 12


@pytest.mark.parametrize("setting", ["blackout", "filled"])
def test_where_nothing_is_left_a_student_learns_nothing(attacked: Album, setting: str) -> None:
    row = rank_1(attacked.out, setting, "parrot-student", "trained on obfuscated")
    assert row["low"] <= row["chance"] <= row["high"]
    assert row["value"] < 0.4


def test_what_it_learned_from_is_told(attacked: Album) -> None:
    outcome = read_outcome(attacked.out / "outcomes" / "shuffled" / "parrot-student.json")
    assert outcome is not None
    assert outcome.facts["n_trained"] == 12 + 81
    assert (outcome.facts["n_strangers"], outcome.facts["n_held_out"]) == (81, 9)
    row = next(each for each in outcome.rows if each.measure.startswith("cosine"))
    assert row.n == 9
    assert row.low is not None
    assert row.low > 0.3
    # No threshold of the recogniser's holds for the student's distances.
    assert not [each for each in outcome.rows if "accuracy" in each.measure]
    summary = (attacked.out / "summary.md").read_text()
    assert "Learned from 90 faces of strangers too" in summary
    assert "`parrot-student`" in summary


def test_the_same_seed_gives_the_same_guesses() -> None:
    given = pairs(12)
    shown, _ = pairs(3, first_seed=500)
    first, again, other = (
        train_student(*given, "euclidean", Training(seed=seed, epochs=1)).guess(shown)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)


def test_directions_are_seen_from_the_mean_as_the_metric_has_it() -> None:
    shown, embeddings = pairs(6)
    longer = embeddings * np.arange(1, 7, dtype=np.float32)[:, None]
    lengths = np.linalg.norm(longer, axis=1, keepdims=True)
    for metric, values in (("euclidean", longer), ("cosine", longer / lengths)):
        trained = train_student(shown, longer, metric, Training(epochs=1))
        centred = values - values.mean(axis=0)
        expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        np.testing.assert_allclose(trained.seen(longer), expected, atol=1e-5)
    assert trained.guess(shown[:0]).shape == (0, 48)


@pytest.mark.parametrize("side_px", [32, 64, 80])
def test_any_size_of_faces_is_taken(side_px: int) -> None:
    assert make_student(side_px, 7)(torch.zeros(2, 3, side_px, side_px)).shape == (2, 7)


def test_embeddings_that_are_all_alike_teach_nothing_and_end_well() -> None:
    shown, _ = pairs(6)
    trained = train_student(shown, np.ones((6, 4), np.float32), "cosine", Training(epochs=1))
    assert np.isfinite(trained.guess(shown)).all()


def test_what_cannot_be_learned_from() -> None:
    shown, embeddings = pairs(4)
    for some, others in ((shown[:1], embeddings[:1]), (shown, embeddings[:3])):
        with pytest.raises(ConfigError, match="an embedding for each face, and 2 faces at least"):
            train_student(some, others, "cosine", Training())


def test_a_loss_that_is_no_number_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "_LEARNING_RATE", 1e30)
    with pytest.raises(RunError, match="is not a number"):
        train_student(*pairs(64), "euclidean", Training(epochs=3))
