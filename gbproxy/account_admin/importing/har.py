"""HAR files, as Chromium and Firefox write them, with or without cookies and authorization
("sanitized").

Source: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gbproxy.account_admin.importing.hosts import Hosts
from gbproxy.account_admin.importing.partial_account import (
    PartialAccount,
    Request,
    from_address,
    from_request,
)
from gbproxy.account_admin.importing.work_limit import WorkLimit


def read(log: dict[str, Any], hosts: Hosts, limit: WorkLimit) -> Iterator[PartialAccount]:
    """What the pages and requests of a decoded `log` say, in their order; what is not shaped as HAR
    says is passed over.
    """
    for page in _objects(log.get("pages")):
        limit.spend()
        # Chromium's title of a page is its address
        yield from_address(_text(page.get("title")), hosts)
    for entry in _objects(log.get("entries")):
        limit.spend()
        request, response = _object(entry.get("request")), _object(entry.get("response"))
        headers = [*_pairs(request, "headers"), *_cookies_set(response)]
        body = _text(_object(request.get("postData")).get("text"))
        asked = Request(_text(request.get("url")), headers, _pairs(request, "cookies"), body)
        if partial := from_request(asked, hosts):
            yield partial


def _cookies_set(response: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in _pairs(response, "headers"):
        if name.lower() == "set-cookie":
            # Chromium puts several into one
            yield from ((name, line) for line in value.split("\n"))


def _pairs(message: dict[str, Any], key: str) -> list[tuple[str, str]]:
    return [
        (_text(item.get("name")), _text(item.get("value"))) for item in _objects(message.get(key))
    ]


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
