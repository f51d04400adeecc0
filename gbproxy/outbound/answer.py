"""The head of an answer, and whether the answer ended exactly: only then may its connection serve
another request.

http.client reads over `100 Continue` alone, takes the first of two lengths, and never looks at what
is left in its buffer. Source: RFC 9112, 6.3 and 9.2; RFC 9110, 15.2.
"""

from __future__ import annotations

import http.client
import io
import re
from http import HTTPStatus
from typing import Any

from gbproxy.outbound.reader import AnswerFile, reader_of

_MAX_HEAD_BYTES = 1024 * 1024  # with all interim answers
_MAX_INTERIM = 100
_LENGTH = re.compile(r"[0-9]{1,18}")
# Some servers send a body with them all the same, perhaps later, when nobody looks.
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Answer(http.client.HTTPResponse):
    """An answer that is read until `reader.until`, on the monotonic clock."""

    def __init__(
        self, sock: Any, debuglevel: int = 0, method: str | None = None, *, until: float
    ) -> None:
        super().__init__(sock, debuglevel, method)
        self._is_to_head = method == "HEAD"
        self.reader = reader_of(sock, until)
        self._file = AnswerFile(self.fp.detach(), self.reader)
        self._file.most_bytes = _MAX_HEAD_BYTES
        self.fp = io.BufferedReader(self._file)
        self._is_plain = False  # in where its body ends
        self.ended_exactly = False

    def begin(self) -> None:
        super().begin()
        self._file.most_bytes = None
        self._read_framing()

    def end(self) -> None:
        """The body was read to its end, by whoever took it from `fp` and `reader`."""
        self._close_conn()

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MAX_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            if status == HTTPStatus.SWITCHING_PROTOCOLS:  # which nobody has asked for
                break
            http.client.parse_headers(self.fp)
        raise http.client.BadStatusLine("interim answers without end")

    def _read_framing(self) -> None:
        """See where the body ends as the standard sees it. Raises HTTPException where it cannot be
        told.
        """
        names = {name.lower() for name in self.headers.keys()}  # noqa: SIM118  without what reading the values costs
        codings, lengths = "", set[str]()
        if "transfer-encoding" in names:
            codings = ", ".join(self.headers.get_all("Transfer-Encoding", ())).strip().lower()
        if "content-length" in names:
            values = self.headers.get_all("Content-Length", ())
            lengths = {length.strip() for value in values for length in value.split(",")}
        if codings not in ("", "identity", "chunked"):
            raise http.client.HTTPException("the answer's transfer coding is not known")
        if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            raise http.client.HTTPException("the answer's length cannot be told")
        is_chunked = codings == "chunked"
        # both: somebody before us may have taken it otherwise
        self._is_plain = not (is_chunked and lengths)
        if self.status in _BODILESS or self._is_to_head:
            self.chunked = False
        elif is_chunked != self.chunked or (
            lengths and self.length is None and not is_chunked
        ):  # said oddly, or twice alike
            self.chunked, self.chunk_left = is_chunked, None
            self.length = None if is_chunked else int(lengths.pop())
            self.will_close = self._check_close()  # type: ignore[attr-defined]

    def _close_conn(self) -> None:
        is_kept = self.version == 11 and not self._is_to_head and self.status not in _BODILESS
        has_ended = is_kept and self._is_plain and not self.length
        self.ended_exactly = has_ended and not self._file.has_left(self.fp)
        super()._close_conn()  # type: ignore[misc]
