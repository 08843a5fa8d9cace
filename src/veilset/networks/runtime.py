# SPDX-License-Identifier: Apache-2.0
"""Run a network: OpenVINO or ONNX Runtime on the CPU, ONNX Runtime on an NVIDIA GPU.

Both take the same pictures (``(N, H, W, 3)`` uint8 RGB) and give the same outputs, so a
detector does not know which one it has. Nothing is chosen silently: what cannot be had
is refused, and what was chosen stands in ``settings``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from queue import LifoQueue
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from veilset.engine.threads import usable_cores
from veilset.errors import ConfigError
from veilset.networks.free_sizes import free_sizes
from veilset.networks.page_locked import Staging, find_cuda_runtime
from veilset.networks.silent_imports import import_onnxruntime, import_openvino
from veilset.protocols import DEVICES, PRECISIONS, RuntimeSettings
from veilset.types import Image

RUNTIMES = ("auto", "openvino", "onnxruntime")

# Kernels are compiled for each picture size and kept. Left alone, OpenVINO keeps 5,000 of
# them for each stream: 0.8 GB after 300 sizes. This many serve 60 sizes in half of that.
_N_KEPT_KERNELS = 2_400

_GPU_BATCH = 8

_log = logging.getLogger(__name__)
_opening = threading.Lock()
_making_core = threading.Lock()


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a network wants done to the pixels: ``(pixel - mean) / scale``.

    Attributes:
        is_bgr: Whether it wants blue first.
        mean: Value taken off each channel, in the network's order, in [0, 255].
        scale: What the difference is divided by.
    """

    is_bgr: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0


class Session(Protocol):
    """A network that is ready to run. Safe to call from several threads."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the weight file."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """What was chosen: runtime, its version, device and the numbers it computes in."""

    @property
    def batch_size(self) -> int:
        """How many pictures of one size a run likes to get."""

    def run(self, pictures: Image) -> AbstractContextManager[list[NDArray[np.float32]]]:
        """Run the network; the outputs may be read inside the ``with`` block only.

        Args:
            pictures: ``(N, H, W, 3)`` uint8 RGB, contiguous; N at most ``batch_size``.
                Outputs may have more than N rows; the first N are the pictures'.
        """


def open_session(
    model: bytes,
    preparation: Preparation,
    settings: RuntimeSettings,
    *,
    bears_batches: bool = False,
) -> Session:
    """Make a network ready to run, as the settings ask.

    The session made last is kept, and given again to whoever asks for the same: detection
    and verification follow each other in one process, and kernels that were compiled for
    the picture sizes of the one serve the other.

    Args:
        model: An ONNX file with one input, ``(N, 3, H, W)`` float32.
        preparation: What the network wants done to the pixels.
        settings: ``device``, ``precision``, ``runtime`` and ``n_threads`` are used.
        bears_batches: Whether every output has the pictures of a run as its first axis.

    Raises:
        ConfigError: If the settings contradict themselves, or the model cannot be used.
        MissingExtraError: If the runtime asked for is not installed.
    """
    check_runtime(settings)
    wanted = RuntimeSettings(
        device=settings.device,
        precision=settings.precision,
        runtime=settings.runtime,
        n_threads=settings.n_threads,
    )
    with _opening:
        return _open_session(model, preparation, wanted, bears_batches)


@lru_cache(maxsize=1)
def _open_session(
    model: bytes, preparation: Preparation, settings: RuntimeSettings, bears_batches: bool
) -> Session:
    if settings.device == "cuda" or settings.runtime == "onnxruntime":
        batch_size = _GPU_BATCH if bears_batches and settings.device == "cuda" else 1
        return OnnxRuntimeSession(model, preparation, settings, batch_size)
    return OpenVinoSession(model, preparation, settings)


def check_runtime(settings: RuntimeSettings) -> None:
    """Refuse settings that contradict themselves, or that nobody knows.

    Raises:
        ConfigError: If they do.
    """
    for name, value, known in (
        ("runtime", settings.runtime, RUNTIMES),
        ("device", settings.device, DEVICES),
        ("precision", settings.precision, PRECISIONS),
    ):
        if value not in known:
            raise ConfigError(f"--{name} is {value!r}. Give one of: {', '.join(known)}.")
    if settings.n_threads < 1:
        raise ConfigError(f"The number of threads is {settings.n_threads}. Give at least 1.")
    if settings.device == "cuda" and settings.runtime == "openvino":
        raise ConfigError(
            "--runtime openvino cannot use --device cuda. Give --runtime onnxruntime, or auto."
        )


def the_core() -> Any:
    """Give OpenVINO's core, one for the process, which is never let go of.

    Each core of its CPU plugin puts up a stack for signal handlers, and puts back the one before
    it when it goes. Of two that go in the order they came, the second puts back one that has
    been freed, and the next handler of Python, Ctrl+C's for instance, ends the process with a
    segmentation fault (OpenVINO 2026.4).
    """
    with _making_core:
        return _core()


@cache
def _core() -> Any:
    return import_openvino().Core()


class OpenVinoSession:
    """A network in OpenVINO, on the CPU. Colour, layout and scaling run inside the graph."""

    def __init__(self, model: bytes, preparation: Preparation, settings: RuntimeSettings) -> None:
        openvino = import_openvino()
        core = the_core()
        hint = openvino_precision(settings.precision, core)
        n_cores = usable_cores()
        # As many streams as callers. Each caller waits for its own stream and leaves the
        # others free, which costs less than several cores bent over one small picture.
        n_streams = min(settings.n_threads, n_cores)
        try:
            graph = _graph_with_preparation(openvino, core.read_model(model), preparation)
            compiled = core.compile_model(
                graph,
                "CPU",
                {
                    # Left to itself OpenVINO takes bfloat16 wherever the CPU has it.
                    "INFERENCE_PRECISION_HINT": hint,
                    "NUM_STREAMS": n_streams,
                    "INFERENCE_NUM_THREADS": n_cores,
                    # Two processes would pin their threads to the same cores.
                    "ENABLE_CPU_PINNING": False,
                    "CPU_RUNTIME_CACHE_CAPACITY": _N_KEPT_KERNELS,
                },
            )
        except RuntimeError as error:
            raise ConfigError(
                f"OpenVINO cannot use the weight file: {reason(error)} "
                "Give an ONNX model with one input (N, 3, H, W) that bears any picture size."
            ) from error
        prepare_arrays(openvino)
        self._requests: LifoQueue[Any] = LifoQueue()
        for _ in range(n_streams):
            self._requests.put(compiled.create_infer_request())
        self.output_names = tuple(output.get_any_name() for output in graph.outputs)
        self.batch_size = 1
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                "runtime": "openvino",
                "runtime_version": openvino.__version__.split("-")[0],
                "device": "cpu",
                "precision": hint,
            }
        )

    @contextmanager
    def run(self, pictures: Image) -> Iterator[list[NDArray[np.float32]]]:
        """Run the network; see ``Session.run``."""
        request = self._requests.get()
        try:
            request.infer([pictures], share_inputs=True, share_outputs=True)
            yield [request.get_output_tensor(place).data for place in range(len(self.output_names))]
        finally:
            self._requests.put(request)


def prepare_arrays(openvino: ModuleType) -> None:
    """Let OpenVINO's binding find NumPy while no other thread is using it.

    It does so when it first meets an array, under a lock of its own for which it holds the
    interpreter's: two threads that bring the first arrays at once wait for each other for
    ever (3 of 12 processes with 4 threads did).
    """
    openvino.Tensor(np.zeros(1, np.uint8), shared_memory=True).data  # noqa: B018  read for what it does


def _graph_with_preparation(openvino: ModuleType, graph: Any, preparation: Preparation) -> Any:
    """Free the sizes, and put colour, scaling and layout into the graph."""
    if len(graph.inputs) != 1 or len(graph.input(0).partial_shape) != 4:
        shapes = ", ".join(str(each.partial_shape) for each in graph.inputs)
        raise ConfigError(
            f"The weight file takes the inputs {shapes}. Give a network with one input, "
            "(N, 3, H, W)."
        )
    graph.reshape([-1, 3, -1, -1])
    preprocess = openvino.preprocess
    steps = preprocess.PrePostProcessor(graph)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().tensor().set_layout(openvino.Layout("NHWC")).set_shape([-1, -1, -1, 3])
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    if preparation.is_bgr:
        steps.input().tensor().set_color_format(preprocess.ColorFormat.RGB)
        steps.input().preprocess().convert_color(preprocess.ColorFormat.BGR)
    if preparation.scale != 1.0 or any(preparation.mean):
        steps.input().preprocess().convert_element_type(openvino.Type.f32)
        steps.input().preprocess().mean(list(preparation.mean)).scale(preparation.scale)
    return steps.build()


def openvino_precision(precision: str, core: Any) -> str:
    """Give the numbers that OpenVINO is to compute in: ``f32``, ``bf16`` or ``f16``."""
    if precision == "full":
        return "f32"
    offered = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    flags = _cpu_flags()
    # OpenVINO offers bfloat16 on CPUs that have to emulate it as well, where it is slower.
    if "BF16" in offered and not flags.isdisjoint({"amx_bf16", "avx512_bf16", "bf16"}):
        return "bf16"
    if "FP16" in offered and not flags.isdisjoint({"asimdhp"}):
        return "f16"
    _log.warning(
        "--precision fast: this CPU has no fast bfloat16 or half precision, so the network works "
        "in float32, as with --precision full."
    )
    return "f32"


def _cpu_flags() -> frozenset[str]:
    """Give what the CPU says it can do; nothing where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


class OnnxRuntimeSession:
    """A network in ONNX Runtime, on the CPU or on an NVIDIA GPU."""

    def __init__(
        self,
        model: bytes,
        preparation: Preparation,
        settings: RuntimeSettings,
        batch_size: int = 1,
    ) -> None:
        onnxruntime = import_onnxruntime(settings.device)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        on_gpu = settings.device == "cuda"
        if on_gpu:
            options.use_deterministic_compute = True
        else:
            if settings.precision == "fast":
                _log.warning("--precision fast: ONNX Runtime works in float32 on the CPU.")
            # More threads divide the sums differently, and the last digits of the scores
            # would depend on how many workers there are. Callers share the cores instead.
            options.intra_op_num_threads = options.inter_op_num_threads = 1
        freed = free_sizes(model)
        try:
            self._session = onnxruntime.InferenceSession(
                freed, options, providers=_providers(settings)
            )
        except Exception as error:  # its exceptions share no base but Exception
            raise session_error(error, on_gpu) from error
        # ONNX Runtime goes on on the CPU, with a line in its log, when the GPU cannot be had.
        used = self._session.get_providers()
        if on_gpu and (not used or used[0] != "CUDAExecutionProvider"):
            raise ConfigError(
                f"--device cuda: ONNX Runtime could not start on the GPU and offers {used} "
                "instead. Check the driver with nvidia-smi and that the CUDA and cuDNN libraries "
                "of onnxruntime-gpu are installed, or give --device cpu."
            )
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise ConfigError(
                f"The weight file takes the inputs {[each.shape for each in inputs]}. Give a "
                "network with one input, (N, 3, H, W)."
            )
        self._input = inputs[0].name
        self._preparation = preparation
        self._staging = Staging(find_cuda_runtime() if on_gpu else None)
        self.output_names = tuple(output.name for output in self._session.get_outputs())
        self.batch_size = batch_size
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                "runtime": "onnxruntime",
                "runtime_version": onnxruntime.__version__,
                "device": settings.device,
                "precision": "tf32" if on_gpu and settings.precision == "fast" else "f32",
            }
        )

    @contextmanager
    def run(self, pictures: Image) -> Iterator[list[NDArray[np.float32]]]:
        """Run the network; see ``Session.run``."""
        missing = self.batch_size - len(pictures)
        if missing > 0:
            # The GPU's library chooses its kernels by the batch size; always the same size
            # keeps a picture's numbers free of how many others came with it.
            filler = np.zeros((missing, *pictures.shape[1:]), np.uint8)
            pictures = np.concatenate([pictures, filler])
        count, height, width, _ = pictures.shape
        prepared = self._staging.array((count, 3, height, width))
        _prepare(pictures, self._preparation, prepared)
        yield self._session.run(None, {self._input: prepared})


def _prepare(pictures: Image, preparation: Preparation, prepared: NDArray[np.float32]) -> None:
    """Do to the pixels what the network wants, into ``(N, 3, H, W)`` float32."""
    channels = pictures[..., ::-1] if preparation.is_bgr else pictures
    prepared[...] = channels.transpose(0, 3, 1, 2)
    if any(preparation.mean):
        prepared -= np.asarray(preparation.mean, np.float32).reshape(3, 1, 1)
    if preparation.scale != 1.0:
        prepared /= np.float32(preparation.scale)


def _providers(settings: RuntimeSettings) -> Sequence[str | tuple[str, dict[str, str]]]:
    if settings.device != "cuda":
        return ["CPUExecutionProvider"]
    # The exhaustive search times kernels and takes the fastest, so two runs could differ.
    use_tf32 = "1" if settings.precision == "fast" else "0"
    chosen = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": use_tf32}
    return [("CUDAExecutionProvider", chosen)]


def session_error(error: Exception, on_gpu: bool) -> ConfigError:
    """Say why ONNX Runtime did not take a weight file."""
    where = " on the GPU (--device cuda)" if on_gpu else ""
    return ConfigError(
        f"ONNX Runtime cannot run the weight file{where}: {reason(error)} "
        "Give an intact ONNX model that bears any picture size"
        + (", check the driver with nvidia-smi, or give --device cpu." if on_gpu else ".")
    )


def reason(error: Exception) -> str:
    """Give the last line that says something: these libraries put the reason there."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") + "." if lines else type(error).__name__ + "."
