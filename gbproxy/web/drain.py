"""Whether the server is about to stop: one byte that the master writes and all its workers read."""

from __future__ import annotations

import mmap


class Drain:
    """Made before the workers are forked, so that they share it."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def begin(self) -> None:
        self._shared[0] = 1

    def has_begun(self) -> bool:
        return self._shared[0] == 1
