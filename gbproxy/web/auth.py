"""Authenticates a request: finds its key, its principal, and the address of the client."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from flask import g, request

from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.domain.principal import Principal
from gbproxy.errors import Unauthenticated
from gbproxy.observability import request_context
from gbproxy.web.operations import secures

# A word alone in Authorization is a key that was sent without a scheme, unless it is the name of
# one. Source: https://www.iana.org/assignments/http-authschemes
_SCHEMES = frozenset({
    "basic", "bearer", "concealed", "digest", "dpop", "gnap", "hoba", "mutual", "negotiate",
    "ntlm", "oauth", "privatetoken", "scram-sha-1", "scram-sha-256", "vapid",
})  # fmt: skip
# Some proxies write the client's port behind its address, and then IPv6 in brackets.
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::[0-9]+)?|(?P<v4>[0-9.]+):[0-9]+")


def key_check(keys: KeyVerifier) -> Callable[[], None]:
    """A `before_request` function for what needs a key. Raises Unauthenticated or
    StorageUnavailable.
    """

    @secures("client")
    def check() -> None:
        key = presented_key()
        if key is None:
            raise Unauthenticated(
                "an API key is required: Authorization: Bearer KEY, x-api-key, x-goog-api-key or"
                " ?key=KEY"
            )
        found = keys.find(key)
        request_context.current().log_fields["key"] = found.fingerprint
        address = client_network(request.remote_addr or "")
        g.principal = Principal(found.key_digest, found.key_id, found.policy, address)

    return check


def principal() -> Principal:
    """The principal of the request, once its key was checked."""
    found: Principal = g.principal
    return found


def presented_key() -> str | None:
    """The client's key in the first place that holds one: Authorization, x-api-key, x-goog-api-key,
    ?key=.

    What a proxy in front asks for (`Authorization: Basic …` and other schemes) is no key: the next
    place counts.
    """
    scheme, credentials = _authorization()
    if credentials and scheme.lower() == "bearer":
        return credentials
    bare = scheme if not credentials and scheme.lower() not in _SCHEMES else ""
    return _first((bare, *_other_headers(), request.args.get("key", "")))


def bearer_key() -> str | None:
    """The key in `Authorization: Bearer`, and in no other place."""
    scheme, credentials = _authorization()
    return credentials or None if scheme.lower() == "bearer" else None


def administrative_key() -> str | None:
    """The key in `Authorization: Bearer`; where a proxy in front has taken that header for itself,
    in x-api-key.

    Never in the address, which logs and histories keep.
    """
    scheme, credentials = _authorization()
    is_taken = bool(credentials) and scheme.lower() != "bearer"
    return _first(_other_headers()) if is_taken else bearer_key()


def _authorization() -> tuple[str, str]:
    """The scheme, and what stands behind it."""
    header: str = request.environ.get("HTTP_AUTHORIZATION", "")
    scheme, *credentials = header.split(maxsplit=1) or [""]
    return scheme, "".join(credentials).strip()


def _other_headers() -> tuple[str, str]:
    return request.headers.get("x-api-key", ""), request.headers.get("x-goog-api-key", "")


def _first(places: tuple[str | None, ...]) -> str | None:
    return next((place.strip() for place in places if place and place.strip()), None)


@lru_cache(maxsize=1024)
def client_network(address: str) -> str:
    """The network of one customer of a provider: an address of IPv4, or a /64 of IPv6. A text that
    is no address is returned as it is.
    """
    written = _WITH_PORT.fullmatch(address)
    try:
        parsed = ipaddress.ip_address(
            address if written is None else written["v6"] or written["v4"] or ""
        )
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
