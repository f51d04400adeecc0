"""Where all workers count together: in this process' memory when it is the only one, else in
Redis.
"""

from __future__ import annotations

import time

from gbproxy.rate_limits.store import LimitStore


def counters(redis_url: str | None) -> LimitStore:
    """Those of Redis, or of memory without one. Nothing is connected, nor its library loaded,
    before the first use.
    """
    if redis_url is None:
        from gbproxy.rate_limits.memory_store import MemoryCounters

        return MemoryCounters(time.monotonic)
    from gbproxy.rate_limits.redis_store import RedisCounters

    return RedisCounters(redis_url)
