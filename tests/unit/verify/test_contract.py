# SPDX-License-Identifier: Apache-2.0
"""What verification takes for hidden is what obfuscation hides, though it is written twice."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from veilset.annotations.hiding import is_hidden
from veilset.obfuscate.config import ObfuscateConfig
from veilset.types import Origin, Region
from veilset.verify.contract import Contract

KINDS = ("face", "plate", "text")
share = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0.0, 1.0)
regions = st.lists(
    st.builds(
        Region,
        st.just((0.0, 0.0, 9.0, 9.0)),
        kind=st.sampled_from([*KINDS, "", "faces"]),
        score=st.none() | share,
        origin=st.sampled_from(Origin),
    ),
    max_size=8,
)


def contract(kinds: tuple[str, ...], min_score: float) -> Contract:
    return Contract({}, "safe", kinds, min_score, 0, 0, "", "", None)


@given(found=regions, kinds=st.sets(st.sampled_from(KINDS)), min_score=share)
@example(found=[Region((0, 0, 9, 9), score=0.5)], kinds=set(), min_score=0.5)
@example(found=[Region((0, 0, 9, 9), "plate", 0.5)], kinds={"face"}, min_score=0.0)
@example(
    found=[Region((0, 0, 9, 9), score=0.1, origin=Origin.REVIEWED)], kinds=set(), min_score=0.5
)
def test_what_had_to_be_hidden_is_what_is_hidden(
    found: list[Region], kinds: set[str], min_score: float
) -> None:
    wanted = tuple(sorted(kinds))
    config = ObfuscateConfig(kinds=wanted, min_score=min_score)
    hidden = tuple(each for each in found if config.applies_to(each))
    assert hidden == tuple(each for each in found if is_hidden(each, wanted, min_score))
    assert contract(wanted, min_score).to_hide(found) == hidden
