# SPDX-License-Identifier: Apache-2.0
"""Losses against scikit-image and by hand; channels against those drawn one face at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from veilset.errors import ConfigError
from veilset.networks.coarse_landmarks import Detail, coarse_landmarks
from veilset.networks.face_factors import landmark_channels
from veilset.synthesize.attribute_planes import Embedding, constant_planes
from veilset.synthesize.inputs import (
    AttributePlanes,
    FactorInputs,
    InputConfig,
    as_pictures,
    as_planes,
)
from veilset.synthesize.losses import PatchCritic, ssim_loss, ssim_map
from veilset.synthesize.networks import n_parameters
from veilset.synthesize.reconstruction_measures import face_scores, measure_scores


def test_ssim_is_that_of_scikit_image() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 24, 17, 3)), rng.random((2, 24, 17, 3))
    b = 0.7 * a + 0.3 * b
    found = ssim_map(*(torch.from_numpy(each).permute(0, 3, 1, 2) for each in (a, b)))
    assert found.shape == (2, 14, 7)
    for one, other, local in zip(a, b, found, strict=True):
        mean, full = structural_similarity(
            one, other, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )  # fmt: skip
        assert float(local.mean()) == pytest.approx(mean, abs=1e-12)
        np.testing.assert_allclose(local, full.mean(axis=2)[5:-5, 5:-5], atol=1e-12)


def test_ssim_of_pictures_smaller_than_its_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 11 pixels"):
        ssim_loss(torch.zeros(1, 3, 10, 32), torch.zeros(1, 3, 10, 32))


def test_a_patch_of_the_critic_has_70_pixels() -> None:
    critic = PatchCritic(2, width=2).double().eval()
    factors = torch.zeros(1, 2, 128, 64, dtype=torch.double)
    picture = torch.rand(1, 3, 128, 64, dtype=torch.double, requires_grad=True)
    answers = critic(factors, picture)
    assert answers.shape == (1, 1, 14, 6)
    (seen,) = torch.autograd.grad(answers[0, 0, 7, 3], picture)
    rows = torch.nonzero(seen[0].abs().sum(dim=(0, 2))).flatten()
    assert int(rows[-1] - rows[0] + 1) == 70


def test_the_critic_of_the_paper_has_its_number_of_parameters() -> None:
    # pix2pix on pictures of 3 + 3 channels: 2,768,705 in its authors' PyTorch code.
    with torch.device("meta"):
        assert n_parameters(PatchCritic(3)) == 2_768_705


def test_a_picture_too_small_for_the_critic_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs 24"):
        PatchCritic(1, width=1)(torch.zeros(1, 1, 16, 32), torch.zeros(1, 3, 16, 32))


@pytest.mark.parametrize("detail", list(Detail))
@pytest.mark.parametrize("sigma_px", [0.0, 1.0])
def test_channels_are_those_drawn_one_face_at_a_time(detail: Detail, sigma_px: float) -> None:
    rng = np.random.default_rng(1)
    size_hw, whole = (32, 16), (0.0, 0.0, 16.0, 32.0)
    points = np.stack([drawn_landmarks((8, 16), 6, 12, turn) for turn in (0.0, 0.3)])
    contexts = rng.integers(0, 256, (2, 32, 16, 3), dtype=np.uint8)
    present = rng.random((2, 5)) < 0.5
    names = tuple("abcde")
    embedding = Embedding(names, rng.normal(size=(5, 8, 4)).astype(np.float32))
    for planes, used in ((AttributePlanes.CONSTANT, None), (AttributePlanes.WORD2VEC, embedding)):
        config = InputConfig(detail, 8, sigma_px, planes)
        inputs = FactorInputs(config, 5, size_hw, embedding=used)
        drawn = inputs.draw(points, contexts, present).numpy()
        assert drawn.shape == (2, inputs.n_in, 32, 16)
        for face, own, picture, row in zip(drawn, points, contexts, present, strict=True):
            coarse = coarse_landmarks(own, whole, detail, cells=8)
            channels = landmark_channels(coarse, whole, size_hw, sigma_px=sigma_px)
            flat = used.planes(row, size_hw) if used else constant_planes(row, size_hw)
            context = np.moveaxis(picture.astype(np.float32) / 255, 2, 0)
            wanted = np.concatenate([channels, context, flat])
            np.testing.assert_allclose(face, wanted, atol=2e-7)


def test_planes_and_embedding_have_to_go_together() -> None:
    with pytest.raises(ConfigError, match="need an embedding"):
        FactorInputs(InputConfig(planes=AttributePlanes.WORD2VEC), 4, (32, 16))


def test_pictures_come_back_as_they_were() -> None:
    pictures = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    np.testing.assert_array_equal(as_pictures(as_planes(pictures, "cpu")), pictures)


def test_scores_look_at_the_hidden_part() -> None:
    rng = np.random.default_rng(2)
    wanted = rng.integers(0, 256, (1, 24, 24, 3), dtype=np.uint8)
    hidden = np.zeros((1, 24, 24), np.uint8)
    hidden[0, 8:16, 8:16] = 255
    same = face_scores(wanted, wanted, hidden)
    assert [float(same[name][0]) for name in same] == pytest.approx([1, 1, 0])
    other = wanted.copy()
    other[0, 8:16, 8:16] = 255 - other[0, 8:16, 8:16]
    worse = face_scores(other, wanted, hidden)
    assert worse["ssim_hidden"][0] < worse["ssim"][0] < 1
    away = np.abs(255 - 2.0 * wanted[0, 8:16, 8:16]).mean() / 255
    assert worse["l1_hidden"][0] == pytest.approx(away)


def test_intervals_are_over_people_not_faces() -> None:
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(6), 50)
    values = rng.normal(size=6)[people]
    measured = measure_scores(values, people.tolist(), "x")
    assert measured.n == 6
    assert measured.low < measured.value < measured.high
    # Six people: as wide as their own means say, not as 300 faces would.
    spread = np.unique(values).std(ddof=1) / np.sqrt(6)
    assert measured.high - measured.low > 2 * spread
    alone = measure_scores(values[:50], people[:50].tolist(), "x")
    assert (alone.low, alone.high, alone.n) == (-np.inf, np.inf, 1)
