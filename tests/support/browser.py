"""A browser that is signed in to the simulator's pages, by their own names, and writes down what it
sends as a HAR file.

Source: http://www.softwareishard.com/blog/har-12-spec/, as Chromium's and Firefox's developer tools
fill it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import requests

from gbproxy.simulator import Account, Simulator
from tests.support.widget_client import HOSTS, Client, sign

Kind = Literal["chromium", "firefox"]


class Browser:
    """Sends real requests to the simulator, with the cookies that a jar keeps by host."""

    def __init__(self, upstream: Simulator, account: Account, kind: Kind, user_agent: str) -> None:
        self._client = Client(upstream, account)
        self._account = account
        self._kind = kind
        self._entries: list[dict[str, Any]] = []
        self._page, self._api = HOSTS[self._client.edition]
        place = "" if self._client.location == "global" else f"/{self._client.location}"
        self.address = f"{self._page}{place}/home/cid/{account.config_id}?csesidx={account.csesidx}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.proxies = {"https": upstream.environment_by_name()["PROXY"]}
        self._session.verify = str(upstream.ca_file)
        self._session.headers = {
            "user-agent": user_agent,
            "accept": "*/*",
            "accept-language": "en-US,en;q=0.9",
        }
        self._session.hooks = {
            "response": lambda response, **_: self._entries.append(self._entry(response))
        }
        host = urlsplit(self._page).hostname or ""
        self._keep("__Secure-C_SES", account.secure_c_ses, f".{host}")
        self._keep("__Host-C_OSES", account.host_c_oses, host)
        self._keep("NID", "526=of_the_search_do_not_send", ".google.com")
        self._keep("_ga", "GA1.1.1048576.1789000000", f".{host}")
        for name, value in account.cookies.items():
            self._keep(name, value, f".{host}")

    def close(self) -> None:
        self._session.close()

    def open_and_ask(self) -> str:
        """Open the page, sign in, and ask in a new session; gives the answers' status codes, in
        order, as text.
        """
        self._session.get(self.address, timeout=10)
        path = f"{self._page}/auth/getoxsrf?csesidx={self._account.csesidx}"
        answer = self._session.get(path, headers={"referer": self.address}, timeout=10)
        key = json.loads(answer.text.strip().removeprefix(")]}'"))
        token = sign(
            _bytes(key["xsrfToken"]),
            {"alg": "HS256", "typ": "JWT", "kid": key["keyId"]},
            self._client.claims(),
        )
        self._call("lookupWidgetConfig", {"widgetConfigId": self._account.config_id}, token)
        created = self._call(
            "widgetCreateSession", self._envelope("createSession", {"session": {}}), token
        )
        question = self._client.question("Say ok.", created.json()["session"]["name"])
        self._call("widgetStreamAssist", self._envelope("streamAssist", question), token)
        return " ".join(str(entry["response"]["status"]) for entry in self._entries)

    def har(self) -> str:
        """All that was sent so far, and what a page of another site did meanwhile."""
        creator = {
            "name": "WebInspector" if self._kind == "chromium" else "Firefox",
            "version": "537.36",
        }
        title = self.address if self._kind == "chromium" else "Gemini"
        pages = [
            {
                "id": "page_1",
                "title": title,
                "startedDateTime": _TIME,
                "pageTimings": {"onLoad": 812.5},
            }
        ]
        log = {
            "version": "1.2",
            "creator": creator,
            "pages": pages,
            "entries": [_ANOTHER_SITES, *self._entries],
        }
        return json.dumps({"log": log}, indent=2)

    def _keep(self, name: str, value: str, domain: str) -> None:
        self._session.cookies.set(name, value, domain=domain, path="/", secure=True)

    def _envelope(self, verb: str, request: object) -> dict[str, Any]:
        return {
            "configId": self._account.config_id,
            "additionalParams": {"token": "-"},
            f"{verb}Request": request,
        }

    def _call(self, verb: str, body: object, token: str) -> requests.Response:
        url = f"{self._api}/v1alpha/locations/{self._client.location}/{verb}"
        headers = {
            "authorization": f"Bearer {token}",
            "origin": self._page,
            "referer": f"{self._page}/",
            "x-server-token": self._account.server_token,
            "x-server-timeout": "1800",
        }
        return self._session.post(url, json=body, headers=headers, timeout=10)

    def _entry(self, response: requests.Response) -> dict[str, Any]:
        asked, parts = response.request, urlsplit(str(response.request.url))
        headers = [*asked.headers.items()]
        if self._kind == "chromium":
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            pseudo = {
                ":authority": parts.netloc,
                ":method": str(asked.method),
                ":path": path,
                ":scheme": "https",
            }
            headers = [*pseudo.items(), *((name.lower(), value) for name, value in headers)]
        else:
            headers = [("Host", parts.netloc), *((name.title(), value) for name, value in headers)]
        cookies = [
            pair.partition("=") for pair in asked.headers.get("Cookie", "").split("; ") if pair
        ]
        body = asked.body.decode() if isinstance(asked.body, bytes) else asked.body
        request = {
            "method": asked.method,
            "url": asked.url,
            "httpVersion": "http/2.0",
            "headers": _pairs(headers),
            "queryString": [],
            "cookies": _pairs((name, value) for name, _, value in cookies),
            "headersSize": -1,
            "bodySize": len(body or ""),
        }
        if body:
            request["postData"] = {"mimeType": "application/json", "text": body}
        return {
            "startedDateTime": _TIME,
            "time": 41.7,
            "request": request,
            "response": _answer(response, self._kind),
            "cache": {},
            "timings": {"send": 0.1, "wait": 40.2, "receive": 1.4},
            "pageref": "page_1",
        }


def _answer(response: requests.Response, kind: Kind) -> dict[str, Any]:
    set_cookies = response.raw.headers.getlist("set-cookie")
    headers = [
        (name, value) for name, value in response.headers.items() if name.lower() != "set-cookie"
    ]
    # Chromium puts several into one, a line for each.
    lines = ["\n".join(set_cookies)] if kind == "chromium" and set_cookies else set_cookies
    return {
        "status": response.status_code,
        "statusText": response.reason,
        "httpVersion": "http/2.0",
        "headers": _pairs([*headers, *(("set-cookie", line) for line in lines)]),
        "cookies": [],
        "content": {
            "size": len(response.content),
            "mimeType": response.headers.get("content-type", ""),
        },
        "redirectURL": response.headers.get("location", ""),
        "headersSize": -1,
        "bodySize": -1,
    }


def _pairs(pairs: Iterable[tuple[str, str | bytes]]) -> list[dict[str, str]]:
    return [
        {"name": n, "value": v.decode("latin-1") if isinstance(v, bytes) else str(v)}
        for n, v in pairs
    ]


def _bytes(key: str) -> bytes:
    return base64.urlsafe_b64decode(key + "==")


_TIME = "2026-11-29T10:00:00.000Z"
_ANOTHER_SITES: Mapping[str, Any] = {
    "startedDateTime": _TIME,
    "request": {
        "method": "GET",
        "url": "https://www.example-ads.com/pixel?u=https%3A%2F%2Fbusiness.gemini.google%2Fhome",
        "headers": [
            {"name": "cookie", "value": "id=do_not_send; __Secure-C_SES=CSE.do_not_send"},
            {"name": "x-server-token", "value": "CAMSdo+not+send=="},
            {"name": "user-agent", "value": "Mozilla/5.0 (do_not_send)"},
        ],
        "cookies": [{"name": "id", "value": "do_not_send"}],
    },
    "response": {"status": 200, "headers": [], "content": {}},
}
