"""Reads single words of a reply, apart from all that may quote somebody. Source: docs/upstream.md,
errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from gbproxy.domain.redaction import word
from gbproxy.errors import GatewayError, UpstreamWords
from gbproxy.upstreams.stream_assist.fields import as_line, as_list, as_mapping

_MOST = 5  # reasons, quotas
_MESSAGE_CHARS = 500
_BODY_BYTES = 8 * 1024
_QUOTA_NAMES = ("quotaId", "quota_id", "quota_limit", "quotaMetric", "quota_metric")


class Reply(Protocol):
    """An answer, whole or still arriving."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Heard:
    """A `with` block in which a reply is read: an error that leaves it carries what the reply said,
    and to which verb.
    """

    __slots__ = ("_body", "_reply", "_verb")

    def __init__(self, verb: str, reply: Reply, body: bytes = b"") -> None:
        self._verb = verb
        self._reply = reply
        self._body = body

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if not isinstance(error, GatewayError):
            return
        error.said = of_reply(self._verb, self._reply, self._body, error.said)


def of_reply(
    verb: str, reply: Reply, body: bytes = b"", known: UpstreamWords | None = None
) -> UpstreamWords:
    """Read the reply to a verb before its body is read; `known` was read from the body."""
    known = known or UpstreamWords()
    return replace(
        known,
        verb=verb,
        http_status=reply.status,
        content_type=_word(reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()),
        body=known.body or body[:_BODY_BYTES],
    )


def of_error(error: Mapping[str, Any], body: bytes = b"") -> UpstreamWords:
    """Read Google's `{"message", "status", "details"}`, any of which may be missing; `body` is what
    it came in.
    """
    details = [as_mapping(detail) for detail in as_list(error.get("details"))]
    return UpstreamWords(
        status=enum_word(error.get("status")),
        reasons=_distinct(enum_word(detail.get("reason")) for detail in details),
        domain=next(filter(None, (_word(detail.get("domain")) for detail in details)), ""),
        quotas=_distinct(_word(name) for detail in details for name in _quotas(detail)),
        message=as_line(error.get("message"), _MESSAGE_CHARS),
        body=body[:_BODY_BYTES],
    )


def enum_word(value: object) -> str:
    """A member of one of Google's enums, which are in capitals; "" for anything else."""
    found = word(value)
    return found if found.isupper() else ""


def _quotas(detail: Mapping[str, Any]) -> Iterator[object]:
    for named in (
        *map(as_mapping, as_list(detail.get("violations"))),
        as_mapping(detail.get("metadata")),
    ):
        yield from map(named.get, _QUOTA_NAMES)


def _distinct(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, words)))[:_MOST]


def _word(value: object) -> str:
    found = word(value)
    return "" if "@" in found else found  # it may be an address of somebody's
