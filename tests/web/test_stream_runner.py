"""What runs an answer (gbproxy/web/stream_runner.py)."""

from __future__ import annotations

from collections.abc import Generator

import gevent.socket
import pytest

from gbproxy.errors import ClientGone
from gbproxy.web.stream_runner import StreamRunner


@pytest.mark.parametrize("aside", [False, True])
def test_no_answer_is_begun_for_a_client_that_has_left(aside: bool) -> None:
    begun: list[bool] = []

    def pieces() -> Generator[bytes]:
        begun.append(True)
        yield b"piece"

    connection, client = gevent.socket.socketpair()
    client.close()
    pump = StreamRunner(pieces(), {"gunicorn.socket": connection})
    if aside:
        pump.begin()

    with pytest.raises(ClientGone):
        pump.take(5)

    assert not begun
    pump.close()
    connection.close()
