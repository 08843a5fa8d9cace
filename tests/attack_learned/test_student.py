# SPDX-License-Identifier: Apache-2.0
"""A student learns what a recogniser sees in clear, and shows what a method leaves of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.attack.drawn_attack import (
    QUICK,
    Planted,
    Shuffled,
    draw_album,
    fields,
    planted_plugins,
)
from veilset.attack import student
from veilset.attack.classifier import Training
from veilset.attack.config import method_setting
from veilset.attack.identification import measure_identification
from veilset.attack.measuring import compare_embeddings
from veilset.attack.outcomes import read_outcome
from veilset.attack.resampling import draw_people
from veilset.attack.student import make_student, train_student
from veilset.errors import ConfigError, RunError
from veilset.plugins import make_obfuscator
from veilset.protocols import Obfuscator
from veilset.types import Measurement, Region

N_PEOPLE = 20
WHOLE = [Region((0, 0, 32, 32))]
CONFIG = replace(
    QUICK, settings=(method_setting("blackout"),), device="cpu", epochs=1, shard_size=64,
    attacks=("recognise", "restore-learned", "parrot-student"), strangers=True,
)  # fmt: skip

Chips = NDArray[np.uint8]
Embeddings = NDArray[np.float32]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def photographs(people: Sequence[int], seed: int) -> Chips:
    """Draw a photograph of each person; faces are alike on both sides."""
    clear = np.stack([fields(person, 32) for person in people]).astype(float)
    clear[:, :, 16:] = clear[:, :, :16][:, :, ::-1]
    noisy = clear + np.random.default_rng(seed).normal(0, 12, clear.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def hidden(clear: Chips, method: Obfuscator) -> Chips:
    return np.stack([method.obfuscate(chip, WHOLE) for chip in clear])


def embed(chips: Chips) -> Embeddings:
    return Planted().embed(list(chips))


def named(distances: NDArray[np.float64], who: NDArray[np.int64]) -> Measurement:
    draws = draw_people(N_PEOPLE, seed=1, n_draws=100)
    return measure_identification(distances, who, np.arange(N_PEOPLE), draws).hits[1].measurement


def test_a_method_that_only_shuffles_is_exposed_by_strangers() -> None:
    strangers = photographs(range(1000, 1096), seed=1)
    who = np.repeat(np.arange(N_PEOPLE), 2)
    gallery, probes = photographs(range(N_PEOPLE), seed=2), photographs(list(who), seed=3)
    shown = hidden(probes, Shuffled())
    naive = named(compare_embeddings(embed(shown), embed(gallery), "euclidean"), who)
    assert naive.low <= 1 / N_PEOPLE <= naive.high
    learned = train_student(
        hidden(strangers, Shuffled()), embed(strangers), "euclidean", Training(epochs=16)
    )
    guesses, known = learned.guess(shown), learned.seen(embed(gallery))
    assert named(1.0 - guesses.astype(np.float64) @ known.T, who).low > max(0.6, naive.high)
    assert np.multiply(guesses, learned.seen(embed(probes))).sum(axis=1).mean() > 0.4


def test_where_nothing_is_left_a_student_can_only_guess() -> None:
    strangers, who = photographs(range(1000, 1032), seed=1), np.arange(N_PEOPLE)
    blackout = make_obfuscator("blackout", {})
    learned = train_student(
        hidden(strangers, blackout), embed(strangers), "euclidean", Training(epochs=2)
    )
    probes = photographs(range(N_PEOPLE), seed=3)
    guesses = learned.guess(hidden(probes, blackout))
    assert (guesses == guesses[0]).all()
    found = named(1.0 - guesses.astype(np.float64) @ learned.seen(embed(probes)).T, who)
    assert found.value == pytest.approx(1 / N_PEOPLE)


def test_from_photographs_to_rows(tmp_path: Path) -> None:
    with planted_plugins(tmp_path / "package"):
        album = draw_album(tmp_path, n_people=4, n_strangers=12)
        counts = album.attack(CONFIG).counts
    assert (counts["strangers"], counts["probes"]) == (12, 8)
    outcome = read_outcome(album.out / "outcomes" / "blackout" / "parrot-student.json")
    assert outcome is not None
    rank_1, held_out = (
        next(row for row in outcome.rows if row.measure.startswith(name))
        for name in ("rank-1", "cosine")
    )
    assert rank_1.protocol == "trained on obfuscated"
    assert (rank_1.n, rank_1.chance, rank_1.is_at_chance) == (8, 0.25, True)
    assert (held_out.n, held_out.note) == (2, "of no probe")
    facts = {name: outcome.facts[name] for name in ("n_trained", "n_strangers", "n_held_out")}
    assert facts == {"n_trained": 18, "n_strangers": 10, "n_held_out": 2}
    # No threshold of the recogniser's holds for the student's distances.
    assert not [row for row in outcome.rows if "accuracy" in row.measure]
    restored = read_outcome(album.out / "outcomes" / "blackout" / "restore-learned.json")
    assert restored is not None
    assert (restored.facts["n_trained"], restored.facts["n_strangers"]) == (20, 12)
    summary = (album.out / "summary.md").read_text()
    assert "Had 12 faces of strangers to learn from too" in summary
    assert "`restore-learned`, `parrot-student`." in summary


def pairs(n: int, first_seed: int = 0) -> tuple[Chips, Embeddings]:
    """Draw faces turned negative, and what the planted recogniser sees in clear."""
    clear = photographs(range(first_seed, first_seed + n), seed=n)
    return 255 - clear, embed(clear)


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
