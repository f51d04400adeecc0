"""The response of an answer, as Flask hands it to the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class AnswerResponse(Response):
    """The response of an answer; one to HEAD says its length itself. Headers and chunks go to the
    server as they are, not copied and encoded.
    """

    response: Iterable[bytes]

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.response)
