# SPDX-License-Identifier: Apache-2.0
"""Which regions are hidden, and how: what obfuscation and redaction layer decide alike."""

from __future__ import annotations

from collections.abc import Collection

from veilset.errors import ConfigError
from veilset.metadata.clean import POLICIES
from veilset.types import Region


def check_hiding(metadata: str, min_score: float, quality: int) -> None:
    """Refuse settings that cannot be used.

    Args:
        metadata: Name of the metadata policy.
        min_score: Lowest score of a detector that counts, in [0, 1].
        quality: Quality of re-encoded lossy WebP and AVIF, 1 to 100.

    Raises:
        ConfigError: If the policy is unknown, or a number is out of its range.

    Example:
        >>> check_hiding("safe", 0.5, 90)
    """
    if metadata not in POLICIES:
        raise ConfigError(
            f"There is no metadata policy {metadata!r}. Choose: {', '.join(POLICIES)}."
        )
    if not 0 <= min_score <= 1:
        raise ConfigError(f"min_score is {min_score}. Give a number from 0 to 1.")
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality is {quality}. Give a whole number from 1 to 100.")


def is_hidden(region: Region, kinds: Collection[str], min_score: float) -> bool:
    """Whether a region is to be hidden.

    Args:
        region: The region.
        kinds: Kinds to hide; empty for all.
        min_score: Regions of a detector with a lower score are left alone, in [0, 1].

    Example:
        >>> is_hidden(Region((0, 0, 9, 9), kind="plate"), ("face",), 0.0)
        False
    """
    return region.passes(min_score) and (not kinds or region.kind in kinds)
