# SPDX-License-Identifier: Apache-2.0
"""What can be asked, and what is one photograph twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from veilset.attack.people.pictures import same_photograph
from veilset.attack.people.questions import CLEAR, Plan, chosen_settings
from veilset.errors import ConfigError

SETTINGS = (CLEAR, "blur", "veil")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"settings": ("veil",)}, "The settings lack 'clear'"),
        ({"settings": (CLEAR, "veil", "veil")}, "have one twice"),
        ({"settings": (CLEAR, "")}, "without a name"),
        ({"settings": SETTINGS, "per_setting": 0}, "ask nothing"),
        ({"settings": SETTINGS, "n_packs": 0}, "ask nothing"),
        ({"settings": SETTINGS, "n_shown": 10}, "10 candidates cannot be shown"),
        ({"settings": SETTINGS, "n_shown": 1}, "1 candidates cannot be shown"),
        ({"settings": SETTINGS, "seed": -1}, "The seed -1 cannot be used"),
        ({"settings": SETTINGS, "seed": 2**63}, "cannot be used. Give a whole number from 0 to"),
    ],
)
def test_plans_that_cannot_be_asked(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Plan(**arguments)  # type: ignore[arg-type]  # arguments of a table of cases


def test_unknown_setting_is_refused() -> None:
    assert chosen_settings(SETTINGS, ()) == SETTINGS
    with pytest.raises(ConfigError, match=r"No setting is named 'vail'\. Known: clear, blur, veil"):
        chosen_settings(SETTINGS, ["vail"])


def test_copies_are_told_from_other_photographs() -> None:
    rng = np.random.default_rng(5)
    # Smooth pictures, as photographs are.
    one, other = (np.kron(rng.integers(0, 255, (6, 6, 3)), np.ones((20, 20, 1))) for _ in "ab")
    pictures = {
        "one": one,
        "brighter": one * 0.6 + 90,
        "smaller": one[::2, ::2],
        "noisy": np.clip(one + rng.normal(0, 12, one.shape), 0, 255),
        "other": other,
        "gray": np.full((9, 9, 3), 128),
    }
    asked: Counter[str] = Counter()

    def picture(setting: str, name: str) -> np.ndarray:
        assert setting == CLEAR
        asked[name] += 1
        return pictures[name].astype(np.uint8)

    is_same = same_photograph(picture)
    same = {name for name in pictures if is_same("one", name)}
    assert same == {"one", "brighter", "smaller", "noisy"}
    assert not is_same("gray", "gray")
    assert set(asked.values()) == {1}
