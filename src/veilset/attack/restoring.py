# SPDX-License-Identifier: Apache-2.0
"""Which methods an attacker can undo with arithmetic alone, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from veilset.attack.deconvolution import Deconvolution
from veilset.attack.untwist import Untwist
from veilset.errors import ConfigError
from veilset.protocols import MethodCard, Obfuscator
from veilset.types import Image, Region


class Restoration(Protocol):
    """Guesses the clear pixels from the obfuscated ones, the regions and the method's settings."""

    def restore(self, image: Image, regions: Sequence[Region], obfuscator: Obfuscator) -> Image:
        """Give a copy of the picture with its regions restored. Nothing here is random.

        Args:
            image: ``(H, W, 3)`` uint8, what ``obfuscator.obfuscate`` gave; may have been
                compressed since.
            regions: The regions that it was given.
            obfuscator: The method, with the settings it had. Its ``obfuscate`` is not called.

        Returns:
            ``(H, W, 3)`` uint8. Pixels outside the method's footprints are those of ``image``.
        """


_VERSIONS = {"swirl": 1, "blur": 1, "blur-paper": 1, "blur-released": 1}
"""The formulas are written down here once more: they hold for these versions."""


def restoration_for(card: MethodCard) -> Restoration | None:
    """Give the restoration that fits a method.

    Args:
        card: Of the method.

    Returns:
        None if the method leaves nothing that a formula could bring back: a learned restorer
        is then the only one.

    Raises:
        ConfigError: If the method is a newer version than the attack knows. A restoration
            by another formula would fail, and its failure would look like protection.

    Example:
        >>> from veilset.plugins import make_obfuscator
        >>> restoration_for(make_obfuscator("swirl", {}).card)
        Untwist(n_steps=40)
        >>> restoration_for(make_obfuscator("veil", {}).card) is None
        True
    """
    if card.name not in _VERSIONS:
        return None
    if card.version != _VERSIONS[card.name]:
        raise ConfigError(
            f"The method {card.name!r} has version {card.version}, and the attack undoes version "
            f"{_VERSIONS[card.name]}. Update the formula in veilset.attack, and the version."
        )
    return Untwist() if card.name == "swirl" else Deconvolution()
