# SPDX-License-Identifier: Apache-2.0
"""A narrow EfficientNet-lite with drawn weights."""

from __future__ import annotations

import numpy as np

from veilset.networks.torch_file import Tensors

SIDE, REPEATS = 22, (1, 2, 1, 1, 2, 1, 1)


def drawn_tensors(n_classes: int = 7) -> Tensors:
    """Draw weights of a narrow network, with both kernels and odd sides on the way."""
    rng = np.random.default_rng(3)
    tensors: Tensors = {}

    def add(layer: str, norm: str, shape: tuple[int, ...]) -> None:
        spread = 1.2 / np.sqrt(np.prod(shape[1:]))
        tensors[f"{layer}.weight"] = rng.normal(0, spread, shape).astype(np.float32)
        for name, low, high in (
            ("weight", 0.8, 1.6), ("bias", -0.2, 0.6), ("running_mean", -0.3, 0.3),
            ("running_var", 0.2, 1.0),
        ):  # fmt: skip
            tensors[f"{norm}.{name}"] = rng.uniform(low, high, shape[0]).astype(np.float32)

    add("_conv_stem", "_bn0", (4, 3, 3, 3))
    widths, kernels, given, number = (3, 4, 6, 6, 5, 7, 8), (3, 3, 5, 3, 5, 5, 3), 4, 0
    for n_blocks, width, kernel in zip(REPEATS, widths, kernels, strict=True):
        for _ in range(n_blocks):
            prefix, wide = f"_blocks.{number}.", given * (2 if number else 1)
            if number:
                add(f"{prefix}_expand_conv", f"{prefix}_bn0", (wide, given, 1, 1))
            add(f"{prefix}_depthwise_conv", f"{prefix}_bn1", (wide, 1, kernel, kernel))
            add(f"{prefix}_project_conv", f"{prefix}_bn2", (width, wide, 1, 1))
            given, number = width, number + 1
    add("_conv_head", "_bn1", (10, given, 1, 1))
    tensors["_fc.weight"] = rng.normal(0, 1, (n_classes, 10)).astype(np.float32)
    tensors["_fc.bias"] = rng.normal(0, 1, n_classes).astype(np.float32)
    return tensors
