# SPDX-License-Identifier: Apache-2.0
"""The generator as an ONNX file, for use without PyTorch: written, and only kept if checked.

The exporter of TorchScript is asked for (``dynamo=False``): the newer one needs ``onnxscript``,
and gains nothing for a network of convolutions.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veilset.errors import ConfigError, RunError
from veilset.files import sha256_hex, write_atomically
from veilset.networks.face_factors import FILL
from veilset.networks.face_generator import CARD_KEY
from veilset.networks.factor_generator import ATTRIBUTES, CUTTING, FACE, FACTORS
from veilset.networks.onnx_file import with_metadata
from veilset.networks.runtime import the_core
from veilset.networks.silent_imports import import_onnxruntime
from veilset.synthesize.celeba import Attributes
from veilset.synthesize.generator import Generator
from veilset.synthesize.inputs import Pictures, spread_planes

OPSET = 17
TOLERANCE = 1e-4
"""Largest difference of a value in [0, 1] that passes: 1/39 of a level of a pixel."""

_BATCHES = (1, 3)

Floats = NDArray[np.float32]
Faces = tuple[NDArray[np.float64], Pictures, Attributes]
"""Landmarks, contexts and attributes, as ``FactorInputs.draw`` takes them."""


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """How far other runtimes are from PyTorch on the same channels.

    Attributes:
        onnxruntime: Largest difference of a value in [0, 1].
        openvino: The same.
        n_values: How many values were compared.
        sha256: Of the file that was written.
    """

    onnxruntime: float
    openvino: float
    n_values: int
    sha256: str


def export_onnx(
    generator: Generator, path: Path, *, tolerance: float = TOLERANCE, seed: int = 0
) -> ExportCheck:
    """Write the generator as ONNX, after both runtimes were seen to compute what PyTorch does.

    The file is all that ``networks.factor_generator`` needs. It takes ``factors``, the channels
    of landmarks and surroundings, and ``attributes``, ``(N, K)`` float32, 0 or 1; how these become
    planes, by an embedding too, is part of the graph. It gives ``face``, ``(N, 3, H, W)`` in (0,
    1); N is free. The card in its metadata says besides how faces have to be cut out.

    Args:
        generator: On the CPU.
        path: Of the ONNX file; its folder must exist.
        tolerance: Largest difference that passes.
        seed: Of what is compared on: random landmarks, surroundings, attributes.

    Raises:
        ConfigError: If the card does not say how faces were cut out.
        RunError: If a runtime differs by more, or the file cannot be written; then there is none.
        MissingExtraError: If ONNX Runtime or OpenVINO is not installed.
    """
    card = {CARD_KEY: json.dumps(exported_card(generator.card))}
    faces = [_random_faces(generator, n, seed) for n in _BATCHES]
    with torch.inference_mode():
        wanted = [generator.network(generator.inputs.draw(*each)).numpy() for each in faces]
    inputs = [_as_arrays(generator, *each) for each in faces]
    model = with_metadata(_exported(generator, inputs[0]), card)
    found = {"ONNX Runtime": _onnxruntime(model, inputs), "OpenVINO": _openvino(model, inputs)}
    away = {name: _farthest(made, wanted) for name, made in found.items()}
    for name, distance in away.items():
        if not distance <= tolerance:
            raise RunError(
                f"{name} gives faces that differ by {distance:.2g} from PyTorch's, and "
                f"{tolerance:g} is allowed. Nothing was written: update the runtime, or report "
                "the network."
            )
    write_atomically(path, model)
    n_values = sum(each.size for each in wanted)
    return ExportCheck(away["ONNX Runtime"], away["OpenVINO"], n_values, sha256_hex(model))


def exported_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Give the card of the ONNX file: that of the training, and how faces were cut out for it.

    Raises:
        ConfigError: If the card does not say so.
    """
    try:
        prepared = card["faces"]["config"]
        cutting = {name: prepared[name] for name in CUTTING}
    except (KeyError, TypeError) as error:
        raise ConfigError(
            "The card of the generator does not say how the faces were cut out. Prepare the faces "
            "and train the generator anew."
        ) from error
    return {**card, "cutting": cutting}


def _random_faces(generator: Generator, n: int, seed: int) -> Faces:
    rng = np.random.default_rng([seed, n])
    height, width = generator.size_hw
    landmarks_xy = rng.uniform(0, (width, height), size=(n, 68, 2))
    contexts = rng.integers(0, 256, size=(n, height, width, 3), dtype=np.uint8)
    contexts[:, height // 4 : -height // 4, width // 4 : -width // 4] = FILL
    return landmarks_xy, contexts, rng.random((n, len(generator.names))) < 0.5


def _as_arrays(
    generator: Generator,
    landmarks_xy: NDArray[np.float64],
    contexts: Pictures,
    present: Attributes,
) -> dict[str, Floats]:
    factors = generator.inputs.draw_seen(landmarks_xy, contexts).numpy()
    return {FACTORS: factors, ATTRIBUTES: present.astype(np.float32)}


class _WithPlanes(nn.Module):
    """The network, and before it what makes planes of attributes."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.network, self._size_hw = generator.network, generator.size_hw
        self.register_buffer("planes", generator.inputs.planes)

    def forward(self, factors: Tensor, attributes: Tensor) -> Tensor:
        planes = spread_planes(attributes, self.get_buffer("planes"), self._size_hw)
        made: Tensor = self.network(torch.cat([factors, planes], dim=1))
        return made


def _exported(generator: Generator, inputs: Mapping[str, Floats]) -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # That the exporter of TorchScript is the older one.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _WithPlanes(generator).eval(),
            (torch.from_numpy(inputs[FACTORS]), torch.from_numpy(inputs[ATTRIBUTES])),
            sink,
            dynamo=False,
            opset_version=OPSET,
            input_names=[FACTORS, ATTRIBUTES],
            output_names=[FACE],
            dynamic_axes={FACTORS: {0: "n"}, ATTRIBUTES: {0: "n"}, FACE: {0: "n"}},
        )
    return sink.getvalue()


def _onnxruntime(model: bytes, inputs: Sequence[Mapping[str, Floats]]) -> list[Floats]:
    runtime = import_onnxruntime("cpu")
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [session.run([FACE], dict(each))[0] for each in inputs]


def _openvino(model: bytes, inputs: Sequence[Mapping[str, Floats]]) -> list[Floats]:
    core = the_core()
    # Left alone, it computes in 16 bits where the processor can.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model=model), "CPU", exact)
    return [np.array(compiled(dict(each))[FACE]) for each in inputs]


def _farthest(found: Sequence[Floats], wanted: Sequence[Floats]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
