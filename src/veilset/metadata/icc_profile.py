# SPDX-License-Identifier: Apache-2.0
"""Keep an ICC profile, and only a profile.

A profile made of registered tags without a byte between them stays exactly as it is.
Otherwise it is rebuilt from its registered tags: vendors put the serial number of the
photographer's display (``mmod``), measurement protocols (``targ``) and key-value
stores (``meta``) into private ones. No tag that takes part in a colour transform goes.

Layout after ICC.1:2022, sections 7.2 and 7.3. The texts of registered tags
(description, copyright) are not read: they name the profile, not the photograph.
"""

from __future__ import annotations

import struct

from veilset.metadata.policy import Cleaned, cleaned

MAX_BYTES = 8 << 20
"""Largest profile that is kept; press profiles have 0.5 to 3 MB."""

_REGISTERED = frozenset(
    b"A2B0 A2B1 A2B2 A2B3 B2A0 B2A1 B2A2 B2A3 B2D0 B2D1 B2D2 B2D3 D2B0 D2B1 D2B2 D2B3 "
    b"aarg aagg aabg bTRC bXYZ bkpt calt chad chrm cicp ciis clot clro cprt crdi desc dmdd dmnd "
    b"dscm gTRC gXYZ gamt kTRC lumi meas ncl2 ndin pre0 pre1 pre2 pseq psid rTRC rXYZ resp "
    b"rig0 rig2 scrd scrn tech ucrb vcgt view vued wtpt".split()
)


def clean_profile(profile: bytes) -> Cleaned:
    """Give a profile without private tags, gaps and bytes behind its end.

    Returns:
        The profile; empty if it is none, contradicts itself or is over ``MAX_BYTES``:
        decoders ignore such a profile too.

    Example:
        >>> clean_profile(b"no profile at all").data
        b''
    """
    table = _read_tags(profile)
    if table is None:
        return Cleaned(b"", ("damaged ICC profile",))
    tags, size = table
    if all(sig in _REGISTERED for sig, _, _ in tags) and not _has_gaps(profile, tags, size):
        return Cleaned(profile[:size], ("bytes after the ICC profile",) * (len(profile) > size))
    return cleaned([_rebuild(profile, tags)], ["private data in the ICC profile"])


def _read_tags(profile: bytes) -> tuple[list[tuple[bytes, int, int]], int] | None:
    """Give (signature, offset, size) of every tag and the declared size of the profile."""
    if not 132 <= len(profile) <= MAX_BYTES or profile[36:40] != b"acsp":
        return None
    (size,) = struct.unpack_from(">L", profile)
    (n_tags,) = struct.unpack_from(">L", profile, 128)
    if size > len(profile) or n_tags > 200 or 132 + 12 * n_tags > size:
        return None
    tags = list(struct.iter_unpack(">4sLL", profile[132 : 132 + 12 * n_tags]))
    if any(start < 132 or start + length > size for _, start, length in tags):
        return None
    return tags, size


def _has_gaps(profile: bytes, tags: list[tuple[bytes, int, int]], size: int) -> bool:
    """Tell whether bytes other than zero lie where no tag points."""
    end = 132 + 12 * len(tags)
    for start, stop in sorted((start, start + length) for _, start, length in tags):
        if start > end and profile[end:start].strip(b"\0"):
            return True
        end = max(end, stop)
    # Padding of a profile is at most three bytes; more would be a place to put things.
    return bool(profile[end:size].strip(b"\0")) or size - end > 64


def _rebuild(profile: bytes, tags: list[tuple[bytes, int, int]]) -> bytes:
    kept = [tag for tag in tags if tag[0] in _REGISTERED]
    place = 132 + 12 * len(kept)
    places: dict[tuple[int, int], int] = {}
    entries: list[bytes] = []
    values: list[bytes] = []
    for signature, start, length in kept:
        # The three tone curves usually share their bytes; they do so again.
        if (start, length) not in places:
            places[start, length] = place
            values.append(profile[start : start + length] + b"\0" * (-length % 4))
            place += length + -length % 4
        entries.append(struct.pack(">4sLL", signature, places[start, length], length))
    # The profile ID (bytes 84 to 99) is an MD5 of the old bytes; zero means "not computed".
    head = struct.pack(">L", place) + profile[4:84] + b"\0" * 16 + profile[100:128]
    return b"".join([head, struct.pack(">L", len(kept)), *entries, *values])
