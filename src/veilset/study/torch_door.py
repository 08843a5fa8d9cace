# SPDX-License-Identifier: Apache-2.0
"""The one place that says that the extra of studies is not installed."""

from __future__ import annotations

from importlib import import_module

from veilset.errors import MissingExtraError

# What the modules that train import at their top.
_NEEDED = {
    "torch": "PyTorch",
    "torchvision": "torchvision",
    "timm": "timm",
    "torchmetrics": "TorchMetrics",
    "lightning_fabric": "Lightning Fabric",
    "safetensors": "safetensors",
}


def require_torch() -> None:
    """Import what training needs, before any module that needs it is imported.

    Raises:
        MissingExtraError: If a library is not installed.
    """
    for module, name in _NEEDED.items():
        try:
            import_module(module)
        except ImportError as error:
            raise MissingExtraError(
                f"{name} is not installed. Install it with: pip install 'veilset[study]'"
            ) from error
