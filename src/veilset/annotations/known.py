# SPDX-License-Identifier: Apache-2.0
"""What is known of images, from an annotation set (by name) or a redaction layer (by content)."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from veilset.annotations.layer import Layer
from veilset.annotations.store import AnnotationSet
from veilset.types import Annotations, ImageRecord

Known: TypeAlias = AnnotationSet | Layer


def open_known(place: Path) -> Known:
    """Open a redaction layer, which is a file, or an annotation set, which is a folder.

    Raises:
        AnnotationError: If it is neither, or cannot be used.
    """
    return Layer(place) if place.is_file() else AnnotationSet(place)


def find_known(known: Known, record: ImageRecord, digest: str) -> Annotations:
    """Give what is known about an image.

    Args:
        known: The set or the layer.
        record: The image.
        digest: SHA-256 of its file, lower-case hex.
    """
    return known.find(record, digest) if isinstance(known, Layer) else known.find(record)


def known_digest(known: Known) -> str:
    """Give the digest of all that is known, lower-case hex."""
    return known.sha256 if isinstance(known, Layer) else str(known.manifest["outputs_sha256"])
