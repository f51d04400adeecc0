"""Every error that a client can meet, and what may be done about it.

The class decides status and code; `retryable` tells the gateway whether one more try may succeed,
`retry_after` (seconds) and `should_retry` tell the client's SDK. Messages are for the client: no
secret, no account, nothing of a prompt or answer.

* GatewayError                   500  internal_error
  + BadRequest                   400  invalid_request_error   the request cannot be understood;
  `param` names the field
    - ContextLengthExceeded      400  context_length_exceeded
  + Unauthenticated              401  invalid_api_key
  + NotFound                     404  not_found
    - ModelNotFound              404  model_not_found
    - ConversationNotFound       404  conversation_not_found  unknown, expired or another key's:
      nobody learns which
  + MethodNotAllowed             405  method_not_allowed + RequestTimeout               408
  request_timeout         the body did not arrive in time + ConversationBusy             409
  conversation_busy       a request is running in it + Conflict                     409  conflict
  what is there already, or cannot be changed here + RequestTooLarge              413
  request_too_large + UnsupportedMediaType         415  unsupported_media_type + RateLimitExceeded
  429  rate_limit_exceeded     the caller's own limit + ClientGone                   499
  client_gone             nobody is there to read this; for the log + Overloaded
  503  overloaded              the gateway is full, or stopping + StorageUnavailable           503
  storage_unavailable     the database is away, and the request needs it + NotOffered
  501  not_implemented + NoAccountAvailable           503  no_account_available + UpstreamError
  502  upstream_error          the upstream broke, or said nothing of use
    - UpstreamBroken             502  upstream_error          the connection broke, or a passing
      fault was met
    - UpstreamProtocolError      502  upstream_error          what it sent cannot be read, or was
      cut off
      . AnswerTooLarge           502  upstream_error          it sent more than MAX_ANSWER_MB, or
      than makes sense
    - UpstreamTimeout            504  upstream_timeout
      . UpstreamUnreachable      504  upstream_timeout        no connection in time . UpstreamGaveUp
      504  upstream_timeout        by its own word: one of its own limits . AccountStalled
      504  upstream_timeout        signing in or opening a session; others may not
    - UpstreamUnclear            502  upstream_error          no answer, and no word whose fault it
      is: FAILED, empty
    - UpstreamOverloaded         503  upstream_overloaded     short: seconds to minutes
    - QuotaExhausted             429  insufficient_quota      this account's quota
    - CredentialRefused          502  upstream_auth_failed    the user must renew the account's
      cookies
      . AccountRestricted        502  upstream_auth_failed    403 at the sign-in . ConfigRefused
      502  upstream_auth_failed    403 for a call that names no session: CONFIG_ID
    - TokenRefused               502  upstream_auth_failed    the bearer, not yet the credential: a
      fresh one is tried
    - AccountSuspected           502  upstream_auth_failed    a question was refused as if the
      account were at fault
      . SessionDenied            502  upstream_auth_failed    403 in a session: another sign-in's,
      else as above
    - SessionGone                502  upstream_error          the upstream session does not exist
      (any more)
    - RequestRefused             400  invalid_request_error   the request's own fault, by the
      upstream's word
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from gbproxy.upstream_words import UpstreamWords


class GatewayError(Exception):
    """Base of every error that a surface renders for its client."""

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
        self.was_taken = True  # False: the upstream surely took nothing of the request
        # what the upstream's words are about: "model", keys of toolsSpec
        self.named: frozenset[str] = frozenset()
        self._said: UpstreamWords | None = None

    @property
    def said(self) -> UpstreamWords | None:
        """What the upstream said, where a reply of its led to this error, or to the one that this
        was raised from.
        """
        cause = self.__cause__
        return self._said or (cause.said if isinstance(cause, GatewayError) else None)

    @said.setter
    def said(self, words: UpstreamWords) -> None:
        self._said = words

    @property
    def safe_words(self) -> dict[str, Any] | None:
        """As `UpstreamWords.safe`, for logs and administrators; None when no reply led to this
        error.
        """
        return self.said.safe() if self.said is not None else None

    @property
    def own_words(self) -> str:
        """The message as long as it is ours: what the upstream's may quote is for the client
        alone.
        """
        return self.message


class BadRequest(GatewayError):
    status, code = 400, "invalid_request_error"


class ContextLengthExceeded(BadRequest):
    code = "context_length_exceeded"


class Unauthenticated(GatewayError):
    status, code = 401, "invalid_api_key"


class NotFound(GatewayError):
    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class ConversationNotFound(NotFound):
    code = "conversation_not_found"

    def __init__(self) -> None:
        super().__init__(
            "there is no conversation of this id (any more): send the whole history, without the id"
        )


class MethodNotAllowed(GatewayError):
    status, code = 405, "method_not_allowed"


class RequestTimeout(GatewayError):
    status, code, should_retry = 408, "request_timeout", False


class ConversationBusy(GatewayError):
    # SDKs try again by themselves, which is right: nothing has gone upstream
    status, code = 409, "conversation_busy"

    def __init__(self) -> None:
        super().__init__("an answer is still running in this conversation", retry_after=2)


class Conflict(GatewayError):
    status, code, should_retry = 409, "conflict", False


class RequestTooLarge(GatewayError):
    status, code = 413, "request_too_large"


class UnsupportedMediaType(GatewayError):
    status, code = 415, "unsupported_media_type"


class RateLimitExceeded(GatewayError):
    status, code = 429, "rate_limit_exceeded"


class ClientGone(GatewayError):
    status, code = 499, "client_gone"


class Overloaded(GatewayError):
    status, code = 503, "overloaded"


class StorageUnavailable(GatewayError):
    status, code = 503, "storage_unavailable"


class NotOffered(GatewayError):
    status, code, should_retry = 501, "not_implemented", False


class NoAccountAvailable(GatewayError):
    status, code, should_retry = 503, "no_account_available", False


class UpstreamError(GatewayError):
    """`retryable`: the same account may well succeed at once, as long as nothing was said."""

    retryable: ClassVar[bool] = False
    status, code = 502, "upstream_error"
    should_retry: ClassVar[bool | None] = False


class UpstreamBroken(UpstreamError):
    retryable = True


class UpstreamProtocolError(UpstreamError):
    retryable = True  # cut off, as far as anyone can tell


class AnswerTooLarge(UpstreamProtocolError):
    """More than is taken of one answer: asking once more would only bring it once more."""

    retryable = False


class UpstreamTimeout(UpstreamError):
    status, code = 504, "upstream_timeout"


class UpstreamUnreachable(UpstreamTimeout):
    retryable = True


class UpstreamGaveUp(UpstreamTimeout):
    retryable = True


class AccountStalled(UpstreamTimeout):
    pass


class UpstreamUnclear(UpstreamError):
    """Once it may be the account, or chance; with two accounts alike it is the request."""


class _Pausing(UpstreamError):
    """What is over after some time: `named_s` seconds, by the upstream's word, or None when it did
    not say.
    """

    usual_s: ClassVar[float]  # what a client is told when nobody knows better

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after or self.usual_s)
        self.named_s = retry_after


class UpstreamOverloaded(_Pausing):
    status, code, should_retry = 503, "upstream_overloaded", None
    usual_s = 10.0


Media = Literal["images", "videos"]


class QuotaExhausted(_Pausing):
    """`is_daily`: the upstream has named a quota of the day; otherwise which one it is, nobody
    knows.

    `media`: it has named the quota of these, whatever was asked for; none: that of the kind of
    request which met it.
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


class CredentialRefused(UpstreamError):
    code = "upstream_auth_failed"


class AccountRestricted(CredentialRefused):
    pass


class ConfigRefused(CredentialRefused):
    pass


class TokenRefused(UpstreamError):
    code = "upstream_auth_failed"


class AccountSuspected(UpstreamError):
    """One call about one question says so, which may be the account or the question: a probe of the
    account decides.
    """

    code = "upstream_auth_failed"


class SessionDenied(AccountSuspected):
    """In a session that was continued, a fresh one is tried first."""


class SessionGone(UpstreamError):
    pass


class RequestRefused(UpstreamError):
    """Its message is the upstream's."""

    status, code, should_retry = 400, "invalid_request_error", None

    @property
    def own_words(self) -> str:
        return "the upstream refused the request as malformed"
