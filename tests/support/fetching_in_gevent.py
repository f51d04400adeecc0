"""Fetches files in a process that gevent has patched, and prints what came of it as JSON."""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import json
import sys
import time

import gevent

from gbproxy.errors import GatewayError
from gbproxy.outbound.fetch import FetchLimits, FileFetcher
from tests.support.file_server import FileServer, serving

LIMITS = FetchLimits(1000, timeout_s=20)


def files(address: str = "127.0.0.1") -> FileFetcher:
    return FileFetcher(resolve=lambda _: [address], is_allowed=lambda found: found.is_loopback)


def refused(fetcher: FileFetcher, port: int, limits: FetchLimits = LIMITS) -> str:
    try:
        fetcher.fetch(f"http://a.example.com:{port}/", limits)
    except GatewayError as error:
        return error.message
    return ""


def contents(server: FileServer) -> list[str]:
    url = f"http://a.example.com:{server.port}/"
    greenlets = [gevent.spawn(files().fetch, url, LIMITS) for _ in range(20)]
    return [greenlet.get().content.decode() for greenlet in greenlets]


def main() -> None:
    turns: list[float] = []

    def count() -> None:
        while True:
            turns.append(time.monotonic())
            gevent.sleep(0.01)

    counting = gevent.spawn(count)
    with serving() as server, serving(lambda peer: gevent.sleep(1)) as silent:
        told = {
            "contents": contents(server),
            "late": refused(files(), silent.port, FetchLimits(1000, timeout_s=0.3)),
            "denied": refused(files("10.0.0.1"), server.port),
            "turns": len(turns),
        }
    counting.kill()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
