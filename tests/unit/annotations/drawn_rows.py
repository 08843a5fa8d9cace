# SPDX-License-Identifier: Apache-2.0
"""Rows as hypothesis draws them, as much of them as a format can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypothesis import strategies as st

from veilset.types import Annotations, Origin, Region, Status

Values = Mapping[str, str | int | float | bool]
Regions = Callable[[int, int], st.SearchStrategy[Region]]

KINDS = ("face", "nsfw", 'a "b" <c> é')


def boxes(
    width: int, height: int, *, whole: bool = False
) -> st.SearchStrategy[tuple[float, float, float, float]]:
    """Boxes inside an image; ``whole`` ones have whole sides of at least a pixel."""

    def two(limit: int) -> st.SearchStrategy[list[float]]:
        if whole:
            both = st.lists(st.integers(0, limit), min_size=2, max_size=2, unique=True)
            return both.map(lambda ab: [float(each) for each in sorted(ab)])
        fraction = st.floats(0, 0.999)
        return st.lists(fraction, min_size=2, max_size=2).map(
            lambda ab: [each * limit for each in sorted(ab)]
        )

    return st.tuples(two(width), two(height)).map(
        lambda xy: (xy[0][0], xy[1][0], xy[0][1], xy[1][1])
    )


@st.composite
def rows(
    draw: st.DrawFn, regions: Regions, *, status: Status | None = Status.LOOKED
) -> list[Annotations]:
    """Images of awkward names; with a status of None, some that nobody looked at."""
    found = []
    for place in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(["{}.jpg", "f {}/ü & <\"'>.jpg", "{}/a.b/c.png"]))
        name = name.format(place)
        here = status or draw(st.sampled_from(list(Status)))
        if here is not Status.LOOKED:
            found.append(Annotations(name, here))
            continue
        width, height = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
        several = draw(st.lists(regions(width, height), max_size=3))
        found.append(Annotations(name, Status.LOOKED, tuple(several), width, height))
    return found


def faces(width: int, height: int) -> st.SearchStrategy[Region]:
    """What ilsvrc holds: boxes."""
    return st.builds(Region, boxes(width, height), origin=st.just(Origin.IMPORTED))


def wider_faces(width: int, height: int) -> st.SearchStrategy[Region]:
    """What wider holds: whole boxes and six attributes."""
    low, high = st.integers(0, 1), st.integers(0, 2)
    six = {"blur": high, "expression": low, "illumination": low, "invalid": low}
    return st.builds(
        Region,
        boxes(width, height, whole=True),
        origin=st.just(Origin.IMPORTED),
        attributes=st.fixed_dictionaries(six | {"occlusion": high, "pose": low}),
    )


def voc_objects(width: int, height: int) -> st.SearchStrategy[Region]:
    """What voc holds: whole boxes, a kind, flags and a pose."""
    flags = {name: st.just(True) for name in ("truncated", "occluded", "difficult")}
    return st.builds(
        Region,
        boxes(width, height, whole=True),
        kind=st.sampled_from(KINDS),
        origin=st.just(Origin.IMPORTED),
        attributes=st.fixed_dictionaries({}, optional=flags | {"pose": st.just("Left & up")}),
    )


def yolo_objects(width: int, height: int) -> st.SearchStrategy[Region]:
    """What yolo holds: boxes and a kind."""
    return st.builds(
        Region,
        boxes(width, height),
        kind=st.sampled_from([*KINDS, "no", "7", "null", "- x: y #"]),
        origin=st.just(Origin.IMPORTED),
    )


def any_regions(width: int, height: int) -> st.SearchStrategy[Region]:
    """What coco holds: everything."""
    numbers = st.floats(-1e6, 1e6)
    values = st.one_of(st.text(max_size=5), st.integers(-9, 9), st.booleans(), numbers)
    attributes = st.dictionaries(st.text(max_size=4), values, max_size=3)
    special = st.fixed_dictionaries(
        {}, optional={"iscrowd": st.just(True), "segmentation": st.just("[[1,2,3.5,4,5,6]]")}
    )
    return st.builds(
        Region,
        boxes(width, height),
        kind=st.sampled_from(KINDS),
        score=st.none() | st.floats(0, 1),
        origin=st.sampled_from(list(Origin)),
        landmarks_xy=st.lists(st.tuples(numbers, numbers), max_size=5).map(tuple),
        attributes=st.tuples(attributes, special).map(lambda both: both[0] | both[1]),
    )
