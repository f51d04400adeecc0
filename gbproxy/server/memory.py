"""Gives large blocks of memory back to the system as soon as they are free."""

from __future__ import annotations

import ctypes

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
_LARGE_BYTES = 1024 * 1024


def return_large_blocks() -> None:
    """Files and bodies of many megabytes come and go. glibc, once it has seen one go, would keep
    room for others like it among what stays: a worker never got small again. Other libraries have
    no such call, and do not need it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
