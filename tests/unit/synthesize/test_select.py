# SPDX-License-Identifier: Apache-2.0
"""Which attributes the new face has: inverted and drawn, and the gender kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from veilset.errors import ConfigError
from veilset.synthesize.celeba import CELEBA_ATTRIBUTES, read_attributes
from veilset.synthesize.select import (
    FIXED_FOUR,
    GENDER_LINKED,
    drawn_at_random,
    editable_attributes,
    inverted,
    named,
)


def faces(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 40)) < 0.3


def test_gender_and_what_shows_it_stay_unless_asked() -> None:
    free = editable_attributes(CELEBA_ATTRIBUTES)
    kept = {name for name, is_free in zip(CELEBA_ATTRIBUTES, free, strict=True) if not is_free}
    assert kept == {"Male", *GENDER_LINKED}
    assert editable_attributes(CELEBA_ATTRIBUTES, keep_gender=False).all()
    assert not kept & set(FIXED_FOUR)


def test_the_four_are_inverted_and_nothing_else() -> None:
    present = faces()
    changed = inverted(present, named(CELEBA_ATTRIBUTES)) != present
    places = [CELEBA_ATTRIBUTES.index(name) for name in FIXED_FOUR]
    assert changed[:, places].all()
    assert changed.sum() == 4 * len(present)


def test_inverting_all_that_is_editable_twice_gives_the_same_again() -> None:
    present, free = faces(), editable_attributes(CELEBA_ATTRIBUTES)
    once = inverted(present, free)
    assert (once != present)[:, free].all()
    np.testing.assert_array_equal(once[:, ~free], present[:, ~free])
    np.testing.assert_array_equal(inverted(once, free), present)


def test_draws_keep_what_is_not_editable_and_follow_the_shares() -> None:
    present, free = faces(4000), editable_attributes(CELEBA_ATTRIBUTES)
    shares = np.linspace(0, 1, 40)
    drawn = drawn_at_random(present, free, seed=3, shares=shares)
    np.testing.assert_array_equal(drawn[:, ~free], present[:, ~free])
    # Five standard deviations of a share of 4,000 draws.
    assert (np.abs(drawn.mean(axis=0) - shares)[free] < 0.04).all()
    fair = drawn_at_random(present, free, seed=3)
    assert (np.abs(fair.mean(axis=0) - 0.5)[free] < 0.04).all()
    np.testing.assert_array_equal(fair, drawn_at_random(present, free, seed=3))
    assert (fair != drawn_at_random(present, free, seed=4)).any()


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ConfigError, match="'Beautiful'"):
        named(CELEBA_ATTRIBUTES, ["Beautiful"])
    with pytest.raises(ConfigError, match="do not go together"):
        inverted(faces(), [True])
    with pytest.raises(ConfigError, match="Shares"):
        drawn_at_random(faces(), np.ones(40, bool), seed=0, shares=np.full(40, 1.5))


@pytest.mark.real
def test_what_is_called_gender_linked_is(real_data: Path) -> None:
    table = read_attributes(real_data / "celeba_faces" / "list_attr_celeba.txt")
    male = table.present[:, CELEBA_ATTRIBUTES.index("Male")]
    linked = set()
    for k, name in enumerate(table.names):
        share = [float(table.present[male == is_male, k].mean()) for is_male in (False, True)]
        if min(*share, 1 - share[0], 1 - share[1]) < 1 / 200 and name != "Male":
            linked.add(name)
    adorned = {"Heavy_Makeup", "Wearing_Earrings", "Wearing_Lipstick", "Wearing_Necklace"}
    assert linked | adorned == set(GENDER_LINKED)
    for name in adorned:
        column = table.present[:, table.names.index(name)]
        assert np.corrcoef(column, male)[0, 1] < -0.25
