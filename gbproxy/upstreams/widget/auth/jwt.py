"""The signing key that getoxsrf gives, the JWT that is signed with it, and the JWT's age.

Source: docs/upstream.md, token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

from gbproxy.domain import jsontext
from gbproxy.errors import AccountRestricted, CredentialRefused, UpstreamBroken
from gbproxy.outbound import Reply
from gbproxy.storage.tokens_cookies import StoredToken
from gbproxy.upstreams.stream_assist.wording import ErrorContext

TOKEN_LIFE_S = 300
TOLERANCE_S = 5.0  # by which a token may seem to come from the future

_ADVICE = (
    "Sign in to {page} again and renew SECURE_C_SES, HOST_C_OSES, CSESIDX and CONFIG_ID of this"
    " account; if that does not help, set USER_AGENT to that browser's"
)


@dataclass(frozen=True, slots=True)
class XsrfKey:
    key: bytes = field(repr=False)
    key_id: str


def sign(key: XsrfKey, csesidx: str, issued_at: int, *, issuer: str, audience: str) -> str:
    """The HS256 token for a session index, valid from `issued_at` (Unix seconds) for
    TOKEN_LIFE_S.
    """
    header = {"alg": "HS256", "typ": "JWT", "kid": key.key_id}
    payload = {
        "iss": issuer,
        "aud": audience,
        "sub": f"csesidx/{csesidx}",
        "iat": issued_at,
        "exp": issued_at + TOKEN_LIFE_S,
        "nbf": issued_at,
    }
    signed = f"{_b64url(_compact(header))}.{_b64url(_compact(payload))}"
    return f"{signed}.{_b64url(hmac.digest(key.key, signed.encode(), hashlib.sha256))}"


def issued_at(bearer: str) -> int | None:
    """The Unix seconds of a token's signature, by the upstream's clock; None if it is none of
    ours.
    """
    try:
        payload = json.loads(_unb64url(bearer.split(".")[1]))
        issued = payload["iat"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return issued if type(issued) is int else None


def read_key(reply: Reply, page: str) -> XsrfKey:
    """The key of a getoxsrf answer: optional `)]}'`, any white space, JSON. Raises
    CredentialRefused or UpstreamError.

    `page`: the host where the account signs in, for the message.
    """
    with ErrorContext("getoxsrf", reply, reply.body):
        return _key(reply, page)


def _key(reply: Reply, page: str) -> XsrfKey:
    advice = _ADVICE.format(page=page)
    if reply.status >= 500 or reply.status == 429:
        raise UpstreamBroken(f"the sign-in service answered {reply.status}")
    if reply.status == 403:
        raise AccountRestricted(
            f"the account's cookies were refused (status 403): open {page} with this account to see"
            f" whether it is restricted. If not: {advice}"
        )
    if reply.status != 200:
        raise CredentialRefused(f"the account's cookies were refused ({_refusal(reply)}). {advice}")
    if not reply.body:
        raise UpstreamBroken("the sign-in service sent an empty answer")
    text = reply.body.decode("utf-8", "replace").strip().removeprefix(")]}'")
    try:
        answer = jsontext.decode(text.strip())
        key, key_id = answer["xsrfToken"], answer["keyId"]
        if not isinstance(key_id, str) or not key_id:
            raise ValueError("no key id")
        return XsrfKey(_unb64url(key), key_id)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CredentialRefused(
            f"the sign-in service gave a page in place of a key. {advice}"
        ) from error


def server_time(reply: Reply) -> float | None:
    """The upstream's clock (Unix seconds) by the answer's Date header; None without a usable
    one.
    """
    try:
        date = parsedate_to_datetime(reply.headers["Date"])
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _refusal(reply: Reply) -> str:
    return "redirected to a sign-in page" if 300 <= reply.status < 400 else f"status {reply.status}"


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64url(text: str) -> bytes:
    """Decode base64 in either alphabet, padded or not. Raises ValueError."""
    plain = text.translate({ord("+"): "-", ord("/"): "_"}).rstrip("=")
    try:
        key = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    if not key:
        raise ValueError("an empty key")
    return key


@dataclass(frozen=True, slots=True)
class Token:
    """`minted_at`: monotonic seconds; `signed_at`: Unix seconds, as stored."""

    bearer: str = field(repr=False)
    minted_at: float
    signed_at: float

    def age_s(self, now: float) -> float:
        """`now`: monotonic seconds."""
        return now - self.minted_at


class TokenAges:
    """Dates tokens on this process' monotonic clock, also those that another worker, another
    machine, or this one before a restart has signed.

    Wall clocks are trusted only at need. After one sign-in the process knows the upstream's clock,
    by which every token is dated; before that it takes the wall clocks of all workers to agree.
    """

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead_s: float | None = None  # the upstream's clock minus the monotonic one

    def now(self) -> tuple[float, float]:
        """Monotonic and Unix seconds."""
        return self._monotonic(), self._clock()

    def clock_observed(self, upstream_time: float) -> None:
        """Note the upstream's clock (Unix seconds), as an answer has just given it."""
        self._ahead_s = upstream_time - self._monotonic()

    def token(self, stored: StoredToken) -> Token | None:
        """The token of a record; None if it seems to come from the future, so that its age is
        unknown.
        """
        now = self._monotonic()
        issued = issued_at(stored.bearer)
        if self._ahead_s is None or issued is None:
            age = self._clock() - stored.signed_at
        else:
            age = now + self._ahead_s - issued
        if age < -TOLERANCE_S:
            return None
        return Token(stored.bearer, now - max(age, 0.0), stored.signed_at)
