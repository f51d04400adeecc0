"""What was to be expected at a place of a paste and could not be read there: told beside what was
found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gbproxy.settings import consumer

Kind = Literal["bare", "damaged", "unread", "mixed", "json", "consumer", "app"]
"""A request of the page, or a list of cookies, without the account's own; one of these with a value
that cannot be; the name of one in a text that is no known form; those of several jars in one list;
JSON that is broken; cookies of the consumer app; a request or address of it.
"""

WRONG_SERVICE = frozenset({"consumer", "app"})

_SAID = {
    "bare": (
        "no __Secure-C_SES stands there, where it was to be expected: the browser's Copy as fetch"
        " and a sanitized HAR leave the cookies out; copy the request as cURL"
    ),
    "damaged": (
        "a value there is none that __Secure-C_SES or __Host-C_OSES can have: it is cut off,"
        " blacked out or damaged"
    ),
    "unread": (
        "the name of a cookie stands there, but its value could not be read: paste it as"
        " name=value, or copy the request as cURL"
    ),
    "mixed": (
        "the cookies of several sign-ins are mixed there, and no __Host-C_OSES was taken, as nobody"
        " can say to which it belongs: paste one sign-in's after the other"
    ),
    "consumer": (
        f"the cookies there (__Secure-1PSID, SID and the like) are {consumer.WRONG_SERVICE}"
    ),
    "app": f"what stands there is {consumer.WRONG_SERVICE}",
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """`line`: where its piece begins, counted from 1. `broken_at`: the line where JSON ceases to be
    JSON.
    """

    kind: Kind
    line: int = 0
    broken_at: int = 0

    def __str__(self) -> str:
        if self.kind == "json":
            return f"the JSON that begins in line {self.line} is broken in line {self.broken_at}"
        return f"line {self.line}: {_SAID[self.kind]}"
