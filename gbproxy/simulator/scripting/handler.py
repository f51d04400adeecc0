"""From a request to what is written on its connection, and the record of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gbproxy.simulator.http.connection import Connection, Request
from gbproxy.simulator.http.transport import Player
from gbproxy.simulator.scripting.recorder import Records
from gbproxy.simulator.scripting.replay import Replay
from gbproxy.simulator.switches import Switches
from gbproxy.simulator.widget import files
from gbproxy.simulator.widget.elements import ElementBuilder
from gbproxy.simulator.widget.service import Backend, Reply
from gbproxy.simulator.widget.sessions import Session, Turn


class Answering:
    """`condition` guards all of the backend, and what is counted here; it is notified of every
    change.
    """

    def __init__(
        self, backend: Backend, condition: threading.Condition, rng: random.Random
    ) -> None:
        self.records = Records()
        self.open_streams = 0
        self._backend = backend
        self._condition = condition
        self._rng = rng

    def respond(self, connection: Connection, request: Request, switches: Switches) -> bool:
        """Answer a call of the upstream; whether the connection may go on."""
        with self._condition:
            caller = self._backend.identify(request, switches)
            self.records.add(caller.name, request, connection.number, caller.csesidx)
            self._condition.notify_all()
            reply = self._backend.reply(request, caller, switches)
        if reply.turn is None:
            return self.perform(connection, request, reply, switches)
        with self._streaming(reply.session) as completed:
            return self.perform(connection, request, reply, switches, completed)

    def replay(self, connection: Connection, request: Request, replay: Replay) -> bool:
        """Answer a call as a capture has it; whether the connection may go on."""
        with self._condition:
            self.records.add(request.path.rpartition("/")[2], request, connection.number, None)
            self._condition.notify_all()
            script = replay.answer(request, self._backend.origin)
        return self.perform(connection, request, Reply(script), Switches())

    def perform(
        self,
        connection: Connection,
        request: Request,
        reply: Reply,
        switches: Switches,
        completed: Callable[[], None] = lambda: None,
    ) -> bool:
        session, sessions = reply.session, self._backend.sessions
        builder = ElementBuilder(
            switches=switches,
            now=self._backend.now,
            new_id=sessions.new_id,
            session=session,
            turn=reply.turn or Turn(""),
            store=lambda wanted: files.generate(sessions, session, wanted) if session else None,
            completed=completed,
        )
        player = Player(
            connection=connection,
            request=request,
            switches=switches,
            layout=reply.layout,
            builder=builder,
            now=self._backend.now,
            rng=random.Random(self._rng.random()),  # noqa: S311  where to cut
        )
        return player.perform(reply.script)

    @contextmanager
    def _streaming(self, session: Session | None) -> Iterator[Callable[[], None]]:
        """Count an answer that is under way; what it gives is called when the answer is complete,
        before that is sent.

        A quick client asks again as soon as it has seen the end.
        """
        running = [session] if session is not None else []
        with self._condition:
            self.open_streams += 1
            for each in running:
                each.running += 1
                each.most_at_once = max(each.most_at_once, each.running)
            self._condition.notify_all()

        def completed() -> None:
            with self._condition:
                while running:
                    running.pop().running -= 1

        try:
            yield completed
        finally:
            completed()
            with self._condition:
                self.open_streams -= 1
                self._condition.notify_all()
