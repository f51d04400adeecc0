"""The fake upstream as a whole: what is in force, and what has happened."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from gbproxy.simulator import control
from gbproxy.simulator.accounts import Account
from gbproxy.simulator.answering import Answering
from gbproxy.simulator.backend import STREAM, Backend, Reply
from gbproxy.simulator.editions import EDITIONS, LOCATIONS, edition_of, location_of
from gbproxy.simulator.gates import BROWSER
from gbproxy.simulator.keys import Keys
from gbproxy.simulator.observation import RecordedRequest
from gbproxy.simulator.replay import Replay
from gbproxy.simulator.script import Action, Element, ElementAction
from gbproxy.simulator.server import Server
from gbproxy.simulator.sessions import Session, Sessions
from gbproxy.simulator.speech import Speech
from gbproxy.simulator.switches import Switches
from gbproxy.simulator.wire import Connection, Request


class Simulator:
    """A fake of the upstream on its own port; a context manager that leaves nothing behind.

    `clock` is the server's wall clock. `speech` may be replaced: prompt in, answer out. With a
    `replay`, every call is answered as that has it, whoever asks.
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
    ) -> None:
        self.clock = clock
        self._replay = replay
        self.ca_file: Path | None = None
        self._switches = switches or Switches()
        self._condition = threading.Condition(threading.RLock())
        self._rng = random.Random(seed)  # noqa: S311  ids and cuts, not secrets
        self._backend = Backend(self.now, Sessions(self._rng, self.now))
        self._backend.verbs.transient_failures = self._switches.create_session_transient
        self._answering = Answering(self._backend, self._condition, self._rng)
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        context = None
        if tls:
            from gbproxy.simulator.ca import make_certificates

            self._directory = tempfile.TemporaryDirectory(prefix="gbproxy-simulator-")
            self.ca_file, context = make_certificates(Path(self._directory.name))
        self.add_account()
        try:
            self._server = Server(
                self._respond, host=host, port=port, tls=context, changed=self._notify
            )
        except OSError:
            self._remove_directory()
            raise
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if tls else "http"
        self.port = self._server.address[1]
        self.url = self._backend.origin = f"{scheme}://{shown}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and thread, and remove the certificates."""
        self._server.close()
        self._remove_directory()

    # What is in force

    @property
    def accounts(self) -> dict[str, Account]:
        """The accounts by csesidx; their fields may be changed."""
        return self._backend.accounts

    @property
    def keys(self) -> Keys:
        """The signing keys given out."""
        return self._backend.keys

    @property
    def speech(self) -> Callable[[str], Speech]:
        """What answers when no script does: a function from the prompt to the answer."""
        return self._backend.speech

    @speech.setter
    def speech(self, speech: Callable[[str], Speech]) -> None:
        self._backend.speech = speech

    @property
    def switches(self) -> Switches:
        return self._switches

    def set(self, **changes: object) -> None:
        """Change switches; answers already begun keep theirs. Raises ValueError."""
        with self._condition:
            self._switches = self._switches.changed(**changes)
            if "create_session_transient" in changes:
                self._backend.verbs.transient_failures = self._switches.create_session_transient
            if "getoxsrf" in changes:
                self.expire_cookies()

    @property
    def control_delay_s(self) -> float:
        """Delay of every call but the stream and downloads."""
        return self._switches.control_delay_s

    @control_delay_s.setter
    def control_delay_s(self, seconds: float) -> None:
        self.set(control_delay_s=seconds)

    def now(self) -> float:
        """The server's own time, which its Date header tells."""
        return self.clock() + self._switches.clock_skew_s

    @property
    def account(self) -> Account:
        """The first account."""
        return next(iter(self.accounts.values()))

    def add_account(self, **values: Any) -> Account:
        """One more account; what is not given is made up, the first being always the same."""
        with self._condition:
            number = len(self.accounts)
            if number:
                made_up = {
                    "csesidx": str(1234567890 + number),
                    "secure_c_ses": f"CSE.Ad{number}Lk3xVb9QmZr7TtYw2HnPq5Js",
                    "host_c_oses": f"COS.Af{number}Wm4RzKx8LdTn6VbYp2GqHs",
                    "config_id": f"11111111-2222-4333-8444-{555555555555 + number}",
                    "project_number": str(123456789012 + number),
                }
                values = {**made_up, **values}
            account = Account(**values)
            if account.edition not in (None, *EDITIONS) or account.location not in (
                None,
                *LOCATIONS,
            ):
                raise ValueError(
                    f"no such edition or location: {account.edition}, {account.location}"
                )
            self.accounts[account.csesidx] = account
            return account

    def add_session(self, account: Account, session_id: str) -> Session:
        """A session that is there already, as if a gateway had made it earlier."""
        with self._condition:
            location = location_of(account, self._switches)
            return self._backend.sessions.create(account, location, session_id=session_id)

    def expire_cookies(self) -> None:
        """Under `refreshcookies`: the present cookies need renewing again."""
        with self._condition:
            for account in self.accounts.values():
                account.needs_renewal = True

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
        if path != STREAM and any(
            isinstance(action, Element | ElementAction) for action in actions
        ):
            raise ValueError(
                f"the answer of {path} has no elements; use Write, json_reply and the like"
            )
        with self._condition:
            self._backend.scripts.add(path, actions, times, csesidx)

    def clear_scripts(self) -> None:
        with self._condition:
            self._backend.scripts.clear()

    def environment(self, account: Account | None = None) -> dict[str, str]:
        """The environment variables with which a gateway uses this upstream."""
        account = account or self.account
        values = {
            "GEMINI_BUSINESS_URL": self.url,
            "API_BASE_URL": f"{self.url}/v1alpha",
            "SECURE_C_SES": account.secure_c_ses,
            "HOST_C_OSES": account.host_c_oses,
            "CSESIDX": account.csesidx,
            "CONFIG_ID": account.config_id,
        }
        return values | ({"CA_BUNDLE": str(self.ca_file)} if self.ca_file else {})

    def environment_by_name(self, account: Account | None = None) -> dict[str, str]:
        """As `environment`, but for the upstream's own host names, with this simulator (which must
        speak TLS) as the proxy.
        """
        if self.ca_file is None:
            raise ValueError("the upstream's own names need TLS")
        ours = {
            name: value
            for name, value in self.environment(account).items()
            if not name.endswith("_URL")
        }
        return ours | {"PROXY": self.url.replace("https:", "http:", 1)}

    def described(self, account: Account | None = None) -> dict[str, str]:
        """The account as `ACCOUNTS` takes it, with its edition and location and what its gates may
        want.
        """
        account = account or self.account
        return {
            "secure_c_ses": account.secure_c_ses,
            "host_c_oses": account.host_c_oses,
            "csesidx": account.csesidx,
            "config_id": account.config_id,
            "edition": edition_of(account, self._switches).name,
            "location": location_of(account, self._switches),
            "cookies": "; ".join(f"{name}={value}" for name, value in account.cookies.items()),
            "server_token": account.server_token,
            "user_agent": BROWSER,
        }

    # What happened

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order of arrival; of very many, the latest."""
        with self._condition:
            return list(self._answering.records.latest)

    def calls(self, name: str) -> list[RecordedRequest]:
        """The requests of that name: a verb, getoxsrf, refreshcookies or downloadFile."""
        return [request for request in self.requests if request.name == name]

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Every session by id, the deleted ones too."""
        with self._condition:
            return dict(self._backend.sessions.by_id)

    def sessions_of(self, account: Account, *, alive: bool = True) -> list[Session]:
        """The sessions of one account in the order of their making, those that are not deleted or
        all.
        """
        with self._condition:
            own = [
                session
                for session in self._backend.sessions.by_id.values()
                if session.owner == account.csesidx
            ]
            return [session for session in own if not (alive and session.deleted)]

    @property
    def open_streams(self) -> int:
        """Answers of widgetStreamAssist under way whose peer is still there."""
        with self._condition:
            return self._answering.open_streams

    @property
    def open_connections(self) -> int:
        return self._server.open_connections

    def wait_for(self, predicate: Callable[[], object], timeout_s: float = 5.0) -> bool:
        """Wait until something about this simulator is true; looked at whenever anything
        changed.
        """
        with self._condition:
            return bool(self._condition.wait_for(predicate, timeout_s))

    def state(self) -> dict[str, Any]:
        """Counts, as the control endpoint shows them."""
        with self._condition:
            alive = len(self._backend.sessions.alive())
            return {
                "open_streams": self._answering.open_streams,
                "open_connections": self.open_connections,
                "connections": self._server.accepted,
                "requests": dict(self._answering.records.counts),
                "sessions": {"alive": alive, "deleted": len(self._backend.sessions.by_id) - alive},
                "tokens": len(self.keys.by_id),
                "scripts": len(self._backend.scripts),
            }

    def session_states(self) -> list[dict[str, Any]]:
        """What every session holds, as the control endpoint shows it."""
        with self._condition:
            return [
                {
                    "name": session.short_name,
                    "csesidx": session.owner,
                    "deleted": session.deleted,
                    "queries": session.queries,
                    "most_at_once": session.most_at_once,
                }
                for session in self._backend.sessions.by_id.values()
            ]

    # How

    def _respond(self, connection: Connection, request: Request) -> bool:
        if request.path.startswith("/_simulator/"):
            script = control.answer(self, request, connection.peer_host)
            return self._answering.perform(connection, request, Reply(script), Switches())
        if self._replay is not None:
            return self._answering.replay(connection, request, self._replay)
        return self._answering.respond(connection, request, self._switches)

    def _notify(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _remove_directory(self) -> None:
        if self._directory is not None:
            self._directory.cleanup()
