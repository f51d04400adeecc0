"""The console's own files, each under a name that has its digest: browsers keep them for good."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Blueprint, Response, abort

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_A_YEAR = "public, max-age=31536000, immutable"


class Assets:
    """All files are read once, when it is made."""

    def __init__(self) -> None:
        self._contents: dict[str, tuple[bytes, str]] = {}
        self._served_as: dict[str, str] = {}
        for path in sorted(_FOLDER.iterdir()):
            if path.suffix in _TYPES:
                content = path.read_bytes()
                name = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
                self._contents[name] = (content, _TYPES[path.suffix])
                self._served_as[path.name] = name

    def name(self, file: str) -> str:
        """The name under which a file of `static/` is served."""
        return self._served_as[file]

    def add_route(self, bp: Blueprint) -> None:
        @bp.get("/static/<name>")
        def asset(name: str) -> Response:
            if name not in self._contents:
                abort(404)
            content, kind = self._contents[name]
            return Response(content, content_type=kind, headers={"Cache-Control": _A_YEAR})
