"""A client of the widget API, written against its description and not against our code."""

import base64
import hashlib
import hmac
import json
import socket
from typing import Any

import requests

from gbproxy.simulator import Account, Simulator

HOSTS = {
    "business": ("https://business.gemini.google", "https://biz-discoveryengine.googleapis.com"),
    "enterprise": (
        "https://vertexaisearch.cloud.google",
        "https://content-discoveryengine.googleapis.com",
    ),
}
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/146.0.0.0 Safari/537.36"
)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def sign(key: bytes, header: dict[str, Any], claims: dict[str, Any]) -> str:
    unsigned = f"{b64(compact(header))}.{b64(compact(claims))}"
    return f"{unsigned}.{b64(hmac.new(key, unsigned.encode(), hashlib.sha256).digest())}"


def parse_array(body: bytes) -> list[dict[str, Any]]:
    value = json.loads(body)
    return value if isinstance(value, list) else [value]


def parse_events(body: bytes) -> list[dict[str, Any]]:
    events = body.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = [
        [line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")] for event in events
    ]
    return [json.loads(b"\n".join(data)) for data in lines if data]


def parse_stream(response: requests.Response) -> list[dict[str, Any]]:
    if response.headers["content-type"] == "text/event-stream":
        return parse_events(response.content)
    return parse_array(response.content)


def inner(element: dict[str, Any]) -> dict[str, Any]:
    return element.get("streamAssistResponse", element)


def contents(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every reply's content, in order."""
    answers = [inner(element).get("answer", {}) for element in elements]
    replies = [reply for answer in answers for reply in answer.get("replies", [])]
    return [reply.get("groundedContent", {}).get("content", {}) for reply in replies]


def fragments_of(elements: list[dict[str, Any]]) -> list[str]:
    return [
        content["text"]
        for content in contents(elements)
        if content.get("text") and not content.get("thought")
    ]


def text_of(elements: list[dict[str, Any]]) -> str:
    return "".join(fragments_of(elements))


def states_of(elements: list[dict[str, Any]]) -> list[str | None]:
    return [inner(element).get("answer", {}).get("state") for element in elements]


class Client:
    """One account's calls, each over a connection of its own; `headers` go with every API call."""

    def __init__(self, upstream: Simulator, account: Account | None = None) -> None:
        self.upstream = upstream
        self.account = account or upstream.account
        self.verify: Any = str(upstream.ca_file) if upstream.ca_file else True
        self.headers: dict[str, str] = {}
        self._token = ""

    @property
    def edition(self) -> str:
        return self.account.edition or self.upstream.switches.edition

    @property
    def location(self) -> str:
        return self.account.location or self.upstream.switches.location

    def cookies(self) -> str:
        return (
            f"__Secure-C_SES={self.account.secure_c_ses}; __Host-C_OSES={self.account.host_c_oses}"
        )

    def pass_all_gates(self) -> None:
        """Send what any gate may want."""
        page, _ = HOSTS[self.edition]
        sent = {"Origin": page, "Referer": f"{page}/", "User-Agent": BROWSER}
        self.headers = {**sent, "X-Server-Token": self.account.server_token}

    def get(self, path: str, **headers: str) -> requests.Response:
        url = self.upstream.url + path
        return requests.get(
            url, headers=headers, allow_redirects=False, timeout=5, verify=self.verify
        )

    def getoxsrf(self, cookies: str | None = None) -> requests.Response:
        path = f"/auth/getoxsrf?csesidx={self.account.csesidx}"
        more = {name: value for name, value in self.headers.items() if name != "X-Server-Token"}
        return self.get(path, Cookie=self.cookies() if cookies is None else cookies, **more)

    def key(self, cookies: str | None = None) -> tuple[str, bytes]:
        text = self.getoxsrf(cookies).text.strip().removeprefix(")]}'").strip()
        value = json.loads(text)
        return value["keyId"], base64.urlsafe_b64decode(value["xsrfToken"] + "==")

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.upstream.now())
        sub = f"csesidx/{self.account.csesidx}"
        iss, aud = HOSTS[self.edition]
        claims = {
            "iss": iss,
            "aud": aud,
            "sub": sub,
            "iat": now,
            "exp": now + 300,
            "nbf": now,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self) -> str:
        if not self._token:
            further = (f"{name}={value}" for name, value in self.account.cookies.items())
            key_id, key = self.key("; ".join((self.cookies(), *further)))
            self._token = sign(key, {"alg": "HS256", "typ": "JWT", "kid": key_id}, self.claims())
        return self._token

    def call(
        self, verb: str, request: Any, token: str | None = None, **envelope: Any
    ) -> requests.Response:
        bare = verb.partition("?")[0].removeprefix("widget")
        key = f"{bare[0].lower()}{bare[1:]}Request"
        body = {
            "configId": self.account.config_id,
            "additionalParams": {"token": "-"},
            key: request,
            **envelope,
        }
        return self.post(verb, body, token)

    def post(
        self, verb: str, body: Any, token: str | None = None, location: str = ""
    ) -> requests.Response:
        url = f"{self.upstream.url}/v1alpha/locations/{location or self.location}/{verb}"
        headers = {"Authorization": f"Bearer {token or self.token()}", **self.headers}
        return requests.post(url, json=body, headers=headers, timeout=5, verify=self.verify)

    def configuration(self, **fields: Any) -> requests.Response:
        return self.post("lookupWidgetConfig", {"widgetConfigId": self.account.config_id, **fields})

    def create_session(self) -> str:
        response = self.call("widgetCreateSession", {"session": {"name": "", "displayName": ""}})
        return str(response.json()["session"]["name"])

    def question(self, text: str, session: str | None = None, **fields: Any) -> dict[str, Any]:
        """A `streamAssistRequest` as a browser sends it; a field set to None is left out."""
        request = {
            "session": session or self.create_session(),
            "query": {"parts": [{"text": text}]},
            "filter": "",
            "fileIds": [],
            "answerGenerationMode": "NORMAL",
            "toolsSpec": {
                "webGroundingSpec": {},
                "toolRegistry": "default_tool_registry",
                "imageGenerationSpec": {},
                "videoGenerationSpec": {},
            },
            "languageCode": "en-US",
            "userMetadata": {"timeZone": "UTC"},
            "assistSkippingMode": "REQUEST_ASSIST",
            **fields,
        }
        return {name: value for name, value in request.items() if value is not None}

    def ask(
        self, text: str, session: str | None = None, *, sse: bool = False, **fields: Any
    ) -> requests.Response:
        verb = "widgetStreamAssist?alt=sse" if sse else "widgetStreamAssist"
        return self.call(verb, self.question(text, session, **fields))

    def raw_question(self, text: str = "Hi", **headers: str) -> bytes:
        """The bytes of a whole streaming request."""
        envelope = {"configId": self.account.config_id, "additionalParams": {"token": "-"}}
        body = compact({**envelope, "streamAssistRequest": self.question(text)})
        lines = [
            "POST /v1alpha/locations/global/widgetStreamAssist HTTP/1.1",
            "Host: upstream",
            f"Authorization: Bearer {self.token()}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.upstream.port), timeout=5)

    def exchange(self, request: bytes) -> tuple[bytes, str]:
        """Send bytes; everything that comes back, and how it ended."""
        with self.connect() as sock:
            sock.sendall(request)
            return read_to_end(sock)


def read_until(sock: socket.socket, wanted: bytes) -> bytes:
    """The bytes up to `wanted` and a little more; fails the test when the peer ends before."""
    data = b""
    while wanted not in data:
        piece = sock.recv(65536)
        assert piece, f"the peer ended before {wanted!r}: {data!r}"
        data += piece
    return data


def read_to_end(sock: socket.socket) -> tuple[bytes, str]:
    """Everything that comes, and how it ended: fin or rst."""
    data = b""
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return data, "rst"
        if not piece:
            return data, "fin"
        data += piece


def by_name(upstream: Simulator, method: str, url: str, **more: Any) -> requests.Response:
    proxy = upstream.environment_by_name()["PROXY"]
    return requests.request(
        method,
        url,
        proxies={"https": proxy},
        verify=str(upstream.ca_file),
        allow_redirects=False,
        timeout=5,
        **more,
    )
