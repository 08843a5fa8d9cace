# SPDX-License-Identifier: Apache-2.0
"""Networks that name people learn drawn faces, the same each time, and stop where they fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.attack.drawn_attack import fields
from veilset.attack import classifier
from veilset.attack.classifier import (
    NETWORKS,
    Training,
    make_network,
    one_cycle,
    train_classifier,
)
from veilset.errors import ConfigError, RunError

N = 4


def faces(n_each: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw photographs of four people, whose colours are their own."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(N), n_each)
    clear = np.stack([fields(int(code), 32) for code in people])
    noisy = clear + rng.normal(0, 12, clear.shape)
    return noisy.clip(0, 255).astype(np.uint8), people


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("network", "epochs"), [("residual", 20), ("alexnet", 35)])
def test_it_learns_whose_faces_they_are(network: str, epochs: int) -> None:
    losses: list[float] = []
    trained = train_classifier(
        *faces(8, 0), N, Training(network, epochs=epochs), lambda _, loss: losses.append(loss)
    )
    shown, people = faces(5, 1)
    assert (trained.scores(shown).argmax(axis=1) == people).mean() >= 0.9
    assert len(losses) == epochs
    assert losses[-1] < losses[0]


def test_same_seed_same_scores() -> None:
    shown, _ = faces(2, 1)
    first, again, other = (
        train_classifier(*faces(4, 0), N, Training(seed=seed, epochs=2)).scores(shown)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_mirrored_faces_have_the_same_scores() -> None:
    trained = train_classifier(*faces(2, 0), N, Training(epochs=1))
    shown, _ = faces(1, 1)
    np.testing.assert_allclose(
        trained.scores(shown), trained.scores(shown[:, :, ::-1]), rtol=1e-4, atol=1e-5
    )
    assert trained.scores(shown).shape == (N, N)


def test_a_loss_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "_LEARNING_RATE", 1e30)
    with pytest.raises(RunError, match="is not a number"):
        train_classifier(*faces(8, 0), N, Training("alexnet", epochs=5))


def test_what_cannot_be_trained() -> None:
    for bad in ({"network": "other"}, {"epochs": 0}):
        with pytest.raises(ConfigError, match="cannot be had"):
            Training(**bad)


def test_a_training_of_any_length_has_a_learning_rate() -> None:
    """PyTorch's schedule divides by zero where the rise is one step."""
    for n_steps in range(1, 42):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = one_cycle(optimizer, 1.0, n_steps)
        rates = []
        for _ in range(n_steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step() if len(rates) < n_steps else None
        assert 0 < max(rates) <= 1


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("side", [32, 48, 64])
def test_faces_of_every_side_fit(network: str, side: int) -> None:
    made = make_network(network, 3).eval()
    with torch.inference_mode():
        assert made(torch.zeros(2, 3, side, side)).shape == (2, 3)
