"""The gateway's own configuration with a patient database, and for each worker a socket by which
tests have it forget what it has learnt of its accounts.
"""

import os

exec(open("tests/support/patient.conf.py").read())  # noqa: SIM115  gunicorn reads its configuration in this way too

import gevent  # noqa: E402
from gevent import socket  # noqa: E402

from gbproxy.domain.models import (  # noqa: E402
    ALL_TOOLS,
    NOTHING_SAID,
    AccountCapabilities,
)

KNOWN = (
    AccountCapabilities(tools_on=frozenset(ALL_TOOLS))
    if "TOOLS_ARE_ON" in os.environ
    else NOTHING_SAID
)

_begin = post_worker_init  # noqa: F821


def post_worker_init(worker):
    _begin(worker)
    gevent.spawn(_serve, app_state(worker.app).services)  # noqa: F821


def _serve(services):
    with socket.socket(socket.AF_UNIX) as listener:
        path = os.environ["FORGET_SOCKET"]
        listener.bind(f"{path}-{os.getpid()}")
        listener.listen()
        os.rename(f"{path}-{os.getpid()}", f"{path}.{os.getpid()}")  # now it may be found
        while True:
            client, _ = listener.accept()
            with client:
                for account in services.pool.accounts():
                    services.pool.clear_cooldown(account.id)
                    services.pool.accepted(account)
                    services.support.forget(account)
                    # Not read again: a test counts the calls of its own requests.
                    services.support.note_capabilities(account, KNOWN)
                services.account_probes.forget()
                client.sendall(b"forgotten")
