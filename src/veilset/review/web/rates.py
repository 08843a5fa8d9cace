# SPDX-License-Identifier: Apache-2.0
"""How often somebody may ask; the memory for it is bounded."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

_MAX_KEYS = 20_000


class Rate:
    """A limit for each key: ``burst`` at once, then ``per_second`` in the long run.

    It is kept in the memory of one process and used from the event loop only. Keys that
    have not asked for longest are forgotten first, so that an attacker with many addresses
    fills no memory.

    Example:
        >>> rate = Rate(per_second=1, burst=2, clock=lambda: 0.0)
        >>> [rate.take("ada") for _ in range(3)]
        [0.0, 0.0, 1.0]
    """

    def __init__(
        self,
        per_second: float,
        burst: float,
        *,
        max_keys: int = _MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._max_keys = max_keys
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, key: str) -> float:
        """Count one request; give 0 if it is allowed, else the seconds to wait."""
        now = self._clock()
        left = self._now_left(key, now)
        if left < 1:
            return (1 - left) / self._per_second
        self._keep(key, left - 1, now)
        return 0.0

    def give_back(self, key: str) -> None:
        """Uncount one request."""
        now = self._clock()
        self._keep(key, min(self._burst, self._now_left(key, now) + 1), now)

    def _now_left(self, key: str, now: float) -> float:
        left, then = self._left.get(key, (self._burst, now))
        return min(self._burst, left + (now - then) * self._per_second)

    def _keep(self, key: str, left: float, now: float) -> None:
        self._left[key] = (left, now)
        self._left.move_to_end(key)
        if len(self._left) > self._max_keys:
            self._left.popitem(last=False)


def address_key(address: str) -> str:
    """Give what counts as one address: whoever has an IPv6 address has a whole /64 of them.

    Example:
        >>> address_key("2001:db8::1") == address_key("2001:db8::2")
        True
        >>> address_key("192.0.2.7")
        '192.0.2.7'
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
