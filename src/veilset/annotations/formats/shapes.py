# SPDX-License-Identifier: Apache-2.0
"""What the shapes of other tools become, and what their names may be.

A region is an upright box. Whatever is drawn in another way becomes the smallest box
around it: what has to be hidden is never cut, and ``drawn_as`` among the attributes says
what it was. Coordinates of CVAT and Label Studio are those of the image as people see it,
after EXIF orientation, as ours are: both show images upright before anybody draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import cos, hypot, isfinite, radians, sin
from typing import NamedTuple

from veilset.errors import AnnotationError
from veilset.types import BoxXyxy, Region

DRAWN_AS = "drawn_as"
"""Attribute that names the shape, where it was no upright box."""

ROUNDING = 0.01
"""Pixels: a box that reaches less than this over its image was rounded, not misplaced."""


def enclosing_box(points_xy: Iterable[tuple[float, float]]) -> BoxXyxy:
    """Give the smallest upright box around some points, at least one.

    Example:
        >>> enclosing_box([(3, 1), (0, 2)])
        (0, 1, 3, 2)
    """
    xs, ys = zip(*points_xy, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def rotated_box(box_xyxy: BoxXyxy, degrees: float, about_xy: tuple[float, float]) -> BoxXyxy:
    """Give the smallest upright box around a box that was turned clockwise.

    Args:
        box_xyxy: The box before it was turned, pixels, y down.
        degrees: By how much it was turned.
        about_xy: The point that stayed where it was.

    Example:
        >>> [round(side) for side in rotated_box((0, 0, 4, 2), 90, (0, 0))]
        [-2, 0, 0, 4]
    """
    x0, y0, x1, y1 = box_xyxy
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return enclosing_box(turned(corner, degrees, about_xy) for corner in corners)


def turned(
    point_xy: tuple[float, float], degrees: float, about_xy: tuple[float, float]
) -> tuple[float, float]:
    """Turn a point clockwise about another one, y down."""
    x, y = point_xy[0] - about_xy[0], point_xy[1] - about_xy[1]
    cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    return about_xy[0] + x * cosine - y * sine, about_xy[1] + x * sine + y * cosine


def ellipse_box(
    centre_xy: tuple[float, float], radii_xy: tuple[float, float], degrees: float = 0.0
) -> BoxXyxy:
    """Give the smallest upright box around an ellipse that was turned about its centre.

    Example:
        >>> ellipse_box((5, 5), (3, 2))
        (2.0, 3.0, 8.0, 7.0)
    """
    cosine, sine = cos(radians(degrees)), sin(radians(degrees))
    half_x = hypot(radii_xy[0] * cosine, radii_xy[1] * sine)
    half_y = hypot(radii_xy[0] * sine, radii_xy[1] * cosine)
    x, y = centre_xy
    return x - half_x, y - half_y, x + half_x, y + half_y


def cut_box(box_xyxy: BoxXyxy, size_wh: tuple[int, int]) -> BoxXyxy | None:
    """Cut a box to the image; None if it shows nothing of it.

    Args:
        box_xyxy: In any place.
        size_wh: Width and height of the image; (0, 0) if nobody knows: nothing is cut then.

    Example:
        >>> cut_box((-2.0, 1.0, 4.0, 9.0), (8, 6)), cut_box((8.0, 0.0, 9.0, 1.0), (8, 6))
        ((0.0, 1.0, 4.0, 6.0), None)
    """
    if 0 in size_wh:
        return box_xyxy
    x0, y0, x1, y1 = box_xyxy
    if (x1 <= 0 and x0 < 0) or (y1 <= 0 and y0 < 0) or x0 >= size_wh[0] or y0 >= size_wh[1]:
        return None
    width, height = map(float, size_wh)
    return max(0.0, x0), max(0.0, y0), min(width, x1), min(height, y1)


class Cut(NamedTuple):
    """Regions that were cut to their image.

    Attributes:
        regions: What is left of them.
        n_clipped: How many reached over the image by more than ``ROUNDING`` pixels.
        n_outside: How many showed nothing of it and were left out.
    """

    regions: tuple[Region, ...]
    n_clipped: int = 0
    n_outside: int = 0


def cut_regions(regions: tuple[Region, ...], size_wh: tuple[int, int]) -> Cut:
    """Cut regions to the image, as ``cut_box``."""
    kept, n_clipped = [], 0
    for region in regions:
        box = cut_box(region.box_xyxy, size_wh)
        if box is None:
            continue
        if box != region.box_xyxy:
            moved = max(abs(a - b) for a, b in zip(box, region.box_xyxy, strict=True))
            n_clipped += moved > ROUNDING
            region = replace(region, box_xyxy=box)
        kept.append(region)
    return Cut(tuple(kept), n_clipped, len(regions) - len(kept))


def finite(value: object, where: str, what: str) -> float:
    """Read a number.

    Raises:
        AnnotationError: If it is none, or not finite.
    """
    try:
        # Whatever stands in a file: what is no number is caught below.
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number) or isinstance(value, bool):
        raise AnnotationError(f"{where}: {what} is {value!r}. Expected a number.")
    return number


def pixels(value: object, where: str, what: str) -> int:
    """Read a width or height: a whole number from 0 on, 0 where nobody knows.

    Raises:
        AnnotationError: If it is none.
    """
    number = finite(value, where, what)
    if number != int(number) or not 0 <= number < 2**31:
        raise AnnotationError(f"{where}: {what} is {value!r}. Expected a whole number of pixels.")
    return int(number)


def checked_name(name: str, where: str) -> str:
    """Give the name of an image as an ``image_id``.

    Raises:
        AnnotationError: If it is empty, absolute, or leads out of the data set.

    Example:
        >>> checked_name("./a//b.jpg", "line 1")
        'a/b.jpg'
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    try:
        name.encode()
        is_text = "\0" not in name
    except UnicodeEncodeError:
        is_text = False
    if not is_text or not parts or name.startswith("/") or ".." in parts:
        raise AnnotationError(
            f"{where}: the image name {name!r} is empty, absolute or leads out of the data set. "
            "Expected a path below the folder of images."
        )
    return "/".join(parts)
