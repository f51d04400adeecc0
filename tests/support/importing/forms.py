"""Every form in which people paste an account, made for any account.

Sources: Chromium's NetworkLogView (Edge's too), Firefox's devtools/client/netmonitor, WebKit's
Resource.generateFetchCode; what their panels give when their rows are selected and copied.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.importing import browsers

BUSINESS, ENTERPRISE = "business.gemini.google", "vertexaisearch.cloud.google"
APIS = {
    BUSINESS: "biz-discoveryengine.googleapis.com",
    ENTERPRISE: "content-discoveryengine.googleapis.com",
}
FOREIGN = "NID=526%3DforeignNid_do_not_read"


@dataclass(frozen=True)
class Person:
    """Values of one person, who is named in each of them."""

    csesidx: str
    config_id: str
    mark: str
    host: str = BUSINESS
    location: str = "global"

    @property
    def first(self) -> str:
        return f"CSE.{self.mark}_first-{self.csesidx}"

    @property
    def second(self) -> str:
        return f"COS.{self.mark}_second-{self.csesidx}"

    @property
    def page(self) -> str:
        place = "" if self.location == "global" else f"/{self.location}"
        return f"https://{self.host}{place}/home/cid/{self.config_id}?csesidx={self.csesidx}&mods"

    @property
    def path(self) -> str:
        return f"/auth/getoxsrf?csesidx={self.csesidx}"

    @property
    def string(self) -> str:
        return f"__Secure-C_SES={self.first}; __Host-C_OSES={self.second}; {self.others}"

    @property
    def others(self) -> str:
        return f"_ga=GA1.{self.mark}.1048576; __Secure-C_AUX=CAX.{self.mark}"

    @property
    def server_token(self) -> str:
        return f"CAMSEhIQ{self.mark}7d4A=="

    @property
    def user_agent(self) -> str:
        return f"Mozilla/5.0 (X11; Linux x86_64; {self.mark}) Gecko/20100101 Firefox/141.0"

    @property
    def carried(self) -> dict[str, str]:
        return {
            "edition": "enterprise" if self.host == ENTERPRISE else "business", "location": self.location,
            "cookies": self.others, "server_token": self.server_token, "user_agent": self.user_agent,
        }  # fmt: skip

    @property
    def whole(self) -> dict[str, str]:
        return {
            "secure_c_ses": self.first, "host_c_oses": self.second,
            "csesidx": self.csesidx, "config_id": self.config_id,
        }  # fmt: skip

    @property
    def headers(self) -> dict[str, str]:
        return {
            "accept": "*/*",
            "cookie": f"{FOREIGN}; {self.string}",
            "referer": self.page,
            "user-agent": self.user_agent,
        }

    @property
    def rows(self) -> list[dict[str, object]]:
        return [
            {
                "domain": ".google.com",
                "name": "NID",
                "value": "526=foreign_do_not_read",
                "storeId": None,
            },
            {
                "domain": ".google.com",
                "name": "SID",
                "value": "g.a000foreign_do_not_read",
                "storeId": None,
            },
            {
                "domain": self.host,
                "name": "__Host-C_OSES",
                "value": self.second,
                "hostOnly": True,
                "storeId": None,
            },
            {
                "domain": f".{self.host}",
                "name": "__Secure-C_SES",
                "value": self.first,
                "storeId": None,
            },
            *(
                {"domain": f".{self.host}", "name": name, "value": value, "storeId": None}
                for name, value in (pair.split("=") for pair in self.others.split("; "))
            ),
        ]

    def call(self, **more: str) -> tuple[str, dict[str, str], str]:
        """Address, headers and body of a widget call."""
        claims = json.dumps(
            {"iss": f"https://{self.host}", "sub": f"csesidx/{self.csesidx}"}
        ).encode()
        token = ".".join(["eyJh", base64.urlsafe_b64encode(claims).decode().rstrip("="), "c2ln"])
        headers = {
            "accept": "*/*", "authorization": f"Bearer {token}", "origin": f"https://{self.host}",
            "referer": f"https://{self.host}/", "user-agent": self.user_agent, "x-server-token": self.server_token, **more,
        }  # fmt: skip
        url = f"https://{APIS[self.host]}/v1alpha/locations/{self.location}/widgetStreamAssist"
        return (
            url,
            headers,
            json.dumps({"configId": self.config_id, "additionalParams": {"token": "-"}}),
        )


ANNA = Person("548217093", "7c1e9a52-4b0d-4f8e-9a63-2d5b8e71c094", "anna")
BEN = Person("611300472", "0d9f4411-77aa-4c1b-8e5e-3b1f60c2aa10", "ben", ENTERPRISE, "eu")

Form = Callable[[Person], str]


def _curl(person: Person) -> str:
    headers = {name: value for name, value in person.headers.items() if name != "cookie"}
    return browsers.curl(
        browsers.posix,
        f"https://{person.host}{person.path}",
        headers,
        cookie=f"{FOREIGN}; {person.string}",
    )


def _cmd(person: Person) -> str:
    return browsers.curl(
        browsers.windows, f"https://{person.host}{person.path}", person.headers, joint=" ^\n  "
    )


def _powershell(person: Person) -> str:
    cookies = {
        name: (value, f".{person.host}")
        for name, value in (pair.split("=") for pair in person.string.split("; "))
    }
    cookies["NID"] = ("526=foreign_do_not_read", ".google.com")
    headers = {"accept": "*/*", "referer": person.page}
    return browsers.invoke(
        f"https://{person.host}{person.path}", headers, cookies, user_agent=person.user_agent
    )


def _fetch_nodejs(person: Person) -> str:
    options = {
        "headers": {"accept": "*/*", "sec-ch-ua": '"Chromium";v="141"', "cookie": f"{FOREIGN}; {person.string}", "Referer": person.page},
        "body": None,
        "method": "GET",
    }  # fmt: skip
    return f'fetch("https://{person.host}{person.path}", {json.dumps(options, indent=2)});'


def _fetch_safari(person: Person) -> str:
    options = {
        "cache": "default", "credentials": "include",
        "headers": {"Accept": "*/*", "Cookie": person.string}, "method": "GET", "referrer": person.page,
    }  # fmt: skip
    return f'fetch("https://{person.host}{person.path}", {json.dumps(options, indent=4)})'


def _fetch_firefox(person: Person) -> str:
    options = {
        "credentials": "include", "headers": {"User-Agent": person.user_agent, "Cookie": person.string},
        "referrer": person.page, "method": "GET", "mode": "cors",
    }  # fmt: skip
    return f'await fetch("https://{person.host}{person.path}", {json.dumps(options, indent=4)});'


def _fetch_by_hand(person: Person) -> str:
    return (
        f"const answer = await fetch('https://{person.host}{person.path}', {{\n"
        f"  headers: {{ cookie: '{person.string}', referer: `{person.page}` }},\n}})"
    )


def _pseudo(person: Person) -> list[tuple[str, str]]:
    return [
        (":authority", person.host),
        (":method", "GET"),
        (":path", person.path),
        (":scheme", "https"),
    ]


def _table(person: Person, between: str, after: str = "\n") -> str:
    pairs = [*_pseudo(person), *person.headers.items()]
    return after.join(f"{name}{between}{value}" for name, value in pairs)


def _raw(person: Person) -> str:
    lines = [f"{name.title()}: {value}" for name, value in person.headers.items()]
    return "\n".join([f"GET {person.path} HTTP/2", f"Host: {person.host}", *lines])


def _firefox_table(person: Person) -> str:
    return "\n".join(
        f"{name.title()}\n\t{value}"
        for name, value in {"host": person.host, **person.headers}.items()
    )


def _account(person: Person) -> dict[str, object]:
    return {"name": f"{person.mark}@example.com", **person.whole}


def _beside_ids(person: Person) -> dict[str, object]:
    return {"cookies": person.rows, "configId": person.config_id, "csesidx": person.csesidx}


FORMS: dict[str, Form] = {
    "address": lambda person: person.page,
    "curl": _curl,
    "curl behind a prompt": lambda person: f"$ {_curl(person)}",
    "curl behind a host's prompt": lambda person: f"user@host:~$ {_curl(person)}",
    "curl in a list": lambda person: f"- {_curl(person)}",
    "curl by sudo": lambda person: f"sudo {_curl(person)}",
    "curl by its path": lambda person: f"1. /usr/bin/{_curl(person)}",
    "curl behind words": lambda person: f"here it is: {_curl(person)}",
    "curl between fences": lambda person: f"```bash\n{_curl(person)}\n```",
    "curl for cmd": _cmd,
    "curl behind cmd's prompt": lambda person: f"C:\\Users\\me>{_cmd(person)}",
    "powershell": _powershell,
    "powershell behind its prompt": lambda person: "\n".join(
        (r"PS C:\Users\me> " if line.startswith(("$", "Inv")) else ">> ") + line
        for line in _powershell(person).splitlines()
    ),
    "fetch for node.js": _fetch_nodejs,
    "fetch of safari": _fetch_safari,
    "fetch of firefox": _fetch_firefox,
    "fetch by hand": _fetch_by_hand,
    "all as fetch": lambda person: f"{_fetch_nodejs(person)} ;\n{_fetch_nodejs(person)}",
    "headers": lambda person: _table(person, ": "),
    "headers, raw": _raw,
    "headers, value on the next line": lambda person: _table(person, "\n"),
    "headers, value on the next line behind a colon": lambda person: _table(person, ":\n"),
    "headers, value behind a tab": lambda person: _table(person, "\t"),
    "headers, value behind a tab on the next line": _firefox_table,
    "headers of firefox as json": lambda person: json.dumps(
        {"Request Headers (1 kB)": {"headers": [{"name": n, "value": v} for n, v in person.headers.items()]}}, indent=1
    ),
    "cookie header": lambda person: f"Cookie: {FOREIGN}; {person.string}",
    "cookie string": lambda person: f"{FOREIGN}; {person.string}",
    "cookie string, own first": lambda person: f"{person.string}; {FOREIGN}",
    "cookie string, second first": lambda person: f"__Host-C_OSES={person.second};__Secure-C_SES={person.first}",
    "cookie string between quotes": lambda person: f"'{FOREIGN}; {person.string}'",
    "cookie option": lambda person: f"-b '{FOREIGN}; {person.string}' \\",
    "cookie lines": lambda person: f"_ga=GA1\n__Secure-C_SES={person.first}\nNID=5\n__Host-C_OSES={person.second}",
    "cookies.txt": lambda person: (
        f"#HttpOnly_.{person.host}\tTRUE\t/\tTRUE\t1789459200\t__Secure-C_SES\t{person.first}\n"
        f".google.com\tTRUE\t/\tTRUE\t1789459200\tNID\tforeign_do_not_read\n"
        f".google.com\tTRUE\t/\tTRUE\t1789459200\tSAPISID\tforeign_do_not_read\n"
        f".{person.host}\tTRUE\t/\tTRUE\t1789459200\t_ga\tGA1.{person.mark}.1048576\n"
        f"#HttpOnly_.{person.host}\tTRUE\t/\tTRUE\t1789459200\t__Secure-C_AUX\tCAX.{person.mark}\n"
        f"#HttpOnly_{person.host}\tFALSE\t/\tTRUE\t1789459200\t__Host-C_OSES\t{person.second}"
    ),
    "cookie table": lambda person: (
        f"__Host-C_OSES\t{person.second}\t{person.host}\t/\t2026-09-15T10:00:00.000Z\t81\t✓\t✓\tLax\n"
        f"NID\t526=foreign_do_not_read\t.google.com\t/\t2026-09-15T10:00:00.000Z\t201\t✓\t✓\tNone\n"
        f"_ga\tGA1.{person.mark}.1048576\t.{person.host}\t/\t2026-09-15T10:00:00.000Z\t30\t\t\t\n"
        f"__Secure-C_AUX\tCAX.{person.mark}\t.{person.host}\t/\t2026-09-15T10:00:00.000Z\t30\t✓\t✓\tLax\n"
        f"__Secure-C_SES\t{person.first}\t.{person.host}\t/\t2026-09-15T10:00:00.000Z\t82\t✓\t✓\tLax"
    ),
    "cookies as json": lambda person: json.dumps(person.rows, indent=4),
    "cookies as json behind a name": lambda person: f"cookies = {json.dumps(person.rows)}",
    "cookies as json in a constant": lambda person: f"const c = {json.dumps(person.rows, indent=2)};",
    "one json cookie a line": lambda person: "\n".join(map(json.dumps, person.rows)),
    "cookies by name": lambda person: json.dumps({"__Secure-C_SES": person.first, "__Host-C_OSES": person.second}),
    "cookies of firefox as json": lambda person: json.dumps(
        {"Request Cookies": {"NID": "x_do_not_read", **dict(pair.split("=") for pair in person.string.split("; "))}}
    ),
    "cookies of an address": lambda person: json.dumps({"url": f"https://{person.host}", "cookies": person.rows}, indent=1),
    "storage state": lambda person: json.dumps({"cookies": person.rows, "origins": []}),
    "cookies beside ids": lambda person: json.dumps(_beside_ids(person)),
    "cookies beside ids in an array": lambda person: json.dumps([_beside_ids(person)], indent=2),
    "cookie string beside ids": lambda person: json.dumps({**_beside_ids(person), "cookies": person.string}),
    "cookies beside an address": lambda person: json.dumps({"url": person.page, "cookies": person.rows}),
    "cookies without domains beside an address": lambda person: json.dumps({
        "url": person.page, "cookies": [{"name": row["name"], "value": row["value"]} for row in person.rows]
    }),
    "account": lambda person: json.dumps(_account(person)),
    "account, indented": lambda person: json.dumps(_account(person), indent=2),
    "accounts of an environment": lambda person: f"ACCOUNTS={json.dumps([_account(person)])}",
    "accounts of a shell": lambda person: f"export ACCOUNTS='{json.dumps([_account(person)])}'",
    "accounts by name": lambda person: json.dumps({"accounts": {person.mark: _account(person)}}),
    "environment": lambda person: (
        f"API_KEYS=sk-x\nSECURE_C_SES={person.first}\nHOST_C_OSES={person.second}\n"
        f"CSESIDX={person.csesidx}\nCONFIG_ID={person.config_id}"
    ),
}  # fmt: skip


def _har_of_call(person: Person) -> str:
    url, headers, body = person.call()
    request = {
        "method": "POST", "url": url, "cookies": [], "postData": {"mimeType": "application/json", "text": body},
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
    }  # fmt: skip
    return json.dumps(
        {"log": {"version": "1.2", "pages": [], "entries": [{"request": request, "response": {}}]}}
    )


def _headers_of_call(person: Person, between: str) -> str:
    url, headers, _ = person.call()
    host, _, path = url.removeprefix("https://").partition("/")
    pairs = {
        ":authority": host,
        ":method": "POST",
        ":path": f"/{path}",
        ":scheme": "https",
        **headers,
    }
    return "\n".join(f"{name}{between}{value}" for name, value in pairs.items())


def _fetch_of_call(person: Person) -> str:
    url, headers, body = person.call()
    return (
        f'fetch("{url}",'
        f" {json.dumps({'headers': headers, 'body': body, 'method': 'POST'}, indent=2)});"
    )


def _powershell_of_call(person: Person) -> str:
    url, headers, body = person.call()
    del headers["user-agent"]
    return browsers.invoke(url, headers, {}, body, user_agent=person.user_agent)


CALLS: dict[str, Form] = {
    "call as curl": lambda person: browsers.curl(browsers.posix, *person.call()),
    "call as curl for cmd": lambda person: browsers.curl(browsers.windows, *person.call(), joint=" ^\n  "),
    "call as curl with options": lambda person: (
        f"curl {person.call()[0]} -A '{person.user_agent}' -e 'https://{person.host}/' -H 'x-server-token: {person.server_token}' "
        f"-H 'authorization: {person.call()[1]['authorization']}' --data '{person.call()[2]}'"
    ),
    "call as powershell": _powershell_of_call,
    "call as fetch": _fetch_of_call,
    "call as har": _har_of_call,
    "call as headers": lambda person: _headers_of_call(person, ": "),
    "call as a table of headers": lambda person: _headers_of_call(person, "\n"),
}  # fmt: skip
"""A widget call, which has no cookies of the page, but the server token."""
