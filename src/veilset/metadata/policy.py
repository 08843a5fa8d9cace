# SPDX-License-Identifier: Apache-2.0
"""What the metadata policies mean, for every container alike.

Both are allow-lists: whatever is not named here or in the table of a container is
removed, so that a block nobody has heard of yet goes too.

``safe`` keeps what a picture needs to look right and what a camera was set to: ICC
profile, orientation, resolution, make, model, lens model, exposure and the like.
``strip`` keeps the ICC profile and the orientation only. Blocks without which the
pixels would decode to other colours (Adobe APP14, tRNS, gAMA ...) stay in both.

Removed by both, although some would like to keep them:

- dates: a capture time to the second links a photograph to its siblings and to logs;
- artist, owner, copyright: in practice the name of a person. Who releases photographs
  under a licence that asks for attribution keeps the names beside the data set;
- software, host computer, document names, all XMP and all IPTC: they hold names,
  paths, histories and previews in too many ways to be cleaned piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from veilset.errors import ConfigError, DecodeError

POLICIES = ("safe", "strip")
"""Names of the metadata policies, the default first."""

PREVIEW = "embedded preview"
GPS = "GPS position"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned file, or a cleaned block of one.

    Attributes:
        data: The bytes after cleaning; empty if nothing of a block may stay.
        removed: Names of what was taken out, in order of appearance, never values.
    """

    data: bytes
    removed: tuple[str, ...] = ()


def cleaned(parts: Iterable[bytes], removed: Iterable[str]) -> Cleaned:
    """Join the parts that stay, and name each removed thing once."""
    return Cleaned(b"".join(parts), tuple(dict.fromkeys(removed)))


def check_policy(policy: str) -> None:
    """Refuse a policy that does not exist.

    Raises:
        ConfigError: If ``policy`` is none of ``POLICIES``.
    """
    if policy not in POLICIES:
        raise ConfigError(f"No metadata policy is named {policy!r}. Known: {', '.join(POLICIES)}.")


def broken(what: str) -> DecodeError:
    """Give the error for a container that contradicts itself."""
    return DecodeError("unreadable", f"{what} Restore the file from its source, or leave it out.")


def cut_short(what: str) -> DecodeError:
    """Give the error for a container that ends too early."""
    return DecodeError("truncated", f"{what} Restore the file from its source, or leave it out.")


def unsupported(what: str) -> DecodeError:
    """Give the error for a container that cannot be cleaned with certainty."""
    return DecodeError(
        "unsupported", f"{what} Convert the image to a plain PNG or JPEG, or leave it out."
    )
