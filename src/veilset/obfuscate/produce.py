# SPDX-License-Identifier: Apache-2.0
"""One image: the original file and what is known of it in, the file to publish out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veilset.engine.steps import Steps
from veilset.errors import DecodeError
from veilset.files import sha256_hex
from veilset.images.decode import decode_image, inspect_image
from veilset.images.encode import replace_pixels
from veilset.metadata.clean import clean_metadata
from veilset.protocols import Obfuscator, Substituting
from veilset.types import Annotations, Region, Status


@dataclass(frozen=True, slots=True)
class Treatment:
    """How an image is treated; the part of the configuration that one image needs.

    Attributes:
        obfuscator: The method.
        metadata: The metadata policy.
        quality: Quality of re-encoded lossy WebP and AVIF, 1 to 100.
        seed: Seed for this image.
        max_pixels: Limit before decoding.
    """

    obfuscator: Obfuscator
    metadata: str
    quality: int
    seed: int
    max_pixels: int


def check_known(known: Annotations, digest: str) -> None:
    """Refuse an image that was not searched, or is not the one that was.

    Args:
        known: The annotations of the image.
        digest: SHA-256 of the file as it is now.

    Raises:
        DecodeError: With the reason; the image must not be published.
    """
    if known.status is Status.NOT_LOOKED:
        raise DecodeError(
            "not-looked",
            "The annotation set does not say what is in this image. Run detect on it first.",
        )
    if known.status is Status.COULD_NOT_LOOK:
        reason = known.reason if known.reason in DecodeError.REASONS else "error"
        raise DecodeError(reason, known.message or "The image could not be searched.")
    if known.sha256 and known.sha256 != digest:
        raise DecodeError(
            "changed",
            "The file is not the one that was searched. Run detect again, into a new folder.",
        )


def produce(
    data: bytes, known: Annotations, regions: Sequence[Region], treatment: Treatment, steps: Steps
) -> tuple[bytes, tuple[str, ...]]:
    """Give the bytes to publish for one image.

    Args:
        data: The original file.
        known: Its annotations.
        regions: Those of its regions that are to be hidden.
        treatment: How.
        steps: Times ``decode``, ``obfuscate``, ``encode`` and ``metadata``.

    Returns:
        A file of the same format, and why regions were veiled in place of what the method does,
        for each such region. Without regions the picture data is untouched.

    Raises:
        DecodeError: If the image cannot be processed in full; it must not be published.
    """
    # An annotation set that was imported has no digest, so nothing vouches for the file:
    # it is decoded to see that it is whole, as detection would have done.
    if regions or not known.sha256:
        with steps("decode"):
            # With regions the picture data is written anew, and what stood behind it goes.
            image, info = decode_image(data, max_pixels=treatment.max_pixels, check_end=not regions)
            size_wh = info.size_wh
    else:
        with steps("decode"):
            size_wh = inspect_image(data, max_pixels=treatment.max_pixels).size_wh
    if known.width and (known.width, known.height) != size_wh:
        raise DecodeError(
            "changed",
            f"The image is {size_wh[0]} x {size_wh[1]} pixels, its annotations are for "
            f"{known.width} x {known.height}. Run detect again, into a new folder.",
        )
    substituted: list[str] = []
    if regions:
        with steps("obfuscate"):
            if isinstance(treatment.obfuscator, Substituting):
                substituted = treatment.obfuscator.substituted(regions, size_wh)
            footprint = treatment.obfuscator.footprint(regions, size_wh)
            hidden = treatment.obfuscator.obfuscate(image, regions, seed=treatment.seed)
        with steps("encode"):
            data = replace_pixels(data, hidden, footprint, quality=treatment.quality)
    with steps("metadata"):
        return clean_metadata(data, treatment.metadata), tuple(sorted(filter(None, substituted)))


def image_seed(run_seed: int, digest: str) -> int:
    """Give the seed of an image: the same on every engine, in every order, under every name.

    Args:
        run_seed: Seed of the run.
        digest: SHA-256 of the original file, lower-case hex.

    Example:
        >>> image_seed(0, "ab12") == image_seed(0, "ab12") != image_seed(1, "ab12")
        True
    """
    return int(sha256_hex(f"{run_seed}/{digest}".encode())[:16], 16)
