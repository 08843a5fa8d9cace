# SPDX-License-Identifier: Apache-2.0
"""The learned restorer learns, forgets nothing on the disk, and sees only what it is shown."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.unit.attack.drawn_photographs import photograph
from veilset.attack.restorer import (
    Restorer,
    RestorerConfig,
    RestorerEpoch,
    restoration_loss,
    train_restorer,
)
from veilset.attack.similarity import psnr, ssim
from veilset.errors import ConfigError, RunError

SMALL = RestorerConfig(channels=(16, 32), epochs=8, batch=16, lr=4e-3, seed=3)


def pairs(n: int, first_seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    clear = np.stack([photograph(32, 32, first_seed + row, 2.0) for row in range(n)])
    return np.stack([cv2.GaussianBlur(chip, (0, 0), 2.0) for chip in clear]), clear


@pytest.fixture(scope="module")
def trained() -> tuple[Restorer, list[RestorerEpoch]]:
    epochs: list[RestorerEpoch] = []
    return train_restorer(*pairs(160), SMALL, on_epoch=epochs.append), epochs


def test_it_restores_faces_that_it_never_saw(trained):
    restorer, epochs = trained
    hidden, clear = pairs(16, first_seed=1000)
    restored = restorer.restore(hidden)
    gains = [psnr(a, c) - psnr(a, b) for a, b, c in zip(clear, hidden, restored, strict=True)]
    assert np.mean(gains) > 0.5
    assert min(gains) > 0
    assert [each.epoch for each in epochs] == list(range(1, 9))
    assert epochs[-1].loss < epochs[0].loss
    assert all(each.images_per_s > 0 for each in epochs)


def test_the_same_seed_gives_the_same_weights_and_another_others():
    given, config = pairs(64), replace(SMALL, epochs=1)
    state = torch.random.get_rng_state()
    one, two = (train_restorer(*given, config).network.state_dict() for _ in range(2))
    assert torch.random.get_rng_state().equal(state)
    other = train_restorer(*given, replace(config, seed=4)).network.state_dict()
    assert all(one[name].equal(two[name]) for name in one)
    assert not all(one[name].equal(other[name]) for name in one)


def test_what_is_saved_comes_back(trained, tmp_path):
    restorer, _ = trained
    hidden, _ = pairs(5, first_seed=2000)
    path = tmp_path / "restorer.safetensors"
    restorer.save(path)
    loaded = Restorer.load(path)
    assert (loaded.config, loaded.side_px) == (SMALL, 32)
    assert (loaded.restore(hidden) == restorer.restore(hidden)).all()
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_nothing_of_the_clear_face_comes_through_an_overlay():
    _, clear = pairs(64)
    painted = np.full_like(clear, 116)
    restorer = train_restorer(painted, clear, replace(SMALL, epochs=2))
    restored = restorer.restore(painted)
    assert (restored == restored[0]).all()
    # All that it can learn is the mean face, which is not what it was shown.
    assert (restored[0] != painted[0]).any()


def test_a_chip_s_result_does_not_depend_on_its_neighbours(trained):
    restorer, _ = trained
    hidden, _ = pairs(70, first_seed=3000)
    together = restorer.restore(hidden).astype(int)
    assert np.abs(together[[3, 69]] - restorer.restore(hidden[[3, 69]])).max() <= 1
    assert restorer.restore(hidden[:0]).shape == (0, 32, 32, 3)


def test_the_loss_is_that_of_the_measure():
    hidden, clear = pairs(2)
    planes = [
        torch.from_numpy(chips.transpose(0, 3, 1, 2) / 127.5 - 1).double()
        for chips in (hidden, clear)
    ]
    difference = np.abs(hidden.astype(float) - clear).mean() / 127.5
    alike = np.mean([ssim(a, b) for a, b in zip(clear, hidden, strict=True)])
    assert float(restoration_loss(*planes)) == pytest.approx(difference + 1 - alike, abs=1e-6)


def test_what_cannot_be_trained_on_is_refused():
    hidden, clear = pairs(64)
    with pytest.raises(ConfigError, match="at least 64 pairs of chips, and there are 63"):
        train_restorer(hidden[:63], clear[:63], SMALL)
    with pytest.raises(ConfigError, match="each obfuscated chip with its clear one"):
        train_restorer(hidden[:63], clear, SMALL)
    with pytest.raises(ConfigError, match=r"uint8 of shape \(N, S, S, 3\)"):
        train_restorer(hidden[0], clear[0], SMALL)
    with pytest.raises(ConfigError, match="multiple of 4 px"):
        train_restorer(hidden[:, :30, :30], clear[:, :30, :30], SMALL)


def test_a_loss_that_is_no_number_ends_it():
    with pytest.raises(RunError, match=r"not a number after epoch 1 of 8\. Lower its learning"):
        train_restorer(*pairs(64), replace(SMALL, lr=1e30))


@pytest.mark.parametrize(
    "values", [{"channels": ()}, {"channels": (12,)}, {"epochs": 0}, {"lr": 0}]
)
def test_settings_that_cannot_be_used(values):
    with pytest.raises(ConfigError):
        replace(SMALL, **values)


def test_other_files_and_other_sizes_are_refused(trained, tmp_path):
    restorer, _ = trained
    with pytest.raises(ConfigError, match="trained on 32 px"):
        restorer.restore(np.zeros((1, 64, 64, 3), dtype=np.uint8))
    path = tmp_path / "other.safetensors"
    with pytest.raises(ConfigError, match="cannot be read as a restorer"):
        Restorer.load(path)
    path.write_bytes(b"pickle")
    with pytest.raises(ConfigError, match="cannot be read as a restorer"):
        Restorer.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="not a restorer of this version"):
        Restorer.load(path)
