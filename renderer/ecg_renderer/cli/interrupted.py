"""Work that Ctrl-C stopped."""

from __future__ import annotations

import signal


class Interrupted(Exception):
    """The work was stopped by `signal` and has cleaned up after itself."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number
