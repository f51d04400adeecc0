"""Work that takes so long that all other requests of the worker would wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gevent

from gbproxy.errors import GatewayError

T = TypeVar("T")


def run_in_thread(work: Callable[[], T]) -> T:
    """Run it in a real thread, while this request alone waits. Raises its GatewayErrors."""
    done: T | GatewayError = gevent.get_hub().threadpool.apply(_caught, (work,))
    if isinstance(done, GatewayError):
        raise done
    return done


def _caught(work: Callable[[], T]) -> T | GatewayError:
    # gevent prints what a thread of its pool raises.
    try:
        return work()
    except GatewayError as error:
        return error
