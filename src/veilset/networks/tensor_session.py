# SPDX-License-Identifier: Apache-2.0
"""Run a network whose inputs are no pictures: named arrays of floats in, arrays of floats out.

The same runtimes and settings as in ``runtime``, whose sessions take pictures of bytes; on the
CPU only.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from queue import LifoQueue
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from veilset.engine.threads import usable_cores
from veilset.errors import ConfigError
from veilset.networks.runtime import (
    check_runtime,
    openvino_precision,
    prepare_arrays,
    session_error,
    the_core,
)
from veilset.networks.silent_imports import import_onnxruntime, import_openvino
from veilset.protocols import RuntimeSettings

Floats = NDArray[np.float32]

_opening = threading.Lock()


class TensorSession(Protocol):
    """A network that is ready to run. Safe to call from several threads."""

    def run(self, inputs: Mapping[str, Floats]) -> list[Floats]:
        """Run the network.

        Args:
            inputs: Of each input, by its name, the values; contiguous.

        Returns:
            The outputs, in the order of the weight file; the caller's own.
        """


def open_tensor_session(model: bytes, settings: RuntimeSettings) -> TensorSession:
    """Make a network ready to run; the one that was made last is given again.

    The same inputs give the same outputs, whatever the number of threads that ask.

    Args:
        model: An ONNX file.
        settings: ``device``, ``precision``, ``runtime`` and ``n_threads`` are used.

    Raises:
        ConfigError: If the settings contradict themselves, or the model cannot be used.
        MissingExtraError: If the runtime asked for is not installed.
    """
    check_runtime(settings)
    if settings.device != "cpu":
        raise ConfigError(
            f"A network of this kind does not run on --device {settings.device} yet. Give cpu."
        )
    with _opening:
        return _open(model, settings)


@lru_cache(maxsize=1)
def _open(model: bytes, settings: RuntimeSettings) -> TensorSession:
    if settings.runtime == "onnxruntime":
        return _OnnxRuntime(model)
    return _OpenVino(model, settings)


class _OpenVino:
    def __init__(self, model: bytes, settings: RuntimeSettings) -> None:
        openvino, core = import_openvino(), the_core()
        n_streams = min(settings.n_threads, usable_cores())
        try:
            compiled = core.compile_model(
                core.read_model(model),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": openvino_precision(settings.precision, core),
                    "NUM_STREAMS": n_streams,
                    # One thread for each caller: no sum depends on how many cores there are.
                    "INFERENCE_NUM_THREADS": n_streams,
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            raise ConfigError(
                f"OpenVINO cannot use the weight file ({str(error).splitlines()[-1].strip()}). "
                "Give an intact ONNX model."
            ) from error
        prepare_arrays(openvino)
        self._n_outputs = len(compiled.outputs)
        self._requests: LifoQueue[Any] = LifoQueue()
        for _ in range(n_streams):
            self._requests.put(compiled.create_infer_request())

    def run(self, inputs: Mapping[str, Floats]) -> list[Floats]:
        request = self._requests.get()
        try:
            request.infer(dict(inputs), share_inputs=True)
            return [
                np.array(request.get_output_tensor(place).data) for place in range(self._n_outputs)
            ]
        finally:
            self._requests.put(request)


class _OnnxRuntime:
    def __init__(self, model: bytes) -> None:
        onnxruntime = import_onnxruntime("cpu")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base but Exception
            raise session_error(error, on_gpu=False) from error

    def run(self, inputs: Mapping[str, Floats]) -> list[Floats]:
        found: list[Floats] = self._session.run(None, dict(inputs))
        return found
