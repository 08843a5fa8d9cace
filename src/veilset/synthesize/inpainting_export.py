# SPDX-License-Identifier: Apache-2.0
"""The inpainting network as the ONNX file that the obfuscator reads; written only if checked."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from veilset.errors import RunError
from veilset.files import write_atomically
from veilset.networks.face_generator import CARD_KEY, FILL, FORMAT, FaceGenerator, FaceView
from veilset.networks.onnx_file import with_metadata
from veilset.protocols import RuntimeSettings
from veilset.synthesize.inpainting_network import InpaintingNetwork
from veilset.types import Image

OPSET = 17
TOLERANCE_LEVELS = 1
"""A drawn value may differ so much between runtimes: one of 255 levels, by rounding."""

_N_CHECKED = 3


class ViewNetwork(nn.Module):
    """The network with what makes its channels from the bytes of a view, and bytes of them.

    Args:
        network: In evaluation mode.
    """

    def __init__(self, network: InpaintingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, view: Tensor) -> Tensor:
        """Draw.

        Args:
            view: ``(N, 3, 2S, S)`` in [0, 255], as ``FaceView.picture`` lays it out.

        Returns:
            ``(N, 3, S, S)`` in [0, 1].
        """
        side = view.shape[3]
        picture, masks = view[:, :, :side] / 127.5 - 1, view[:, :2, side:] / 255
        given = torch.cat([picture * masks[:, 1:2], masks], dim=1)
        drawn: Tensor = (self.network(given) + 1) / 2
        return drawn


def export_inpainter(
    network: InpaintingNetwork, card: Mapping[str, Any], path: Path, *, seed: int = 0
) -> dict[str, int]:
    """Write the file, after each runtime was seen to draw what PyTorch draws.

    Args:
        network: In evaluation mode, on the CPU.
        card: Of its training; ``side_px`` and ``context`` are needed.
        path: Of the file; its folder must exist.
        seed: Of the views that are compared.

    Returns:
        By runtime, the largest difference of a value in levels of 255.

    Raises:
        RunError: If a runtime differs by more than ``TOLERANCE_LEVELS``; there is no file then.
        MissingExtraError: If ONNX Runtime or OpenVINO is not installed.
    """
    side = int(card["side_px"])
    whole = ViewNetwork(network).eval()
    values = {**card, "format": FORMAT}
    model = with_metadata(_exported(whole, side), {CARD_KEY: json.dumps(values, sort_keys=True)})
    views = [_random_view(side, np.random.default_rng([seed, at])) for at in range(_N_CHECKED)]
    wanted = [_draw(whole, view) for view in views]
    differences = {}
    for runtime in ("openvino", "onnxruntime"):
        generator = FaceGenerator(model, path.name, RuntimeSettings(runtime=runtime))
        found = [generator.draw(view) for view in views]
        away = [np.abs(a.astype(int) - b).max() for a, b in zip(found, wanted, strict=True)]
        differences[runtime] = int(max(away))
        if differences[runtime] > TOLERANCE_LEVELS:
            raise RunError(
                f"{runtime} draws faces that differ by {differences[runtime]} levels from "
                f"PyTorch's, and {TOLERANCE_LEVELS} is allowed. Nothing was written: update the "
                "runtime, or report the network."
            )
    write_atomically(path, model)
    return differences


def _exported(whole: ViewNetwork, side: int) -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # That the exporter of TorchScript is the older one.
        warnings.simplefilter("ignore", DeprecationWarning)
        # That sizes become constants: they are, but for the number of views.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            whole,
            (torch.zeros(1, 3, 2 * side, side),),
            sink,
            dynamo=False,
            opset_version=OPSET,
            input_names=["view"],
            output_names=["face"],
            dynamic_axes={"view": {0: "n"}, "face": {0: "n"}},
        )
    return sink.getvalue()


def _random_view(side: int, random: np.random.Generator) -> FaceView:
    surroundings: Image = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    to_make = np.zeros((side, side), np.bool_)
    low, high = side // 5, side - side // 5
    to_make[low:high, low:high] = True
    known = ~to_make
    known[:, : side // 10] = False
    surroundings[~known] = FILL
    return FaceView(surroundings, to_make, known)


def _draw(whole: ViewNetwork, view: FaceView) -> Image:
    planes = torch.from_numpy(np.moveaxis(view.picture(), 2, 0)[None].astype(np.float32))
    with torch.inference_mode():
        (face,) = whole(planes).numpy()
    drawn: Image = np.moveaxis(np.rint(np.clip(face, 0, 1) * 255).astype(np.uint8), 0, 2)
    return drawn
