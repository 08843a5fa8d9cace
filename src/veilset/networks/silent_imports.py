# SPDX-License-Identifier: Apache-2.0
"""Import the runtimes so that they report nothing to anybody.

Both report their import to their makers unless they are stopped before it. Import them
through this module only.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from veilset.errors import MissingExtraError

_import_lock = threading.Lock()


def import_openvino() -> ModuleType:
    """Import OpenVINO and keep it silent.

    ``import openvino`` imports its model converter, which imports ``openvino_telemetry``,
    writes an identifier to ``~/intel`` and reports the import to a web service; outside CI, nothing
    but a file in the home folder turns that off. Where the package is missing the
    converter takes a stub instead, so it is made to look missing while it is imported.
    """
    with _import_lock:
        try:
            if "openvino" not in sys.modules:
                with _absent("openvino_telemetry"):
                    import openvino
            else:
                import openvino
        except ImportError as error:
            raise MissingExtraError(
                f"OpenVINO cannot be imported: {error}. Install it with: pip install openvino; or "
                "choose the other runtime: pip install 'veilset[onnxruntime]' and "
                "--runtime onnxruntime"
            ) from error
    return openvino  # type: ignore[no-any-return]  # mypy knows nothing of it


def import_onnxruntime(device: str) -> ModuleType:
    """Import ONNX Runtime and keep it silent.

    From 1.29 on its Linux packages write a device identifier and a queue of events below
    ``~/.cache/Microsoft`` on import, and send them. The variable is read once, then.
    """
    extra = "cuda" if device == "cuda" else "onnxruntime"
    with _import_lock, _environment("ORT_DISABLE_TELEMETRY", "1"):
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError(
                f"ONNX Runtime cannot be imported: {error}. Install it with: "
                f"pip install 'veilset[{extra}]'"
            ) from error
    # Where somebody else imported it before, and on Windows, where the variable is not read.
    onnxruntime.disable_telemetry_events()
    if device == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise MissingExtraError(
            "--device cuda needs ONNX Runtime built for CUDA, and the installed one is not. "
            "Install it with: pip uninstall onnxruntime && pip install 'veilset[cuda]'; or give "
            "--device cpu."
        )
    return onnxruntime  # type: ignore[no-any-return]  # mypy knows nothing of it


@contextmanager
def _absent(module: str) -> Iterator[None]:
    """Make a module look as if it were not installed."""
    before = {name: sys.modules[name] for name in (module,) if name in sys.modules}
    # None stops its import; the stub knows modules only.
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
        sys.modules.update(before)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
