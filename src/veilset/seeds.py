# SPDX-License-Identifier: Apache-2.0
"""Seeds: every random choice has one of its own, made from the run's and a few words."""

from __future__ import annotations

import hashlib


def derive(seed: int, *words: str | int) -> int:
    """Make a seed for one purpose from the seed of a run.

    Args:
        seed: Seed of the run, or of whatever it belongs to.
        words: What it is for, as ``"picture", epoch, position``; no word holds a zero byte.

    Returns:
        A whole number of 63 bits, which every generator of PyTorch and NumPy takes: the first
        of the SHA-256 of seed and words, joined by zero bytes.

    Example:
        >>> derive(1, "order", 2) == derive(1, "order", 2) != derive(1, "order", 3)
        True
        >>> derive(1, "order", 2) < 2**63
        True
    """
    text = "\0".join(str(word) for word in (seed, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
