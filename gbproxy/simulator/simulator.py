"""The simulator: the server, its services, the switches in force and the record of requests."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from gbproxy.simulator.http.actions import Element, LazyElements
from gbproxy.simulator.http.certificates import TemporaryCertificates
from gbproxy.simulator.http.connection import Connection, Request
from gbproxy.simulator.http.server import Server
from gbproxy.simulator.scripting import control
from gbproxy.simulator.scripting.actions import Action, AnswerAction
from gbproxy.simulator.scripting.handler import Handler, RecordedRequest
from gbproxy.simulator.scripting.replay import Replay
from gbproxy.simulator.scripting.service import Context, Reply
from gbproxy.simulator.scripting.switches import FramingSwitches
from gbproxy.simulator.services import Router, ServiceFactory, Switches
from gbproxy.simulator.widget import accounts as widget_accounts
from gbproxy.simulator.widget.accounts import Account, location_of
from gbproxy.simulator.widget.gates import Keys
from gbproxy.simulator.widget.model import ModelAnswer
from gbproxy.simulator.widget.service import STREAM
from gbproxy.simulator.widget.sessions import Session


class Simulator:
    """A fake of the upstream on its own port; a context manager that leaves nothing behind.

    `clock` is the server's wall clock. `model` may be replaced: prompt in, answer out. With a
    `replay`, every call is answered as that has it, whoever asks. `services` are served beside
    those of the router.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        replay: Replay | None = None,
        services: Sequence[ServiceFactory] = (),
    ) -> None:
        self.clock = clock
        self._replay = replay
        self._switches = switches or Switches()
        self._condition = threading.Condition(threading.RLock())
        rng = random.Random(seed)  # noqa: S311  ids and cuts, not secrets
        context = Context(self.now, rng, self._condition)
        self._scripts = context.scripts
        self._router = Router(context, services)
        self._widget = self._router.widget
        self._widget.apply_switches({"create_session_transient"}, self._switches)
        self._handler = Handler(self._router.accept, context)
        self._control = control.ControlEndpoint(
            readers={"state": self.state, "sessions": self.session_states},
            writers={
                "switches": partial(control.set_switches, self.set),
                "script": partial(control.queue_scripts, self.script),
            },
        )
        self.add_account()
        self._certificates = TemporaryCertificates(self._router.hosts) if tls else None
        self.ca_file = self._certificates.ca_file if self._certificates else None
        try:
            self._server = Server(
                self._respond,
                host=host,
                port=port,
                tls=self._certificates.context if self._certificates else None,
                changed=self._notify,
            )
        except OSError:
            self._remove_certificates()
            raise
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if tls else "http"
        self.port = self._server.address[1]
        self.url = context.origin = f"{scheme}://{shown}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and thread, and remove the certificates."""
        self._server.close()
        self._remove_certificates()

    # What is in force

    @property
    def accounts(self) -> dict[str, Account]:
        """The accounts by csesidx; their fields may be changed."""
        return self._widget.accounts

    @property
    def keys(self) -> Keys:
        """The signing keys given out."""
        return self._widget.keys

    @property
    def model(self) -> Callable[[str], ModelAnswer]:
        """The function from prompt to answer that is asked when no script answers."""
        return self._widget.model

    @model.setter
    def model(self, model: Callable[[str], ModelAnswer]) -> None:
        self._widget.model = model

    @property
    def switches(self) -> Switches:
        return self._switches

    def set(self, **changes: object) -> None:
        """Change switches; answers already begun keep theirs. Raises ValueError."""
        with self._condition:
            self._switches = self._switches.changed(**changes)
            self._widget.apply_switches(changes, self._switches)

    def now(self) -> float:
        """The server's own time, which its Date header tells."""
        return self.clock() + self._switches.clock_skew_s

    @property
    def account(self) -> Account:
        """The first account."""
        return next(iter(self.accounts.values()))

    def add_account(self, **values: Any) -> Account:
        """One more account; what is not given is made up, the first being always the same.

        Raises ValueError.
        """
        with self._condition:
            account = widget_accounts.make_account(len(self.accounts), **values)
            self.accounts[account.csesidx] = account
            return account

    def add_session(self, account: Account, session_id: str) -> Session:
        """A session that is there already, as if a gateway had made it earlier."""
        with self._condition:
            location = location_of(account, self._switches)
            return self._widget.sessions.create(account, location, session_id=session_id)

    def expire_cookies(self) -> None:
        """Under `refreshcookies`: the present cookies need renewing again."""
        with self._condition:
            self._widget.expire_cookies()

    def revoke_tokens(self) -> None:
        """Make every token that present keys signed, or will sign, a 401."""
        with self._condition:
            self.keys.revoke_all()

    def script(
        self,
        *actions: Action,
        path: str = STREAM,
        times: float = 1,
        csesidx: str | None = None,
    ) -> None:
        """Queue an answer for the next `times` calls of `path` (a verb, getoxsrf, downloadFile …).

        It replaces the answer of a request that would have been accepted: one refused by the checks
        of credentials, envelope or fields does not use it up. `csesidx` binds it to one account;
        `times=math.inf` keeps it for ever. Raises ValueError for elements where no stream is.
        """
        kinds = Element | LazyElements | AnswerAction
        if path not in self._router.streams and any(isinstance(a, kinds) for a in actions):
            raise ValueError(
                f"the answer of {path} has no elements; use Write, json_reply and the like"
            )
        with self._condition:
            self._scripts.add(path, actions, times, csesidx)

    def clear_scripts(self) -> None:
        with self._condition:
            self._scripts.clear()

    def environment(self, account: Account | None = None) -> dict[str, str]:
        """The environment variables with which a gateway uses this upstream."""
        return widget_accounts.environment(account or self.account, self.url, self.ca_file)

    def environment_by_name(self, account: Account | None = None) -> dict[str, str]:
        """As `environment`, but for the upstream's own host names, with this simulator as proxy.

        Raises ValueError unless the simulator speaks TLS.
        """
        account = account or self.account
        return widget_accounts.environment_by_name(account, self.url, self.ca_file)

    def described(self, account: Account | None = None) -> dict[str, str]:
        """The account as `ACCOUNTS` takes it, with all that its gates may want."""
        return widget_accounts.described(account or self.account, self._switches)

    # What happened

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order of arrival; of very many, the latest."""
        with self._condition:
            return list(self._handler.recorder.latest)

    def calls(self, name: str) -> list[RecordedRequest]:
        """The requests of that name: a verb, getoxsrf, refreshcookies or downloadFile."""
        return [request for request in self.requests if request.name == name]

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Every session by id, the deleted ones too."""
        with self._condition:
            return dict(self._widget.sessions.by_id)

    def sessions_of(self, account: Account, *, alive: bool = True) -> list[Session]:
        """The sessions of one account in the order of their making, without deleted ones or all."""
        with self._condition:
            own = [
                session
                for session in self._widget.sessions.by_id.values()
                if session.owner == account.csesidx
            ]
            return [session for session in own if not (alive and session.deleted)]

    @property
    def open_streams(self) -> int:
        """The number of streamed answers under way whose peer is still there."""
        with self._condition:
            return self._handler.open_streams

    @property
    def open_connections(self) -> int:
        return self._server.open_connections

    def is_open(self, connection: int) -> bool:
        """True while a recorded request's connection is open."""
        return self._server.is_open(connection)

    def wait_for(self, predicate: Callable[[], object], timeout_s: float = 20.0) -> bool:
        """Wait until `predicate` is true, tried at every change. False when the time is up."""
        with self._condition:
            return bool(self._condition.wait_for(predicate, timeout_s))

    def state(self) -> dict[str, Any]:
        """Counts, as the control endpoint shows them."""
        with self._condition:
            alive = len(self._widget.sessions.alive())
            return {
                "open_streams": self._handler.open_streams,
                "open_connections": self.open_connections,
                "connections": self._server.accepted,
                "requests": dict(self._handler.recorder.counts),
                "sessions": {"alive": alive, "deleted": len(self._widget.sessions.by_id) - alive},
                "tokens": len(self.keys.by_id),
                "scripts": len(self._scripts),
            }

    def session_states(self) -> list[dict[str, Any]]:
        """The contents of every session, as the control endpoint shows them."""
        with self._condition:
            return [
                {
                    "name": session.short_name,
                    "csesidx": session.owner,
                    "deleted": session.deleted,
                    "queries": session.queries,
                    "most_at_once": session.most_at_once,
                }
                for session in self._widget.sessions.by_id.values()
            ]

    # How

    def _respond(self, connection: Connection, request: Request) -> bool:
        if request.path.startswith(control.PREFIX):
            reply = Reply(self._control.answer(request, connection.peer_host))
            return self._handler.perform(connection, request, reply, FramingSwitches())
        if self._replay is not None:
            return self._handler.replay(connection, request, self._replay)
        return self._handler.answer(connection, request, self._switches)

    def _notify(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _remove_certificates(self) -> None:
        if self._certificates is not None:
            self._certificates.close()
