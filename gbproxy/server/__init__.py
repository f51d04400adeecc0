"""What gunicorn needs of us: its worker, its log, and how it stops. Used by gunicorn.conf.py.

At SIGTERM the master first lets readiness fail for DRAIN_DELAY_S, so that whoever spreads the load
looks elsewhere; then the workers take nothing new and let running answers finish; what is left when
GRACEFUL_TIMEOUT_S is over is ended by us, with an error that says why, before gunicorn would cut
it.
"""

from gbproxy.server.master import (
    BACKLOG,
    SPARE_CONNECTIONS,
    Log,
    allow_many_files,
    bind_worker_count,
    drain_first,
)
from gbproxy.server.worker import STOP_MARGIN_S, Worker

__all__ = [
    "BACKLOG",
    "SPARE_CONNECTIONS",
    "STOP_MARGIN_S",
    "Log",
    "Worker",
    "allow_many_files",
    "bind_worker_count",
    "drain_first",
]
