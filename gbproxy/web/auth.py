"""Who is asking: an API key from any of the four places where clients put it, and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flask import g, request

from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.domain.principal import Principal, fingerprint
from gbproxy.errors import Unauthenticated
from gbproxy.observability import request_context
from gbproxy.web.address import network
from gbproxy.web.keys import presented_key


def required(keys: KeyVerifier) -> Callable[[], None]:
    """A `before_request` function for what needs a key. Raises Unauthenticated or
    StorageUnavailable.
    """

    def check() -> None:
        key = presented_key()
        if key is None:
            raise Unauthenticated(
                "an API key is required: Authorization: Bearer KEY, x-api-key, x-goog-api-key or"
                " ?key=KEY"
            )
        found = keys.find(key)
        request_context.current().log_fields["key"] = fingerprint(key)
        g.principal = replace(found, address=network(request.remote_addr or ""))

    return check


def principal() -> Principal:
    """Who is asking, once the key was checked."""
    found: Principal = g.principal
    return found
