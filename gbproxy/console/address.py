"""The address of this gateway, as pages tell it to people."""

from __future__ import annotations

from flask import request


def gateway_url(public_url: str | None) -> str:
    """Without a slash at its end. `public_url`: None: as the browser has reached it."""
    return (public_url or request.url_root).rstrip("/")
