# SPDX-License-Identifier: Apache-2.0
"""Seeds: every random choice has one of its own, made from the run's and a few words."""

from __future__ import annotations

import hashlib

from veilset.errors import ConfigError

LIMIT = 2**63
"""Seeds are below it: every generator of PyTorch and NumPy takes such."""


def check_seed(seed: int) -> None:
    """Refuse a seed that a generator does not take.

    Raises:
        ConfigError: If it is not in [0, 2**63).
    """
    if not 0 <= seed < LIMIT:
        raise ConfigError(
            f"The seed {seed} cannot be used. Give a whole number from 0 to {LIMIT - 1}."
        )


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
