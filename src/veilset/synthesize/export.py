# SPDX-License-Identifier: Apache-2.0
"""The generator as an ONNX file, for use without PyTorch: written, and only kept if checked.

The exporter of TorchScript is asked for (``dynamo=False``): the newer one needs ``onnxscript``,
and gains nothing for a network of convolutions.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from veilset.errors import RunError
from veilset.files import sha256_hex, write_atomically
from veilset.networks.face_factors import FILL
from veilset.networks.silent_imports import import_onnxruntime, import_openvino
from veilset.synthesize.generator import Generator

OPSET = 17
FACTORS, FACE = "factors", "face"

TOLERANCE = 1e-4
"""Largest difference of a value in [0, 1] that passes: 1/39 of a level of a pixel."""

CARD_KEY = "veilset"
"""Under it the file's metadata hold the card, as JSON."""

_BATCHES = (1, 3)

Floats = NDArray[np.float32]


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

    The file takes ``factors``, ``(N, n_in, H, W)`` float32 as ``FactorInputs``, or
    ``face_factors`` and ``attribute_planes``, draw them, and gives ``face``, ``(N, 3, H, W)`` in
    (0, 1); N is free. The card is in its metadata. Vectors of an embedding are in the safetensors file only.

    Args:
        generator: On the CPU.
        path: Of the ONNX file; its folder must exist.
        tolerance: Largest difference that passes.
        seed: Of the channels that are compared on: random landmarks, surroundings, attributes.

    Raises:
        RunError: If a runtime differs by more, or the file cannot be written; then there is none.
        MissingExtraError: If ONNX Runtime or OpenVINO is not installed.
    """
    inputs = [_random_factors(generator, n, seed) for n in _BATCHES]
    with torch.inference_mode():
        wanted = [generator.network(torch.from_numpy(each)).numpy() for each in inputs]
    model = _exported(generator, inputs[0]) + _metadata(CARD_KEY, json.dumps(dict(generator.card)))
    found = {"ONNX Runtime": _onnxruntime(model, inputs), "OpenVINO": _openvino(model, inputs)}
    away = {name: _farthest(faces, wanted) for name, faces in found.items()}
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


def _random_factors(generator: Generator, n: int, seed: int) -> Floats:
    rng = np.random.default_rng([seed, n])
    height, width = generator.size_hw
    landmarks_xy = rng.uniform(0, (width, height), size=(n, 68, 2))
    contexts = rng.integers(0, 256, size=(n, height, width, 3), dtype=np.uint8)
    contexts[:, height // 4 : -height // 4, width // 4 : -width // 4] = FILL
    present = rng.random((n, len(generator.names))) < 0.5
    found: Floats = generator.inputs.draw(landmarks_xy, contexts, present).numpy()
    return found


def _exported(generator: Generator, factors: Floats) -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # That the exporter of TorchScript is the older one.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            generator.network,
            (torch.from_numpy(factors),),
            sink,
            dynamo=False,
            opset_version=OPSET,
            input_names=[FACTORS],
            output_names=[FACE],
            dynamic_axes={FACTORS: {0: "n"}, FACE: {0: "n"}},
        )
    return sink.getvalue()


def _metadata(key: str, value: str) -> bytes:
    """Give an entry of an ONNX file's metadata, to be put behind its other bytes.

    In protocol buffers a repeated field may be continued anywhere: field 14 of ``ModelProto``,
    ``metadata_props``, holds the key as field 1 and the value as field 2.
    """
    entry = _field(1, key.encode()) + _field(2, value.encode())
    return _field(14, entry)


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Give a number in groups of seven bits, the lowest first.

    Example:
        >>> _varint(300).hex()
        'ac02'
    """
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _onnxruntime(model: bytes, inputs: Sequence[Floats]) -> list[Floats]:
    runtime = import_onnxruntime("cpu")
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [session.run([FACE], {FACTORS: each})[0] for each in inputs]


def _openvino(model: bytes, inputs: Sequence[Floats]) -> list[Floats]:
    core = import_openvino().Core()
    # Left alone, it computes in 16 bits where the processor can.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model=model), "CPU", exact)
    return [np.array(compiled([each])[FACE]) for each in inputs]


def _farthest(found: Sequence[Floats], wanted: Sequence[Floats]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
