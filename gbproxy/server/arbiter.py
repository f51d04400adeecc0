"""Hooks of gunicorn's arbiter and limits of the system: backlog, open files, draining before the
stop, the number of workers, the log.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable
from typing import Any

from gunicorn.glogging import Logger

log = logging.getLogger(__name__)

# beyond the answers that are admitted: to refuse more, and to answer health, at once
SPARE_CONNECTIONS = 10_000
BACKLOG = 8192  # connections that wait to be taken in; beyond what the system allows, it takes that

_FILES = 65_536


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log through ours; access lines are written by the app itself."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)


def allow_many_files() -> None:
    """Each answer holds two connections: use what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def drain_first(arbiter: Any, delay_s: float, begin: Callable[[], None]) -> None:
    """At SIGTERM let `begin` make readiness fail, and stop only after `delay_s`."""
    stop = arbiter.handle_term

    def handle_term() -> None:
        begin()
        log.info("server.draining", extra={"delay_s": delay_s})
        time.sleep(delay_s)
        stop()

    arbiter.handle_term = handle_term


def bind_worker_count(arbiter: Any, *, may_change: bool) -> None:
    """Let SIGTTIN and SIGTTOU start or stop a worker, as gunicorn does, or only write a line to the
    log.
    """

    def refuse() -> None:
        reason = (
            "limits are counted in the memory of the only worker: set REDIS_URL, or WEB_CONCURRENCY"
        )
        log.warning("workers.unchanged", extra={"workers": arbiter.num_workers, "reason": reason})

    for handler in ("handle_ttin", "handle_ttou"):
        if may_change:
            vars(arbiter).pop(handler, None)
        else:
            setattr(arbiter, handler, refuse)
