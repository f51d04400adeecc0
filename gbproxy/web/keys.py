"""The key that a request shows, and what may be kept and logged of one."""

from __future__ import annotations

from flask import request

from gbproxy.domain.principal import digest as digest  # for who imports it from here


def presented_key() -> str | None:
    """The key in the first place that holds one: Authorization, x-api-key, x-goog-api-key, ?key=."""
    scheme, _, bearer = request.headers.get("Authorization", "").strip().partition(" ")
    places = (
        bearer if scheme.lower() == "bearer" else scheme,  # another scheme counts as a key, and a wrong one
        request.headers.get("x-api-key", ""),
        request.headers.get("x-goog-api-key", ""),
        request.args.get("key", ""),
    )
    return next((place.strip() for place in places if place.strip()), None)


def bearer_key() -> str | None:
    """The key in `Authorization: Bearer`, and in no other place."""
    scheme, _, bearer = request.headers.get("Authorization", "").strip().partition(" ")
    return bearer.strip() or None if scheme.lower() == "bearer" else None


def fingerprint(key: str) -> str:
    """What a log may show of a key."""
    return digest(key).hex()[:8]
