"""The playground: a chat with any model, by the same `/v1/chat/completions` that clients use.

The page asks by its script (`static/playground.js`), with the session in place of a key
(`api_access.py`).
"""

from __future__ import annotations

from flask import Blueprint, Response

from gbproxy.console.address import gateway_url
from gbproxy.console.pages import Pages


def add_routes(bp: Blueprint, pages: Pages, default_model: str, public_url: str | None) -> None:
    @bp.get("/playground")
    def playground() -> Response:
        return pages.page(
            "playground.html", default_model=default_model, url=gateway_url(public_url)
        )
