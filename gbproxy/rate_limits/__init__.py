"""Limits of an API key or address: requests per window, tokens per day, concurrent streams, and the
least time between two requests for one model.
"""

from __future__ import annotations

import time

from gbproxy.rate_limits.store import LimitStore


def open_store(redis_url: str | None) -> LimitStore:
    """The store in Redis, or without a URL in this process' memory, for a single worker. Neither
    connects nor loads a library before its first use.
    """
    if redis_url is None:
        from gbproxy.rate_limits.memory_store import MemoryLimitStore

        return MemoryLimitStore(time.monotonic)
    from gbproxy.rate_limits.redis_store import RedisLimitStore

    return RedisLimitStore(redis_url)
