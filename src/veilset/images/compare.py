# SPDX-License-Identifier: Apache-2.0
"""Prove that a written file differs from its original inside the footprint only."""

from __future__ import annotations

from typing import Final

import numpy as np

from veilset.boxes import union_mask
from veilset.images.coefficients import read_coefficients
from veilset.images.decode import decode_image, inspect_image
from veilset.images.formats import DEFAULT_MAX_PIXELS, ImageInfo
from veilset.images.jpeg_blocks import touched_blocks
from veilset.images.jpeg_markers import parse_jpeg, quantisation_tables
from veilset.images.orientation import stored_boxes, unorient
from veilset.images.pictures import Native, native_pixels, open_picture
from veilset.types import IntBoxes

LOSSY_TOLERANCE: Final = 10.0
"""Largest mean difference outside, in levels of 255, of a lossy file encoded again.

At quality 90 photographs of a few megapixels were off by 0.9 to 1.7, a noisy picture of
31 x 23 pixels by 6.9. A change of a small part stays below it: this is a check against
another picture, not a proof.
"""


def find_outside_changes(
    original: bytes,
    output: bytes,
    footprint: IntBoxes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> list[str]:
    """List what differs outside the footprint; empty if nothing does.

    JPEG: size, sampling, colour, sequential or progressive, quantisation tables and every
    DCT coefficient of the blocks that the footprint does not touch are compared, exactly.
    PNG, BMP, TIFF and lossless WebP: every stored pixel, alpha and 16 bits included,
    exactly. Lossy WebP and AVIF cannot be compared exactly: the mean difference of the
    pixels outside has to be at most ``LOSSY_TOLERANCE``.

    Args:
        original: The original file.
        output: What was made of it; its metadata may differ, its orientation may not.
        footprint: ``(N, 4)`` whole pixels as seen.
        max_pixels: As for ``decode_image``.

    Returns:
        One sentence for each kind of change.

    Raises:
        DecodeError: If either file cannot be opened.
    """
    before = inspect_image(original, max_pixels=max_pixels)
    after = inspect_image(output, max_pixels=max_pixels)
    facts = ("format", "stored_wh", "orientation", "lossless")
    changes = [
        f"The {fact} changed from {getattr(before, fact)} to {getattr(after, fact)}."
        for fact in facts
        if getattr(before, fact) != getattr(after, fact)
    ]
    if changes:
        return changes
    width, height = before.size_wh
    boxes = np.asarray(footprint, dtype=np.int64).reshape(-1, 4)
    boxes = np.clip(boxes, 0, [width, height, width, height])
    boxes = boxes[(boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])]
    boxes = stored_boxes(boxes, before.size_wh, before.orientation)
    if before.format == "JPEG":
        return _jpeg_changes(original, output, boxes)
    if before.lossless:
        return _exact_changes(original, output, boxes, before, max_pixels)
    return _lossy_changes(original, output, boxes, before, max_pixels)


def _jpeg_changes(original: bytes, output: bytes, boxes: IntBoxes) -> list[str]:
    before, after = parse_jpeg(original), parse_jpeg(output)
    if [(c.ident, c.h, c.v) for c in before.components] != [
        (c.ident, c.h, c.v) for c in after.components
    ]:
        return ["The colour components or their sampling changed."]
    changes = []
    if before.is_progressive != after.is_progressive:
        changes.append("The file changed between sequential and progressive.")
    if before.is_ycc != after.is_ycc:
        changes.append("The colour space changed.")
    tables = zip(quantisation_tables(before), quantisation_tables(after), strict=True)
    if not all(np.array_equal(a, b) for a, b in tables):
        changes.append("A quantisation table changed.")
    planes = zip(
        read_coefficients(before),
        read_coefficients(after),
        touched_blocks(before, boxes),
        strict=True,
    )
    for index, (old, new, touched) in enumerate(planes):
        n_changed = int(((old != new).any(axis=2) & ~touched).sum())
        if n_changed:
            changes.append(f"{n_changed} blocks of component {index} changed outside.")
    return changes


def _as_rgba(native: Native) -> Native:
    """Bring any stored pixels to RGBA, so that a palette and its colours compare equal."""
    if native.ndim == 2:
        native = native[:, :, None]
    channels = native.shape[2]
    opaque = np.full((*native.shape[:2], 1), np.iinfo(native.dtype).max, dtype=native.dtype)
    colours = native[:, :, [0, 0, 0]] if channels <= 2 else native[:, :, :3]
    alpha = native[:, :, -1:] if channels in (2, 4) else opaque
    return np.concatenate([colours, alpha], axis=2)


def _exact_changes(
    original: bytes, output: bytes, boxes: IntBoxes, info: ImageInfo, max_pixels: int
) -> list[str]:
    with open_picture(original, info.format, max_pixels) as (picture, _):
        old = _as_rgba(native_pixels(picture, original))
    with open_picture(output, info.format, max_pixels) as (picture, _):
        new = _as_rgba(native_pixels(picture, output))
    if old.dtype != new.dtype:
        return [f"The samples changed from {old.dtype} to {new.dtype}."]
    differs = (old != new).any(axis=2) & ~union_mask(boxes, info.stored_wh)
    n_changed = int(differs.sum())
    return [f"{n_changed} pixels changed outside."] if n_changed else []


def _lossy_changes(
    original: bytes, output: bytes, boxes: IntBoxes, info: ImageInfo, max_pixels: int
) -> list[str]:
    old = unorient(decode_image(original, max_pixels=max_pixels)[0], info.orientation)
    new = unorient(decode_image(output, max_pixels=max_pixels)[0], info.orientation)
    outside = ~union_mask(boxes, info.stored_wh)
    if not outside.any():
        return []
    mean = float(np.abs(old[outside].astype(np.int16) - new[outside]).mean())
    if mean > LOSSY_TOLERANCE:
        return [f"Pixels outside differ by {mean:.1f} levels on average."]
    return []
