# SPDX-License-Identifier: Apache-2.0
"""Where a network looks: Grad-CAM (Selvaraju et al., ICCV 2017), from the package grad-cam."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veilset.boxes import union_mask
from veilset.errors import MissingExtraError
from veilset.study.crops import eval_sizes
from veilset.types import FloatBoxes, Image

Map = NDArray[np.float32]
"""``(S, S)`` float32 in [0, 1], as large as what the network saw."""


def require_grad_cam() -> Any:
    """Import the package.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        return import_module("pytorch_grad_cam")
    except ImportError as error:
        # Alone: it asks for a second build of OpenCV, whose files would overwrite the first.
        raise MissingExtraError(
            "Grad-CAM is not installed. Install it with: pip install 'veilset[saliency]' && "
            "pip install --no-deps grad-cam==1.5.7"
        ) from error


def attention(
    module: nn.Module, layer: nn.Module, pixels: Tensor, labels: Sequence[int]
) -> list[Map]:
    """Give what speaks for a class, place by place.

    The feature map of a layer is weighted with the mean gradients of the class's score, summed
    and cut off below 0; then it is scaled to [0, 1] and to the size of the pictures.

    Args:
        module: The network, in evaluation mode.
        layer: One of its layers, whose output is ``(B, C, h, w)``.
        pixels: ``(B, 3, S, S)`` float32, as the network is fed.
        labels: The class that is asked for in each, B of them.

    Returns:
        B maps; one is 0 everywhere where nothing speaks for the class.

    Raises:
        MissingExtraError: If the package grad-cam is not installed.
    """
    grad_cam = require_grad_cam()
    targets = import_module("pytorch_grad_cam.utils.model_targets")
    wanted = [targets.ClassifierOutputTarget(label) for label in labels]
    with torch.enable_grad(), grad_cam.GradCAM(model=module, target_layers=[layer]) as cam:
        # Some networks go on to overwrite the layer's output, which is kept without a copy.
        # Hooks run in their order: what is kept is not the copy.
        handle = layer.register_forward_hook(lambda _module, _inputs, output: output.clone())
        try:
            found = cam(input_tensor=pixels, targets=wanted)
        finally:
            handle.remove()
            module.zero_grad(set_to_none=True)
    return [np.asarray(each, np.float32) for each in found]


def shown(picture: Image, found: Map) -> Image:
    """Lay a map over the picture it belongs to, blue for 0 and red for 1.

    Args:
        picture: ``(S, S, 3)`` uint8 RGB.
        found: Its map.
    """
    drawing = import_module("pytorch_grad_cam.utils.image")
    laid: Image = drawing.show_cam_on_image(picture.astype(np.float32) / 255, found, use_rgb=True)
    return laid


def mass_on(
    found: Map, boxes_xyxy: FloatBoxes, size_wh: tuple[int, int], resize: int
) -> float | None:
    """Give the share of a map that lies on objects.

    Args:
        found: The map of what evaluation cuts out of a picture.
        boxes_xyxy: ``(N, 4)``, the objects, in pixels of the whole picture as it is stored.
        size_wh: Its width and height in pixels.
        resize: Its shorter side before the cut, in pixels.

    Returns:
        In [0, 1]; None if there is no object, or the map is 0 everywhere.

    Example:
        >>> found = np.ones((4, 4), np.float32)
        >>> mass_on(found, np.array([[0.0, 0.0, 4.0, 4.0]]), (8, 8), 4)
        0.25
    """
    total = float(found.sum(dtype=np.float64))
    if not len(boxes_xyxy) or not total:
        return None
    side = len(found)
    (width, height), (x0, y0, _, _) = eval_sizes(size_wh, resize, side)
    scale = np.array([width / size_wh[0], height / size_wh[1]] * 2)
    boxes = np.clip(boxes_xyxy * scale - [x0, y0, x0, y0], 0, side)
    inside = boxes[(boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])]
    return float(found[union_mask(inside, (side, side))].sum(dtype=np.float64)) / total
