"""The key that a request shows: where clients put it, and where administrators do."""

from __future__ import annotations

from flask import request

# A word alone in Authorization is a key that was sent without a scheme, unless it is the name of
# one. Source: https://www.iana.org/assignments/http-authschemes
_SCHEMES = frozenset({
    "basic", "bearer", "concealed", "digest", "dpop", "gnap", "hoba", "mutual", "negotiate",
    "ntlm", "oauth", "privatetoken", "scram-sha-1", "scram-sha-256", "vapid",
})  # fmt: skip


def presented_key() -> str | None:
    """The client's key in the first place that holds one: Authorization, x-api-key, x-goog-api-key,
    ?key=.

    What a proxy in front asks for (`Authorization: Basic …` and other schemes) is no key: the next
    place counts.
    """
    scheme, credentials = _authorization()
    bare = scheme if not credentials and scheme.lower() not in _SCHEMES else ""
    places = (bearer_key(), bare, *_other_headers(), request.args.get("key", ""))
    return _first(places)


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
    scheme, *credentials = request.headers.get("Authorization", "").split(maxsplit=1) or [""]
    return scheme, "".join(credentials).strip()


def _other_headers() -> tuple[str, str]:
    return request.headers.get("x-api-key", ""), request.headers.get("x-goog-api-key", "")


def _first(places: tuple[str | None, ...]) -> str | None:
    return next((place.strip() for place in places if place and place.strip()), None)
