# SPDX-License-Identifier: Apache-2.0
"""Every announced obfuscator, built; the one that needs a model with a tiny one."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veilset.networks.face_generator import CARD_KEY, FORMAT
from veilset.networks.onnx_file import OnnxGraph
from veilset.plugins import list_plugins, make_obfuscator
from veilset.protocols import Obfuscator

NAMES = [info.name for info in list_plugins("obfuscator")]
SIDE_PX, CONTEXT = 32, 1.75


def made(name: str) -> Obfuscator:
    """Build an obfuscator with its defaults."""
    return make_obfuscator(name, {"model": str(generator_file())} if name == "synthesize" else {})


@cache
def generator_file() -> Path:
    """Write the tiny generator for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="veilset-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "generator.onnx"
    path.write_bytes(tiny_generator())
    return path


def tiny_generator(
    card: Mapping[str, object] | None = None, tint: tuple[float, float, float] = (0, 0, 0)
) -> bytes:
    """Give a generator that is no good, and whose output depends on all that it is given.

    Args:
        card: Facts that its card holds besides, or in place of the true ones.
        tint: Added to what it draws, which is cut to 0 and 1 afterwards.
    """
    graph = OnnxGraph()
    axis = graph.weight(np.array([2], np.int64))
    cuts = [graph.weight(np.array([at], np.int64)) for at in (0, SIDE_PX, 2 * SIDE_PX)]
    above = graph.node("Slice", "x", cuts[0], cuts[1], axis)
    below = graph.node("Slice", "x", cuts[1], cuts[2], axis)
    rng = np.random.default_rng(1)
    seen = _convolution(graph, above, rng.uniform(0, 2 / 225, (3, 3, 5, 5)))
    shape = _convolution(graph, below, rng.uniform(-0.1, 0.1, (3, 3, 3, 3)) / 9)
    mean = graph.node("GlobalAveragePool", "x")
    drawn = graph.node("Add", graph.node("Add", seen, shape), mean)
    scaled = graph.node("Mul", drawn, graph.weight(np.array([0.5 / 255], np.float32)))
    added = graph.weight(np.array(tint, np.float32).reshape(1, 3, 1, 1))
    tinted = graph.node("Add", scaled, added)
    facts = {"format": FORMAT, "side_px": SIDE_PX, "context": CONTEXT, "data_licence": "none"}
    given, result = ("N", 3, 2 * SIDE_PX, SIDE_PX), ("N", 3, SIDE_PX, SIDE_PX)
    return graph.file(
        "x", given, tinted, result, metadata={CARD_KEY: json.dumps(facts | dict(card or {}))}
    )


def _convolution(graph: OnnxGraph, given: str, weights: NDArray[np.float64]) -> str:
    pad = weights.shape[2] // 2
    return graph.node("Conv", given, graph.weight(weights.astype(np.float32)), pads=(pad,) * 4)
