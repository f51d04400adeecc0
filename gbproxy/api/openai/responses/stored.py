"""Stored responses: what a request needs of those before it, and what is kept of each answer.

All of it is encrypted, and only the API key that has made a response finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gbproxy.api.openai.responses import item_ids
from gbproxy.api.openai.responses.body import Item
from gbproxy.domain import jsontext
from gbproxy.domain.principal import Principal
from gbproxy.errors import NotFound, PreviousResponseNotFound, StorageUnavailable
from gbproxy.storage.responses import ResponseRows
from gbproxy.web.body import run_in_thread

if TYPE_CHECKING:
    from gbproxy.api.openai.responses.request import ParsedResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

_LARGE_BYTES = 256 * 1024  # from here on encryption would hold up the worker's other requests


class History:
    """The stored responses of all keys. All methods raise StorageUnavailable."""

    def __init__(self, rows: ResponseRows) -> None:
        self._rows = rows

    def items(self, principal: Principal, response_id: str) -> list[Item]:
        """All items up to this response's last one, the oldest first. Raises
        PreviousResponseNotFound, also when one of the responses before it is gone: an answer that
        knows half of a conversation would be a wrong one.
        """
        chain = self._rows.chain(principal.key_digest, response_id)
        contents = [self._opened(sealed) for sealed in chain]
        if not contents or None in contents:
            raise PreviousResponseNotFound(response_id)
        return [
            item
            for content in contents
            for item in (*content["input"], *content["response"]["output"])
        ]

    def item(self, principal: Principal, item_id: str) -> Item | None:
        """The item of this id, if it belongs to a stored response."""
        response_id = item_ids.response_of(item_id)
        content = self._content(principal, response_id) if response_id is not None else None
        if content is None:
            return None
        known = (*content["response"]["output"], *content["input"])
        return next((item for item in known if item.get("id") == item_id), None)

    def response(self, principal: Principal, response_id: str) -> dict[str, Any]:
        """The response as it was answered. Raises NotFound."""
        content = self._content(principal, response_id)
        if content is None:
            raise _no_such(response_id)
        found: dict[str, Any] = content["response"]
        return found

    def input_items(self, principal: Principal, response_id: str) -> list[Item]:
        """The items that the response answers, those of the responses before it included, the
        oldest first. Raises NotFound.
        """
        answered = len(self.response(principal, response_id)["output"])
        try:
            items = self.items(principal, response_id)
        except PreviousResponseNotFound:
            raise _no_such(response_id) from None
        return items[: len(items) - answered]

    def remove(self, principal: Principal, response_id: str) -> None:
        """Raises NotFound."""
        if not self._rows.remove(principal.key_digest, response_id):
            raise _no_such(response_id)

    def keep(self, token: str, response: dict[str, Any], parsed: ParsedResponse) -> bool:
        """Store a response that has ended; its input items get the ids under which they are listed.
        False: the database is away, and the response is answered all the same.
        """
        content = {"input": item_ids.with_ids(parsed.items, token), "response": response}
        encoded = jsontext.encode_bytes(content)
        try:
            self._rows.add(
                parsed.chat.key_digest,
                response["id"],
                parsed.body.previous_response_id,
                _aside(encoded, lambda: self._rows.seal(encoded)),
            )
        except StorageUnavailable as error:
            log.warning("response.not_stored", extra={"code": error.code})
            return False
        return True

    def _content(self, principal: Principal, response_id: str) -> Any:
        return self._opened(self._rows.get(principal.key_digest, response_id))

    def _opened(self, sealed: bytes | None) -> Any:
        """None for none, and for one under a key that is not known any more."""
        if sealed is None:
            return None
        content = _aside(sealed, lambda: self._rows.open(sealed))
        return None if content is None else jsontext.decode_bytes(content)


def _aside(data: bytes, work: Callable[[], T]) -> T:
    return work() if len(data) < _LARGE_BYTES else run_in_thread(work)


def _no_such(response_id: str) -> NotFound:
    return NotFound(f"there is no response {response_id[:100]!r} (any more)")
