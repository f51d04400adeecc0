"""The gateway's own configuration, and a socket by which tests have it forget what it has learnt of its accounts."""

import os

exec(open("gunicorn.conf.py").read())  # noqa: SIM115  gunicorn reads its configuration in this way too

import gevent  # noqa: E402
from gevent import socket  # noqa: E402

_begin = post_worker_init  # noqa: F821


def post_worker_init(worker):
    _begin(worker)
    engine = parts_of(worker.app).engine  # noqa: F821
    gevent.spawn(_serve, engine.pool, engine.looks)


def _serve(pool, looks):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.environ["FORGET_SOCKET"])
        listener.listen()
        while True:
            client, _ = listener.accept()
            with client:
                for account in pool.accounts():
                    pool.clear_cooldown(account.id)
                    pool.accepted(account)
                looks._looks.clear()
                client.sendall(b"forgotten")
