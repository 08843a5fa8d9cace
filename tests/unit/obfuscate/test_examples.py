# SPDX-License-Identifier: Apache-2.0
"""The examples of the docstrings, run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ("mask", "grid", "veil", "blur", "blur_published", "overlay")


@pytest.mark.parametrize("name", [*(f"veilset.obfuscate.{m}" for m in MODULES), "veilset.survival"])
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
