# SPDX-License-Identifier: Apache-2.0
"""What decides an import and an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from veilset.images.formats import DEFAULT_MAX_PIXELS

IMAGE_URL = "/data/local-files/?d="
"""What Label Studio's local storage puts before the path of each image."""

SHARD_SIZE = 1024


@dataclass(frozen=True, slots=True)
class ImportConfig:
    """Everything that decides what an import gives.

    Attributes:
        format: Name of the format, see ``veilset.annotations.formats.registry``.
        kinds: What labels are called here; others keep their names.
        prefix: Removed from the names of images in the file that begin with it.
        image_key: Where Label Studio's tasks hold the image.
        several: What to do with a task of Label Studio that several people annotated:
            ``refuse``, ``newest`` or ``all``.
        max_pixels: Images with more pixels are refused.
        shard_size: Images in a shard.
    """

    format: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    image_key: str = "image"
    several: str = "refuse"
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = SHARD_SIZE


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """Everything that decides what an export writes.

    Attributes:
        format: Name of the format, see ``veilset.annotations.formats.registry``.
        labels: What kinds are called there; others keep their names.
        kinds: Kinds of regions to write; empty for all.
        prefix: Put before the name of each image.
        image_url: What Label Studio finds before the path of each image.
    """

    format: str
    labels: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    prefix: str = ""
    image_url: str = IMAGE_URL
