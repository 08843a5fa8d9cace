# SPDX-License-Identifier: Apache-2.0
"""The figure of an attack: whole, inside its frame, and legible with any settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilset.attack.config import STANDARD
from veilset.pages.attack_figures import FrontierPoint, draw_frontier
from veilset.pages.drawings import standalone
from veilset.pages.figures import BOTTOM, LEFT, RIGHT, TOP, WIDTH

SVG = "{http://www.w3.org/2000/svg}"


def point(
    label: str, similarity: float, named: float, *, is_frontier: bool = True
) -> FrontierPoint:
    return FrontierPoint(
        label, similarity, named, max(0, named - 0.05), min(1, named + 0.05), is_frontier
    )


def drawn(points: Sequence[FrontierPoint], levels: Mapping[str, float]) -> ET.Element:
    root = ET.fromstring(standalone(draw_frontier(points, levels)))
    assert root.tag == f"{SVG}svg"
    x, y, width, height = map(float, root.get("viewBox", "").split())
    # The file has a margin around what a page shows.
    width, height = width + 2 * x, height + 2 * y
    assert (x, y, width) == (-8, -8, WIDTH)
    for each in root.iter():
        for name, most in (("x", width), ("x1", width), ("cx", width), ("y", height),
                           ("y1", height), ("cy", height)):  # fmt: skip
            if each.get(name) is not None and each.tag != f"{SVG}rect":
                assert -0.01 <= float(each.get(name, "")) <= most + 0.01, (each.tag, name)
    for dot in root.iter(f"{SVG}circle"):
        assert LEFT - 0.01 <= float(dot.get("cx", "")) <= WIDTH - RIGHT + 0.01
        assert TOP - 0.01 <= float(dot.get("cy", "")) <= 300 - BOTTOM + 0.01
    return root


def texts(root: ET.Element, kind: str) -> list[ET.Element]:
    return [each for each in root.iter(f"{SVG}text") if each.get("class") == kind]


SHARES = st.floats(0, 1)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(SHARES, SHARES, st.booleans()), min_size=1, max_size=20),
    st.dictionaries(st.sampled_from(["filled faces", "clear"]), SHARES),
)
def test_everything_is_inside(
    values: list[tuple[float, float, bool]], levels: dict[str, float]
) -> None:
    points = [point(f"m{at}", *two, is_frontier=on) for at, (*two, on) in enumerate(values)]
    root = drawn(points, levels)
    told = [each.text for each in root.iter(f"{SVG}title")]
    for each in points:
        assert any(f"{each.label}: named" in (text or "") for text in told)
    names = [each.text for each in texts(root, "row-label")]
    frontier = sorted((p for p in points if p.is_frontier), key=lambda p: p.similarity)
    assert names == [each.label for each in frontier]
    assert [each.text for each in texts(root, "mark-label")[: len(names)]] == [
        str(at + 1) for at in range(len(names))
    ]


def test_every_standard_setting_has_its_number_and_none_covers_another() -> None:
    points = [point(name, 0.8 + 0.01 * at, 0.02 + 0.05 * at) for at, name in enumerate(STANDARD)]
    root = drawn(points, {"filled faces": 0.14})
    n = len(points)
    numbers = texts(root, "mark-label")[:n]
    places = [(float(each.get("x", "")), float(each.get("y", ""))) for each in numbers]
    for (x, y), (other_x, other_y) in combinations(places, 2):
        assert abs(x - other_x) >= 7.5 or abs(y - other_y) >= 10
    key = texts(root, "row-label")
    assert [each.text for each in key] == list(STANDARD)
    assert len({(each.get("x"), each.get("y")) for each in key}) == n


@pytest.mark.parametrize("similarity", [0.0, 0.97, 1.0])
def test_one_setting_alone(similarity: float) -> None:
    root = drawn([point("veil", similarity, 0.3)], {})
    assert len(list(root.iter(f"{SVG}circle"))) == 1
    assert not list(root.iter(f"{SVG}polyline"))


def test_settings_that_leave_equally_much() -> None:
    points = [point(f"m{at}", 1.0, at / 10, is_frontier=at == 0) for at in range(6)]
    root = drawn(points, {"filled faces": 0.0})
    assert {dot.get("cx") for dot in root.iter(f"{SVG}circle")} == {f"{WIDTH - RIGHT}"}
    assert [each.text for each in texts(root, "row-label")] == ["m0"]


def test_long_names_are_cut_and_told_whole() -> None:
    name = "a" * 80
    root = drawn([point(name, 0.9, 0.5), point("b & <c>", 0.95, 0.6)], {})
    cut, short = (each.text or "" for each in texts(root, "row-label"))
    assert cut.endswith("…")
    assert len(cut) == 52
    assert short == "b & <c>"
    assert any((each.text or "").startswith(name) for each in root.iter(f"{SVG}title"))
