"""Ctrl-C that waits for a good moment."""

import signal
import types
from typing import Any, Self


class Interrupt:
    """Within the context, the first SIGINT or SIGTERM is noted instead of raised.

    A second one has its usual effect, for those who can't wait.
    """

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._former[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread, where signals don't arrive
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: types.FrameType | None) -> None:
        self.requested = True
        signal.signal(number, self._former[number])
