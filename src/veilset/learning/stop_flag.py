# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C as a wish: work that goes on for hours ends at a good place, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopFlag:
    """Whether somebody asked this process to end. A second Ctrl-C ends it at once."""

    def __init__(self, *signals: signal.Signals) -> None:
        self._signals = signals
        self.is_set = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let the signals set the flag while a block runs, in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in self._signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.is_set and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.is_set = True
