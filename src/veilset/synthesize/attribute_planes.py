# SPDX-License-Identifier: Apache-2.0
"""Attributes as planes: the third factor, as a network takes it beside pictures.

Two ways, and the choice is one of the ablations. *Constant*: the plane of an attribute is 1
everywhere where the face has it, else 0. *Embedded*: the planes say besides which attributes keep
the same company. Each image is a sentence, the names of the attributes that it has; word2vec
learns to guess one name from all the others (continuous bag of words, Mikolov et al. 2013,
arXiv:1301.3781), and gives each name a vector of ``h * w`` numbers: alike for names that could
stand in each other's place, such as two colours of hair, not for those that stand side by side.
It is read as a picture of ``h`` rows and ``w`` columns and each of its numbers repeated until the
plane is full. An attribute that the face lacks is a plane of zeros either way.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError, DatasetError, MissingExtraError
from veilset.synthesize.celeba import Attributes

Planes = NDArray[np.float32]
"""``(K, H, W)`` float32."""

SHAPE_HW = (8, 4)
"""Height and width of an embedded attribute: 32 numbers, the size of the network's bottom."""


def constant_planes(present: ArrayLike, size_hw: tuple[int, int]) -> Planes:
    """Give one constant plane for each attribute.

    Args:
        present: ``(K,)`` bool.
        size_hw: Height and width of a plane.

    Returns:
        ``(K, H, W)`` float32, 0 or 1.

    Example:
        >>> constant_planes([True, False], (1, 2)).tolist()
        [[[1.0, 1.0]], [[0.0, 0.0]]]
    """
    row = _one_face(present)
    planes: Planes = np.broadcast_to(row[:, None, None], (len(row), *size_hw)).astype(np.float32)
    return planes


@dataclass(frozen=True, slots=True)
class Embedding:
    """Attributes as small pictures.

    Attributes:
        names: K names.
        vectors: ``(K, h, w)`` float32.

    Raises:
        ConfigError: If the two do not belong together.
    """

    names: tuple[str, ...]
    vectors: Planes = field(repr=False)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 3 or len(self.vectors) != len(self.names):
            raise ConfigError(
                f"Vectors of shape {self.vectors.shape} do not embed {len(self.names)} attributes. "
                "Give (K, h, w)."
            )

    def planes(self, present: ArrayLike, size_hw: tuple[int, int]) -> Planes:
        """Give one plane for each attribute.

        Args:
            present: ``(K,)`` bool.
            size_hw: Height and width of a plane, multiples of those of the embedding.

        Returns:
            ``(K, H, W)`` float32; zeros for an attribute that the face lacks.

        Raises:
            ConfigError: If the sizes do not fit.

        Example:
            >>> embedding = Embedding(("a", "b"), np.array([[[1, 2]], [[3, 4]]], np.float32))
            >>> embedding.planes([False, True], (1, 4)).tolist()
            [[[0.0, 0.0, 0.0, 0.0]], [[3.0, 3.0, 4.0, 4.0]]]
        """
        row = _one_face(present)
        height, width = self.vectors.shape[1:]
        if len(row) != len(self.names) or size_hw[0] % height or size_hw[1] % width:
            raise ConfigError(
                f"{len(row)} attributes on planes of {size_hw} do not fit an embedding of "
                f"{len(self.names)} attributes as {(height, width)}. Give as many attributes, and "
                "planes whose sides are multiples."
            )
        kept = np.where(row[:, None, None], self.vectors, np.float32(0))
        repeated: Planes = kept.repeat(size_hw[0] // height, axis=1)
        return repeated.repeat(size_hw[1] // width, axis=2)


def sentences(present: Attributes, names: Sequence[str]) -> list[list[str]]:
    """Give each image as a sentence: the names of its attributes, in the order of the columns.

    Example:
        >>> sentences(np.array([[True, False, True], [False, False, False]]), ["a", "b", "c"])
        [['a', 'c'], []]
    """
    return [[names[k] for k in np.flatnonzero(row).tolist()] for row in present]


def train_embedding(
    present: ArrayLike,
    names: Sequence[str],
    *,
    shape_hw: tuple[int, int] = SHAPE_HW,
    n_epochs: int = 20,
    seed: int = 0,
) -> Embedding:
    """Learn the embedding of attributes from the training images.

    All other names of a sentence are the context of a name, in any order: the window is as long
    as the longest sentence and is not shortened at random. One thread, so that the same seed
    gives the same vectors. They are divided by one number, the root of the mean of their
    squares, so that the planes are as bright as constant ones are.

    Args:
        present: ``(N, K)`` bool, images of the training set only.
        names: K names.
        shape_hw: Height and width of an embedded attribute.
        n_epochs: How often the sentences are gone through.
        seed: Of the first vectors and of the words drawn as negative examples.

    Raises:
        MissingExtraError: If gensim is not installed.
        ConfigError: If an argument cannot be used.
        DatasetError: If no image has some attribute together with another: nothing can be
            learned of it.
    """
    table = np.asarray(present, dtype=np.bool_)
    if table.ndim != 2 or table.shape[1] != len(names) or len(set(names)) < len(names):
        raise ConfigError(
            f"Attributes of shape {table.shape} do not go with {len(names)} names. Give (N, K) and "
            "K different names."
        )
    if min(*shape_hw, n_epochs) < 1 or seed < 0:
        raise ConfigError("An embedding needs sides and epochs from 1 on, and a seed from 0 on.")
    together = table[table.sum(axis=1) > 1]
    unseen = [name for name, seen in zip(names, together.any(axis=0), strict=True) if not seen]
    if unseen:
        raise DatasetError(
            f"No training image has {', '.join(unseen)} together with another attribute, so no "
            "embedding can be learned. Give more images, or use constant planes."
        )
    vectors = _vectors(sentences(together, names), names, shape_hw, n_epochs, seed)
    return Embedding(tuple(names), vectors / np.sqrt(np.mean(vectors**2)))


def _vectors(
    corpus: list[list[str]],
    names: Sequence[str],
    shape_hw: tuple[int, int],
    n_epochs: int,
    seed: int,
) -> Planes:
    if importlib.util.find_spec("gensim") is None:
        raise MissingExtraError(
            "Embedding attributes needs gensim, which is not installed. Install it with: "
            "pip install 'veilset[synthesize]'"
        )
    model = importlib.import_module("gensim.models.word2vec").Word2Vec(
        corpus,
        vector_size=shape_hw[0] * shape_hw[1],
        window=max(map(len, corpus)),
        shrink_windows=False,
        sg=0,  # continuous bag of words
        min_count=1,
        # Frequent words are left out of long texts; forty names are all wanted.
        sample=0,
        workers=1,
        epochs=n_epochs,
        seed=seed,
    )
    vectors: Planes = np.stack([model.wv[name] for name in names]).astype(np.float32)
    return vectors.reshape(len(names), *shape_hw)


def _one_face(present: ArrayLike) -> NDArray[np.bool_]:
    row = np.asarray(present, dtype=np.bool_)
    if row.ndim != 1:
        raise ConfigError(f"Attributes of shape {row.shape} are not those of one face. Give (K,).")
    return row
