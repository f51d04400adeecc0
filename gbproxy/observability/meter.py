"""The metrics interface; `Meter` itself counts nothing, and is used while /metrics is off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

from gbproxy.domain.account import AccountView, CredentialMoments
from gbproxy.errors import GatewayError
from gbproxy.observability.request_context import RequestContext

AnswerKind = Literal["stream", "whole", "file"]
Outcome = Literal["continued", "fresh", "miss", "contended", "lost", "unavailable"]


class Meter:
    """Each call is cheap, never waits, and may come from any thread. Pieces of an answer are not
    reported.
    """

    def observe(
        self,
        accounts: Callable[[], Sequence[AccountView]],
        database_is_up: Callable[[], bool],
        credentials: Callable[[], Mapping[str, CredentialMoments]] = dict,
    ) -> None:
        """Set the functions by which each page reads the accounts, the database's state and, by
        account id, the times of the credentials.
        """

    def request_done(self, context: RequestContext, surface: str, status: int) -> None:
        """A request is over; `surface`: the blueprint that answered it, "none" without a route."""

    def answer_begun(self, kind: AnswerKind) -> None:
        """An answer has begun."""

    def answer_ended(self, kind: AnswerKind) -> None:
        """An answer is over, however it ended."""

    def account_leased(self, account_id: str) -> None:
        """A request has leased an account."""

    def account_returned(self, account_id: str) -> None:
        """A request has returned its account."""

    def account_changed(self, state: str, quota: str, cause: str) -> None:
        """An account's state was changed by this worker; `cause`: one of few words, or ""."""

    def upstream_called(self, verb: str, result: str) -> None:
        """A call to the upstream is over; `result`: "ok", "redirected", "refused", "abandoned" or
        an error's code.
        """

    def token_refreshed(self, result: str) -> None:
        """A sign-in for a token is over; `result`: "ok" or an error's code."""

    def conversation(self, outcome: Outcome) -> None:
        """A request has looked for its session; see `Outcomes` of the conversations."""

    def database_failed(self) -> None:
        """A call to the database has failed."""

    def limited(self, kind: str) -> None:
        """A request was refused by a limit of this kind."""

    def alert_sent(self, webhook: str, result: str) -> None:
        """An alert was sent to a webhook of this kind, or could not be; `result`: "ok" or
        "failed".
        """

    def worker_started(self) -> None:
        """This process starts to serve."""

    def worker_ended(self, pid: int) -> None:
        """A worker has ended, however that was; called in the arbiter."""

    def collect(self) -> Callable[[], bytes]:
        """Read what only this thread may read, and return a function that renders the page of it,
        which any thread may call.
        """
        return bytes


SILENT = Meter()


class UpstreamCall:
    """A `with` block that reports one call upstream: the error that leaves it, else `result`."""

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
        if error is not None:  # any other than our own errors: the client has left
            self.result = error.code if isinstance(error, GatewayError) else "abandoned"
        self._meter.upstream_called(self._verb, self.result)
