# SPDX-License-Identifier: Apache-2.0
"""Attributes embedded by gensim's word2vec."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from veilset.synthesize.attribute_planes import Embedding, train_embedding

NAMES = tuple(f"colour {k}" for k in range(4)) + tuple(
    f"hair {k} {word}" for k in range(4) for word in ("straight", "wavy")
)


def coloured_hair(n: int = 600) -> NDArray[np.bool_]:
    """Give images of a colour, and of one of the two kinds of hair that go with it."""
    rng = np.random.default_rng(0)
    present = np.zeros((n, 12), np.bool_)
    for row in present:
        colour = rng.integers(4)
        row[[colour, 4 + 2 * colour + rng.integers(2)]] = True
    return present


@pytest.fixture(scope="module")
def embedding() -> Embedding:
    return train_embedding(coloured_hair(), NAMES, shape_hw=(4, 2))


def test_attributes_that_keep_the_same_company_are_alike(embedding: Embedding) -> None:
    flat = embedding.vectors.reshape(12, -1)[4:]
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    alike, same = flat @ flat.T, np.kron(np.eye(4), np.ones((2, 2))).astype(bool)
    assert alike[same].min() > 0.95
    assert alike[~same].max() < 0.6


def test_planes_are_about_as_bright_as_constant_ones(embedding: Embedding) -> None:
    assert float(np.mean(embedding.vectors**2)) == pytest.approx(1.0, rel=1e-5)
    assert embedding.vectors.dtype == np.float32
    assert embedding.planes([True] * 12, (8, 4)).shape == (12, 8, 4)


def test_the_same_seed_gives_the_same_vectors_and_another_others(embedding: Embedding) -> None:
    again, other = (
        train_embedding(coloured_hair(), NAMES, shape_hw=(4, 2), seed=seed) for seed in (0, 1)
    )
    np.testing.assert_array_equal(embedding.vectors, again.vectors)
    assert (embedding.vectors != other.vectors).any()


def test_images_with_a_single_attribute_say_nothing(embedding: Embedding) -> None:
    alone = np.zeros((50, 12), np.bool_)
    alone[:, 0] = True
    more = train_embedding(np.concatenate([coloured_hair(), alone]), NAMES, shape_hw=(4, 2))
    np.testing.assert_array_equal(embedding.vectors, more.vectors)
