# SPDX-License-Identifier: Apache-2.0
"""Which methods have an inverse, and what all restorations promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.obfuscators import NAMES, made
from tests.unit.attack.drawn_photographs import photograph
from veilset.attack.deconvolution import Deconvolution
from veilset.attack.restoring import restoration_for
from veilset.attack.untwist import Untwist
from veilset.errors import ConfigError
from veilset.plugins import make_obfuscator
from veilset.types import Region

EXPECTED = {"swirl": Untwist, "blur": Deconvolution, "blur-paper": Deconvolution,
            "blur-released": Deconvolution}  # fmt: skip
REGIONS = [Region((20, 15, 50, 50)), Region((45, 30, 70, 66))]


def test_every_method_that_a_formula_undoes_has_its_restoration():
    for name in NAMES:
        found = restoration_for(made(name).card)
        assert type(found) is EXPECTED.get(name, type(None)), name
    assert set(EXPECTED) <= set(NAMES)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_newer_method_is_not_attacked_by_the_old_formula(name):
    card = replace(make_obfuscator(name, {}).card, version=2)
    with pytest.raises(ConfigError, match="has version 2, and the attack undoes version 1"):
        restoration_for(card)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_a_restoration_promises(name):
    method = make_obfuscator(name, {})
    restoration = restoration_for(method.card)
    assert restoration is not None
    clear = photograph(80, 90, seed=4)
    hidden = method.obfuscate(clear, REGIONS)
    given = hidden.copy()
    restored = restoration.restore(hidden, REGIONS, method)
    assert (hidden == given).all()
    assert (restored.shape, restored.dtype) == (hidden.shape, hidden.dtype)
    outside = np.ones(hidden.shape[:2], dtype=bool)
    for x0, y0, x1, y1 in method.footprint(REGIONS, (90, 80)):
        outside[y0:y1, x0:x1] = False
    assert (restored[outside] == hidden[outside]).all()
    assert (restored != hidden).any()
    assert (restored == restoration.restore(hidden, REGIONS, method)).all()
