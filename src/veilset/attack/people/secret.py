# SPDX-License-Identifier: Apache-2.0
"""The secret of a key: 128 random bits, without which nobody can draw a page's answers anew.

A seed is a small number, so whoever tries some of them until what is drawn is like a page has
all that the seed decides. What is right in a page, and what leaves a trace in it, is therefore
drawn with these bits.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass, field

import numpy as np

from veilset.errors import ConfigError

SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class Secret:
    """Random bits that lie in the key and nowhere else.

    Names and generators are made of HMAC-SHA-256, so one that is seen tells nothing of another.

    Attributes:
        data: 16 bytes; not shown when the secret is printed.

    Raises:
        ConfigError: If they are not 16 bytes.

    Example:
        >>> secret = Secret(bytes(16))
        >>> secret, len(secret.name("picture", 1))
        (Secret(), 16)
        >>> secret.name("picture", 1) == secret.name("picture", 2)
        False
    """

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.data) != SECRET_BYTES:
            raise ConfigError(
                f"A secret has {len(self.data)} bytes. Give {SECRET_BYTES}, or draw one with "
                "Secret.drawn()."
            )

    @classmethod
    def drawn(cls) -> Secret:
        """Draw one from the system's source of random bits."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    def name(self, *purpose: str | int) -> str:
        """Give a name that says nothing: 16 hex digits, the same for the same purpose."""
        return self._digest("name", *purpose).hex()[:16]

    def random(self, *purpose: str | int) -> np.random.Generator:
        """Give a generator for one purpose; none moves when another draws more."""
        return np.random.default_rng(int.from_bytes(self._digest("random", *purpose), "big"))

    def _digest(self, *purpose: str | int) -> bytes:
        return hmac.digest(self.data, json.dumps(purpose).encode(), "sha256")
