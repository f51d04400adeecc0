"""How gunicorn serves gbproxy; all settings come from the environment (gbproxy/settings).

`gunicorn -c` takes this file, in a checkout by its other name, `gunicorn.conf.py`, and runs it anew
at each reload.
"""

from gevent import monkey

monkey.patch_all()  # before anything imports sockets, TLS or threads; also makes preloading safe

import gevent  # noqa: E402

# which greenlet began which, and where, is kept for debugging
gevent.config.track_greenlet_tree = False

import gc  # noqa: E402

# what is loaded before the fork is never garbage: looking for some in it takes a tenth of the start
gc.disable()

import math  # noqa: E402
import secrets  # noqa: E402
import sys  # noqa: E402
from collections import deque  # noqa: E402
from typing import Any  # noqa: E402

from gbproxy.server import memory, startup  # noqa: E402
from gbproxy.server.arbiter import (  # noqa: E402
    BACKLOG,
    SPARE_CONNECTIONS,
    Log,
    allow_many_files,
    bind_worker_count,
    drain_first,
)
from gbproxy.server.worker import STOP_MARGIN_S, Worker  # noqa: E402

memory.return_large_blocks()  # before the fork: for all workers

settings = startup.load(arguments=sys.argv[1:])

# With it comes prometheus_client, which by then must know where to count.
from gbproxy.app import EXTENSION, AppState  # noqa: E402

bind = (
    f"[{settings.host}]:{settings.port}"
    if ":" in settings.host
    else f"{settings.host}:{settings.port}"
)
workers = settings.web_concurrency
worker_class = Worker
worker_connections = settings.worker_connections + SPARE_CONNECTIONS
backlog = BACKLOG
graceful_timeout = math.ceil(settings.graceful_timeout_s) + STOP_MARGIN_S
timeout = 120  # a worker whose hub stands still for so long is replaced
keepalive = 10  # seconds until an idle connection, or one with half a head, is closed
preload_app = True
logger_class = Log
control_socket_disable = True
forwarded_allow_ips = ""  # no header of a client's changes what the app sees


def on_starting(arbiter: Any) -> None:
    startup.check_workers(settings, arbiter.cfg.workers)
    startup.log_startup(settings)
    allow_many_files()


# else the only one counts limits, in its memory
may_change_workers = settings.redis_url is not None or workers > 1

# Workers of ours that have ended, however: the next one to be forked inherits the list, and clears
# up.
dead: deque[str] = deque(maxlen=64)


def pre_fork(arbiter: Any, worker: Any) -> None:
    worker.id = secrets.token_hex(16)


def post_fork(arbiter: Any, worker: Any) -> None:
    gc.freeze()
    gc.enable()
    # a large body makes many objects that live; looking through them takes seconds
    gc.set_threshold(50_000, 20, 20)


def when_ready(arbiter: Any) -> None:
    gc.enable()
    drain_first(arbiter, settings.drain_delay_s, lambda: app_state(arbiter.app).drain.begin())
    bind_worker_count(arbiter, may_change=may_change_workers)


def on_reload(arbiter: Any) -> None:
    """Make the app anew, in the master: settings may have come from files that have changed."""
    arbiter.app.callable = None
    arbiter.app.wsgi()
    bind_worker_count(arbiter, may_change=may_change_workers)
    gc.enable()


def post_worker_init(worker: Any) -> None:
    state = app_state(worker.app)
    state.services.meter.worker_started()
    if state.telemetry is not None:
        state.telemetry.start()
    state.services.storage.worker_id.assign(worker.id)
    state.services.background.note_dead(dead)
    state.services.background.start()


def child_exit(arbiter: Any, worker: Any) -> None:
    dead.append(worker.id)
    app_state(arbiter.app).services.meter.worker_ended(worker.pid)


def worker_exit(arbiter: Any, worker: Any) -> None:
    if worker.booted:
        app_state(worker.app).close(for_good=False)
    gc.freeze()  # the system takes everything back at once


def on_exit(arbiter: Any) -> None:
    """All workers have ended: with a temporary database, what is left upstream ends too."""
    state = app_state(arbiter.app)
    if state.services.storage.database.temporary:
        state.close(for_good=True)
    gc.freeze()


def app_state(application: Any) -> AppState:
    state: AppState = application.wsgi().extensions[EXTENSION]
    return state
