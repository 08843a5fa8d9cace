# SPDX-License-Identifier: Apache-2.0
"""Attributes as planes; learning the embedding is in ``tests/synthesize``."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from veilset.errors import ConfigError, DatasetError, MissingExtraError
from veilset.synthesize.attribute_planes import Embedding, constant_planes, train_embedding


def test_constant_planes_are_the_attributes() -> None:
    present = np.random.default_rng(0).random(40) < 0.5
    planes = constant_planes(present, (128, 64))
    assert planes.dtype == np.float32
    np.testing.assert_array_equal(planes.min(axis=(1, 2)), present)
    np.testing.assert_array_equal(planes.max(axis=(1, 2)), present)


def test_an_embedding_is_repeated_over_the_plane_and_null_where_absent() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 8, 4)).astype(np.float32)
    embedding = Embedding(("a", "b", "c"), vectors)
    planes = embedding.planes([True, False, True], (128, 64))
    assert planes.shape == (3, 128, 64)
    assert not planes[1].any()
    np.testing.assert_array_equal(planes[2, 8::16, 8::16], vectors[2])
    blocks = planes[0].reshape(8, 16, 4, 16)
    np.testing.assert_array_equal(np.ptp(blocks, axis=(1, 3)), 0)


def test_sizes_that_do_not_fit_are_refused() -> None:
    embedding = Embedding(("a",), np.ones((1, 8, 4), np.float32))
    for present, size_hw in (([True], (12, 4)), ([True], (8, 6)), ([True, True], (8, 4))):
        with pytest.raises(ConfigError, match="do not fit"):
            embedding.planes(present, size_hw)
    with pytest.raises(ConfigError, match="do not embed 2"):
        Embedding(("a", "b"), np.ones((1, 8, 4), np.float32))
    with pytest.raises(ConfigError, match="one face"):
        constant_planes([[True]], (2, 2))


def test_what_cannot_be_learned_from_is_refused() -> None:
    table = np.array([[True, True, False], [False, False, True]])
    with pytest.raises(DatasetError, match="No training image has c together"):
        train_embedding(table, ["a", "b", "c"])
    with pytest.raises(ConfigError, match="different names"):
        train_embedding(table, ["a", "b", "a"])
    with pytest.raises(ConfigError, match="from 1 on"):
        train_embedding(table, ["a", "b", "c"], shape_hw=(0, 4))


def test_without_gensim_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[synthesize\]'"):
        train_embedding(np.ones((2, 2), np.bool_), ["a", "b"])
