"""Lets the configured web pages use the API from a browser. Source:
https://fetch.spec.whatwg.org/#http-cors-protocol

Never with credentials: keys come in headers, and the console's cookie is of use to the console's
own pages alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gbproxy.settings.network import pattern

_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
_EXPOSED = (
    "Retry-After, X-Conversation-Id, request-id, x-request-id, x-should-retry, "
    "x-gbproxy-attempts, x-gbproxy-overhead-ms, x-gbproxy-ignored, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, "
    "Accept-Ranges, Content-Disposition, Content-Range, "
    "X-Goog-Upload-URL, X-Goog-Upload-Control-URL, X-Goog-Upload-Chunk-Granularity, "
    "X-Goog-Upload-Status, X-Goog-Upload-Size-Received"
)
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_DAY_S = "86400"


class Cors:
    """`origins` are those of CORS_ORIGINS, as settings give them; one `*` allows every page.

    What lies below a `private` path is for none.
    """

    def __init__(
        self, origins: Collection[str], private: Collection[str] = ("/api", "/admin")
    ) -> None:
        self._all = "*" in origins
        self._private = tuple(f"{path}/" for path in private)
        self._origins = pattern(tuple(origins))

    def is_private(self, path: str) -> bool:
        """True where no page of another origin is ever allowed; `path` as routes see it."""
        return f"{path}/".startswith(self._private)

    def headers(self, path: str, origin: str | None) -> dict[str, str]:
        """The headers of an answer; `path` as routes see it, `origin` as the browser sent it."""
        if self.is_private(path):
            return {}
        if self._all:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _EXPOSED}
        if origin is None or not self._origins.fullmatch(origin.lower()):
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED,
            "Vary": "Origin",
        }

    def preflight(self, path: str, origin: str | None, asked_headers: str | None) -> dict[str, str]:
        """The headers of an answer to OPTIONS. All headers that are asked for are allowed: each SDK
        has its own.
        """
        answer = {**self.headers(path, origin), "Allow": _METHODS}
        if "Access-Control-Allow-Origin" in answer:
            answer |= {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Max-Age": _DAY_S}
            if (
                asked_headers
                and len(asked_headers) < 4096
                and _HEADER_NAMES.fullmatch(asked_headers.strip())
            ):
                answer["Access-Control-Allow-Headers"] = asked_headers.strip()
        return answer
