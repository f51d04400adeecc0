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

    def chunks() -> Generator[bytes]:
        begun.append(True)
        yield b"chunk"

    connection, client = gevent.socket.socketpair()
    client.close()
    runner = StreamRunner(chunks(), {"gunicorn.socket": connection})
    if aside:
        runner.begin()

    with pytest.raises(ClientGone):
        runner.next_chunk(5)

    assert not begun
    runner.close()
    connection.close()
