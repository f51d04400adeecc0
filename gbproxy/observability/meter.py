"""The metrics interface; `Meter` itself counts nothing, and is used while /metrics is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self

from gbproxy.errors import GatewayError
from gbproxy.observability.request_context import RequestContext

AnswerKind = Literal["stream", "whole"]
Outcome = Literal["continued", "fresh", "miss", "contended", "lost", "unavailable"]


class AccountView(Protocol):
    """What the page says of one account; times are Unix seconds."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def cooling_until(self) -> Mapping[Any, float]: ...


class Meter:
    """Every call is cheap, never waits, and may come from any thread. Nothing is reported for each
    piece of an answer.
    """

    def observe(
        self, accounts: Callable[[], Sequence[AccountView]], database_is_up: Callable[[], bool]
    ) -> None:
        """Have the page tell how these are when it is asked for."""

    def request_done(self, context: RequestContext, surface: str, status: int) -> None:
        """A request is over; `surface`: the blueprint that has answered it, "none" where there is
        no route.
        """

    def answer_begun(self, kind: AnswerKind) -> None:
        """An answer is being made."""

    def answer_ended(self, kind: AnswerKind) -> None:
        """It is over, however it ended."""

    def account_lent(self, account_id: str) -> None:
        """A request has an account."""

    def account_returned(self, account_id: str) -> None:
        """It has given it back."""

    def account_changed(self, state: str, quota: str, cause: str) -> None:
        """This worker has learnt something of an account; `cause` "" where it is not one of few
        words.
        """

    def upstream_called(self, verb: str, result: str) -> None:
        """A call to the upstream is over; `result`: "ok", "redirected", "refused", "abandoned" or
        an error's code.
        """

    def token_refreshed(self, result: str) -> None:
        """An account was signed in, or could not be: "ok" or an error's code."""

    def conversation(self, outcome: Outcome) -> None:
        """How a request found its session, see `Outcomes` of the conversations."""

    def database_failed(self) -> None:
        """A call to the database has failed."""

    def limited(self, kind: str) -> None:
        """A request was refused by a limit of this kind."""

    def worker_started(self) -> None:
        """This process begins to serve."""

    def worker_ended(self, pid: int) -> None:
        """To the master: a worker has ended, however that was."""

    def collect(self) -> Callable[[], bytes]:
        """Take what only this thread may look at; what comes back makes the page of it, and may be
        called in another.
        """
        return bytes


SILENT = Meter()


class UpstreamCall:
    """A `with` block around one call; its result is the error that leaves it, else `result`."""

    __slots__ = ("_meter", "_verb", "result")

    def __init__(self, meter: Meter, verb: str) -> None:
        self._meter = meter
        self._verb = verb
        self.result = "ok"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if error is not None:  # anything but our own errors: the client has left
            self.result = error.code if isinstance(error, GatewayError) else "abandoned"
        self._meter.upstream_called(self._verb, self.result)
