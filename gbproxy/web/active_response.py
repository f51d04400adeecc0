"""A response that runs, among the others of its worker."""

from __future__ import annotations

from flask import request

from gbproxy.observability.meter import AnswerKind, Meter
from gbproxy.web.encoding import Chunks
from gbproxy.web.stream_runner import Heartbeat, StreamRunner


class ActiveResponse:
    """A response that runs: its runner, its heartbeat and its place among the others, all given
    back by `close`.
    """

    def __init__(
        self, chunks: Chunks, kind: AnswerKind, others: set[ActiveResponse], meter: Meter
    ) -> None:
        self._environ = request.environ
        self.runner = StreamRunner(chunks, self._environ)
        self._kind = kind
        self._heartbeat: Heartbeat | None = None
        self._others = others
        self._meter = meter
        others.add(self)

    def keep_alive(self, heartbeat: bytes, interval_s: float | None) -> None:
        """Now that the response has begun: let the heartbeat run."""
        if interval_s:
            self._heartbeat = Heartbeat(self.runner, self._environ, heartbeat, interval_s)

    def close(self) -> None:
        if self in self._others:
            self._others.discard(self)
            self._meter.answer_ended(self._kind)
            if self._heartbeat is not None:
                self._heartbeat.stop()
            self.runner.close()
