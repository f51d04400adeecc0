"""Authenticates a request: finds its key, its principal, and the address of the client."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from flask import g, request

from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.domain.networks import is_within, read_address
from gbproxy.domain.principal import CONSOLE, Principal
from gbproxy.errors import AddressNotAllowed, Unauthenticated
from gbproxy.observability import request_context
from gbproxy.web.operations import secures

log = logging.getLogger(__name__)

# A word alone in Authorization is a key that was sent without a scheme, unless it is the name of
# one. Source: https://www.iana.org/assignments/http-authschemes
_SCHEMES = frozenset({
    "basic", "bearer", "concealed", "digest", "dpop", "gnap", "hoba", "mutual", "negotiate",
    "ntlm", "oauth", "privatetoken", "scram-sha-1", "scram-sha-256", "vapid",
})  # fmt: skip


def key_check(
    keys: KeyVerifier, from_console: Callable[[], bool] = lambda: False
) -> Callable[[], None]:
    """A `before_request` function for what needs a key. Raises Unauthenticated, AddressNotAllowed
    or StorageUnavailable.

    `from_console`: asked of a request without a key; True if it comes from a page of the console.
    """

    @secures("client")
    def check() -> None:
        key = presented_key()
        if key is None:
            if from_console():
                g.principal = replace(CONSOLE, address=client_network(request.remote_addr or ""))
                return
            raise Unauthenticated(
                "an API key is required: Authorization: Bearer KEY, x-api-key, x-goog-api-key or"
                " ?key=KEY"
            )
        found = keys.find(key)
        request_context.current().log_fields["key"] = found.fingerprint
        address = request.remote_addr or ""
        networks = found.policy.allowed_addresses
        if networks is not None and not is_within(address, networks):
            log.warning("api_key.refused", extra={"key": found.fingerprint, "address": address})
            raise AddressNotAllowed(address)
        g.principal = Principal(
            found.key_digest, found.key_id, found.policy, client_network(address)
        )

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
    found = read_address(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found), 64), strict=False))
    return address if found is None else str(found)
