"""The business host for tests: its answers are given, and what was sent is noted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

import requests
import requests.structures

from gbproxy.outbound import Reply
from gbproxy.storage.tokens_cookies import RenewedCookies
from gbproxy.upstreams.widget.auth import WidgetAuth
from gbproxy.upstreams.widget.auth.records import NoTokens
from gbproxy.upstreams.widget.endpoints import EndpointMap
from tests.support.accounts import widget_account

BASE = "https://business.gemini.google"
NOW = 1_700_000_000
ACCOUNT = widget_account(
    id="one",
    name="one",
    csesidx="123456789",
    config_id="c-1",
    secure_c_ses="CSE.old",
    host_c_oses="COS.old",
)
KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


class NoCookies:
    """Nothing is shared with other workers."""

    def keep(self, account_key: str, renewed: RenewedCookies) -> bool:
        return True

    def read(self, since: float = 0.0) -> Mapping[str, RenewedCookies]:
        return {}


def lone_auth(outbound: Any, endpoints: EndpointMap | None = None, **options: Any) -> WidgetAuth:
    """The sign-in of a worker that shares nothing with others."""
    return WidgetAuth(
        outbound, endpoints or EndpointMap(), tokens=NoTokens(), cookies=NoCookies(), **options
    )


class FakeHttpClient:
    """An outbound whose answers are given; it notes what was sent. The last answer is given again
    and again.
    """

    def __init__(self, *answers: Reply | BaseException | Callable[[], Reply]) -> None:
        self.urls: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self._answers = list(answers)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        assert (method, body) == ("GET", None)
        self.urls.append(url)
        self.headers.append(dict(headers))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Reply) else answer()

    @property
    def cookies(self) -> list[str]:
        return [headers["Cookie"] for headers in self.headers]


def reply(
    status: int = 200,
    body: bytes = b"",
    *set_cookies: str,
    location: str | None = None,
    date: str | None = None,
) -> Reply:
    headers = {"Location": location, "Date": date}
    given = requests.structures.CaseInsensitiveDict(
        {name: value for name, value in headers.items() if value}
    )
    return Reply(status, given, set_cookies, body)


def key_reply(
    key_id: str = "test-key-1", *, date: float | None = NOW, text: str = KEY_TEXT
) -> Reply:
    body = ")]}'\n" + json.dumps({"xsrfToken": text, "keyId": key_id})
    return reply(200, body.encode(), date=None if date is None else formatdate(date, usegmt=True))


class Gate:
    """An answer that waits until it is let through."""

    def __init__(self, answer: Reply | BaseException) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self._answer = answer

    def __call__(self) -> Reply:
        self.reached.set()
        assert self.open.wait(60)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer
