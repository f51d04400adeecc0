"""The counts in Redis, for all workers of all gateways on it.

Every failure is StorageUnavailable, within a second. After one, calls fail at once
(domain/circuit_breaker.py): an outage delays few requests, and is logged once. A Redis that refuses
to count (a replica after a failover, or one out of memory) is unavailable too, until it counts.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from gbproxy.domain.circuit_breaker import CircuitBreaker, CircuitOpen
from gbproxy.domain.principal import Rate
from gbproxy.errors import StorageUnavailable
from gbproxy.rate_limits.store import RateStatus

if TYPE_CHECKING:
    import redis

    from gbproxy.rate_limits.windows import MovingWindows

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0  # after an error, which comes at once, also for the probe
RETRY_AFTER_SILENCE_S = 5.0  # after a timeout, which delays the call that probes

# To connect, and for each reply: the library's defaults, 5 s and ten tries, would delay requests.
_TIMEOUT_S = 0.9
# Reconnects a connection that was closed since its last use; a timeout is not retried.
_TRIES_AGAIN = 1
_PREFIX = "gbproxy"

# By Redis' own clock: those of the workers' machines need not agree. KEYS: the name. ARGV: member,
# lease (ms), limit.
_TIDY = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
"""
_EXTEND = """
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
_ACQUIRE = (
    f"{_TIDY} if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end {_EXTEND}"
)
_RENEW = f"{_TIDY} {_EXTEND}"
# KEYS: a sum of the library `limits`. ARGV: amount, limit, lifetime (s).
_ADD_BELOW = """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[2]) then return 0 end
if redis.call('INCRBY', KEYS[1], ARGV[1]) == tonumber(ARGV[1]) then
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return 1
"""

T = TypeVar("T")


class RedisLimitStore:
    """Safe for use by many threads at once. Connects at its first use, so after a fork."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._breaker = CircuitBreaker(clock, on_close=_log_available)

    def hit(self, name: str, rate: Rate) -> RateStatus:
        return self._run(lambda redis: redis.windows.hit(name, rate))

    def hold(self, name: str, for_s: float) -> float:
        key = _key("reserved", name)

        def hold(redis: _Connected) -> float:
            if redis.client.set(key, 1, nx=True, px=math.ceil(for_s * 1000)):
                return 0.0
            return max(0.001, int(redis.client.pttl(key)) / 1000)

        return self._run(hold)

    def add(self, name: str, amount: int, keep_s: int) -> None:
        self._run(lambda redis: redis.windows.add(name, amount, keep_s))

    def add_below(self, name: str, amount: int, limit: int, keep_s: int) -> bool:
        arguments = [amount, limit, keep_s]
        return self._run(
            lambda redis: bool(redis.add_below(keys=[f"{_PREFIX}:{name}"], args=arguments))
        )

    def read(self, name: str) -> int:
        if self._breaker.refuses_writes:  # a read that succeeds is no sign of recovery
            raise _unavailable()
        return self._run(lambda redis: redis.windows.read(name))

    def acquire(self, name: str, member: str, limit: int, for_s: float) -> bool:
        arguments = [member, math.ceil(for_s * 1000), limit]
        return self._run(
            lambda redis: bool(redis.acquire(keys=[_key("members", name)], args=arguments))
        )

    def renew(self, members: Collection[tuple[str, str]], for_s: float) -> None:
        def renew(redis: _Connected) -> None:
            with redis.client.pipeline(transaction=False) as pipeline:
                for name, member in members:
                    redis.renew(
                        keys=[_key("members", name)],
                        args=[member, math.ceil(for_s * 1000)],
                        client=pipeline,
                    )
                pipeline.execute()

        self._run(renew)

    def release(self, name: str, member: str) -> None:
        self._run(lambda redis: redis.client.zrem(_key("members", name), member))

    def _run(self, action: Callable[[_Connected], T]) -> T:
        try:
            return self._breaker.run(lambda: self._execute(action))
        except CircuitOpen:
            raise _unavailable() from None

    def _execute(self, action: Callable[[_Connected], T]) -> T:
        try:
            return action(self._connected)
        except self._connected.error as error:
            self._failed(error)
            raise _unavailable() from error

    def _failed(self, error: Exception) -> None:
        is_silent = isinstance(error, self._connected.silence)
        refuses_writes = isinstance(error, self._connected.refusal)
        if refuses_writes:  # another server may have taken its place
            self._connected.client.connection_pool.disconnect(inuse_connections=False)
        retry_after_s = RETRY_AFTER_SILENCE_S if is_silent else RETRY_AFTER_S
        if self._breaker.fail(retry_after_s, refuses_writes=refuses_writes):
            # Its message may contain secrets.
            log.error("redis.unavailable", extra={"reason": type(error).__name__})

    @cached_property
    def _connected(self) -> _Connected:
        """Load the libraries; the first command connects."""
        import redis
        from limits.storage import RedisStorage
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        from gbproxy.rate_limits.windows import MovingWindows

        client = redis.Redis.from_url(
            self._url,
            socket_connect_timeout=_TIMEOUT_S,
            socket_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), _TRIES_AGAIN, supported_errors=(redis.ConnectionError,)),
            protocol=2,  # every server speaks it, without a handshake
        )
        storage = RedisStorage(
            self._url, connection_pool=client.connection_pool, key_prefix=_PREFIX
        )
        return _Connected(
            client=client,
            windows=MovingWindows(storage, time.time),
            acquire=client.register_script(_ACQUIRE),
            renew=client.register_script(_RENEW),
            add_below=client.register_script(_ADD_BELOW),
            error=redis.RedisError,
            refusal=redis.ResponseError,
            silence=redis.TimeoutError,
        )


@dataclass(frozen=True, slots=True)
class _Connected:
    client: redis.Redis
    windows: MovingWindows
    acquire: Any
    renew: Any
    add_below: Any
    error: type[Exception]
    refusal: type[Exception]
    silence: type[Exception]


def _key(kind: str, name: str) -> str:
    return f"{_PREFIX}:{kind}:{name}"


def _log_available(away_s: float) -> None:
    log.warning("redis.available", extra={"away_s": round(away_s, 1)})


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable("the gateway's Redis cannot be used at the moment", retry_after=2.0)
