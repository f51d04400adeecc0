"""Every error that a client can meet.

The class decides HTTP status and code; `retry_after` (seconds) and `should_retry` are hints for the
client's SDK. What the gateway itself does is the policies' (accounts/failure_policy.py). Messages
are for the client: no secret, no account, nothing of a prompt or answer.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from gbproxy.upstream_words import UpstreamWords


class GatewayError(Exception):
    """Base of all errors that a format renders for its client."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    # x-should-retry: None leaves it to the SDK's own rule
    should_retry: ClassVar[bool | None] = None

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.was_taken = True  # False: the upstream certainly accepted nothing of the request
        # what the upstream's error is about: "model", keys of toolsSpec
        self.named: frozenset[str] = frozenset()
        self._said: UpstreamWords | None = None

    @property
    def said(self) -> UpstreamWords | None:
        """The upstream's reply behind this error, or behind the one that this was raised from."""
        cause = self.__cause__
        return self._said or (cause.said if isinstance(cause, GatewayError) else None)

    @said.setter
    def said(self, words: UpstreamWords) -> None:
        self._said = words

    @property
    def safe_words(self) -> dict[str, Any] | None:
        """`said.safe()`, for logs and administrators; None when no reply led to this error."""
        return self.said.safe() if self.said is not None else None

    @property
    def kind(self) -> str:
        """The name by which this error is kept and told apart from others: its class'."""
        return type(self).__name__

    @property
    def own_words(self) -> str:
        """The message for logs: one from the upstream, which may quote the client, is left out."""
        return self.message


class BadRequest(GatewayError):
    """The request cannot be understood; `param` names the field."""

    status, code = 400, "invalid_request_error"


class ContextLengthExceeded(BadRequest):
    code = "context_length_exceeded"


class PreviousResponseNotFound(BadRequest):
    """Unknown, expired, deleted or another key's, or a response before it is."""

    code = "previous_response_not_found"

    def __init__(self, response_id: str) -> None:
        super().__init__(
            f"there is no response {response_id[:100]!r} (any more), or not all of those before it:"
            " send the whole history as input, without previous_response_id",
            param="previous_response_id",
        )


class Unauthenticated(GatewayError):
    status, code = 401, "invalid_api_key"


class AddressNotAllowed(GatewayError):
    """The key is good, but not from where the request came."""

    status, code = 403, "address_not_allowed"

    def __init__(self, address: str) -> None:
        super().__init__(f"this API key may not be used from {address[:64] or 'this address'}")


class NotFound(GatewayError):
    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class ConversationNotFound(NotFound):
    """Unknown, expired or another key's: the client does not learn which."""

    code = "conversation_not_found"

    def __init__(self) -> None:
        super().__init__(
            "there is no conversation of this id (any more): begin a new one, or send the whole"
            " history without the id"
        )


class MethodNotAllowed(GatewayError):
    status, code = 405, "method_not_allowed"


class RequestTimeout(GatewayError):
    status, code, should_retry = 408, "request_timeout", False  # the body came too late


class ConversationBusy(GatewayError):
    # should_retry stays open: SDKs retry, which is right, as nothing has gone upstream
    status, code = 409, "conversation_busy"

    def __init__(self) -> None:
        super().__init__("an answer is still running in this conversation", retry_after=2)


class Conflict(GatewayError):
    status, code, should_retry = 409, "conflict", False  # it exists, or is fixed


class RequestTooLarge(GatewayError):
    status, code = 413, "request_too_large"


class UnsupportedMediaType(GatewayError):
    status, code = 415, "unsupported_media_type"


class RateLimitExceeded(GatewayError):
    status, code = 429, "rate_limit_exceeded"  # the client's own limit


class ClientGone(GatewayError):
    status, code = 499, "client_gone"  # the client has left: for the log


class Overloaded(GatewayError):
    status, code = 503, "overloaded"  # full, or stopping


class StorageUnavailable(GatewayError):
    status, code = 503, "storage_unavailable"  # the database is away


class NotOffered(GatewayError):
    status, code, should_retry = 501, "not_implemented", False


class NoAccountAvailable(GatewayError):
    status, code, should_retry = 503, "no_account_available", False


class UpstreamError(GatewayError):
    """The upstream failed."""

    status, code = 502, "upstream_error"
    should_retry: ClassVar[bool | None] = False


class UpstreamBroken(UpstreamError):
    """The connection broke, or the upstream had a passing fault."""


class UpstreamProtocolError(UpstreamError):
    """The answer cannot be read, mostly because it was cut off."""


class AnswerTooLarge(UpstreamProtocolError):
    """More than MAX_ANSWER_MB, or far more data than its text needs: as every attempt would be."""


class UpstreamTimeout(UpstreamError):
    status, code = 504, "upstream_timeout"


class UpstreamUnreachable(UpstreamTimeout):
    """No connection in time."""


class UpstreamGaveUp(UpstreamTimeout):
    """The upstream reports that a deadline of its own has passed."""


class AccountStalled(UpstreamTimeout):
    """Signing in or opening a session took too long; another account may do better."""


class UpstreamUnclear(UpstreamError):
    """No answer and no cause: FAILED, or empty. On two accounts alike, the request is at fault."""


class AnswerEmpty(UpstreamUnclear):
    """The answer has ended as a whole one does, with thoughts alone or nothing at all."""


class _Pausing(UpstreamError):
    """Passes with time: after `named_s` seconds, if the upstream has named them."""

    usual_s: ClassVar[float]  # the client's Retry-After when the upstream named no time

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after or self.usual_s)
        self.named_s = retry_after


class UpstreamOverloaded(_Pausing):
    status, code, should_retry = 503, "upstream_overloaded", None
    usual_s = 10.0  # an overload lasts seconds to minutes


Media = Literal["images", "videos"]


class QuotaExhausted(_Pausing):
    """A quota of the account is used up.

    `is_daily`: the upstream has named a daily quota; otherwise it is not known which one.
    `media`: the quotas that it has named; without any it is the one of the request's own kind.
    """

    status, code = 429, "insufficient_quota"
    usual_s = 60.0

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        is_daily: bool = False,
        media: tuple[Media, ...] = (),
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.is_daily = is_daily
        self.media = media


class ToolCallMissing(UpstreamError):
    """The request requires a tool call, and the model wrote none, also when asked once more."""


class StructuredOutputInvalid(UpstreamError):
    """The answer is not the JSON that the request asks for; some of it may have been sent."""


class CredentialRefused(UpstreamError):
    code = "upstream_auth_failed"  # the user has to renew the account's cookies


class AccountRestricted(CredentialRefused):
    """403 at the sign-in."""


class ConfigRefused(CredentialRefused):
    """403 for a call that names no session: CONFIG_ID is wrong."""


class TokenRefused(UpstreamError):
    """The bearer token, not yet the credential: a fresh one is tried."""

    code = "upstream_auth_failed"


class AccountSuspected(UpstreamError):
    """A question was refused as if the account were at fault: a probe of the account decides."""

    code = "upstream_auth_failed"


class SessionDenied(AccountSuspected):
    """403 in a session: it may belong to another sign-in, so a fresh session is tried first."""


class SessionGone(UpstreamError):
    """The upstream session does not exist, or no longer."""


class RequestRefused(UpstreamError):
    """The upstream says that the request itself is wrong; the message is its own."""

    status, code, should_retry = 400, "invalid_request_error", None

    @property
    def own_words(self) -> str:
        return "the upstream refused the request as malformed"
