"""The description of the API: it has every route that is served, and what routes really answer is what it
says.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gbproxy.app import EXTENSION
from gbproxy.simulator import Simulator
from gbproxy.simulator.widget.files import picture
from gbproxy.web import openapi
from tests.support import toy_format
from tests.support.serving import DONE, KEY, InProcess, Reply, in_process

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
HI = {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
CONTENTS = {"contents": [{"parts": [{"text": "Why is the sky blue?"}]}]}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}
DOT = f"data:image/png;base64,{base64.b64encode(picture(side=1)).decode()}"
CHAT = "/v1/chat/completions"
ACCOUNTS, KEYS = "/api/admin/accounts", "/api/admin/keys"


@dataclass(frozen=True)
class Gateway:
    """The app in front of a simulator, with all that settings can switch on, and its document."""

    app: InProcess
    upstream: Simulator
    document: Mapping[str, Any]

    def ask(self, call: Call, body: object = None, **headers: str) -> Reply:
        given = {
            "Content-Type": "application/json",
            **key_for(call.path),
            **call.headers,
            **headers,
        }
        sent = call.body if body is None else body
        raw = sent if sent is None or isinstance(sent, bytes) else json.dumps(sent)
        return self.app.request(call.method, call.path, raw, given)

    def operation(self, method: str, template: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document["paths"][template][method.lower()]
        return found

    def problems(self, value: object, schema: Mapping[str, Any]) -> list[str]:
        """Why a value is not what a schema of the document describes."""
        validator = Draft202012Validator({**schema, "components": self.document["components"]})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@dataclass(frozen=True)
class Call:
    """One request, of a route by its template."""

    method: str
    path: str
    template: str
    body: Any = None
    status: int = 200
    is_streamed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}{' streamed' if self.is_streamed else ''}"


def key_for(path: str) -> dict[str, str]:
    is_operators = path.startswith("/api/") or path == "/metrics"
    return {"Authorization": f"Bearer {ADMIN_KEY if is_operators else KEY}"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with ExitStack() as stack:
        upstream = stack.enter_context(Simulator(seed=1))
        app = stack.enter_context(in_process(upstream.environment(), ADMIN_KEY=ADMIN_KEY))
        yield Gateway(app, upstream, app.request("GET", "/openapi.json").json())


def simple(method: str, path: str, **how: Any) -> Call:
    return Call(method, path, path, **how)


def chats(path: str, body: Mapping[str, Any]) -> Iterator[Call]:
    yield simple("POST", path, body=body)
    yield simple("POST", path, body={**body, "stream": True}, is_streamed=True)


def of_openai() -> Iterator[Call]:
    for path in (CHAT, "/chat/completions"):
        yield from chats(path, HI)
    yield from chats(CHAT, {**HI, "include_reasoning": True})
    yield from chats(CHAT, {**HI, "stream_options": {"include_usage": True}, "n": 2})
    yield from chats(CHAT, {**HI, "tools": [WEATHER], "tool_choice": "required"})
    yield from chats(CHAT, {**HI, "functions": [WEATHER["function"]]})
    yield Call("GET", "/v1/models?client_version=0.171.0", "/v1/models")
    for base in ("/v1/models", "/models"):
        yield simple("GET", base)
        yield Call("GET", f"{base}/gemini-auto", f"{base}/{{name}}")


def of_responses(gateway: Gateway) -> Iterator[Call]:
    hello = {"input": "Why is the sky blue?"}
    weather = {**WEATHER["function"], "type": "function"}  # type: ignore[dict-item]
    for path in ("/v1/responses", "/responses"):
        yield from chats(path, hello)
        for action in ("input_tokens", "compact"):
            yield simple("POST", f"{path}/{action}", body=hello)
        made = gateway.ask(simple("POST", path, body=hello)).json()["id"]
        template = f"{path}/{{response_id}}"
        yield Call("GET", f"{path}/{made}", template)
        yield Call("GET", f"{path}/{made}/input_items", f"{template}/input_items")
        yield Call("POST", f"{path}/{made}/cancel", f"{template}/cancel", status=400)
        yield Call("DELETE", f"{path}/{made}", template)
    yield from chats("/v1/responses", {**hello, "reasoning": {"summary": "auto"}})
    yield from chats("/v1/responses", {**hello, "max_output_tokens": 1, "store": False})
    drawing = {"input": "draw a fox", "tools": [{"type": "image_generation"}]}
    yield from chats("/v1/responses", drawing)
    calling = {**hello, "tool_choice": "required"}
    for tool in (weather, {"type": "custom", "name": "patch"}, {"type": "shell"}):
        yield from chats("/v1/responses", {**calling, "tools": [tool]})


def of_images(gateway: Gateway) -> Iterator[Call]:
    images = [{"image_url": DOT}]
    for prefix in ("/v1", ""):
        yield from chats(f"{prefix}/images/generations", {"prompt": "A fox", "n": 2})
        yield from chats(f"{prefix}/images/edits", {"prompt": "A hat", "images": images, "n": 2})
    yield simple("POST", "/v1/images/generations", body={"prompt": "A fox", "model": "gpt-image-2"})
    drawing = {"messages": [{"role": "user", "content": "Draw a fox"}]}
    yield from chats(CHAT, drawing)
    message = gateway.app.post(drawing).json()["choices"][0]["message"]
    path = "/media/" + message["images"][0]["image_url"]["url"].rpartition("/")[2]
    yield Call("GET", path, "/media/{token}")
    yield Call("GET", path, "/media/{token}", status=206, headers={"Range": "bytes=0-9"})


def of_anthropic() -> Iterator[Call]:
    hello = {"model": "claude-sonnet-4-5", "max_tokens": 100, **HI}
    tool = {"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}
    for path in ("/v1/messages", "/messages"):
        yield from chats(path, hello)
        yield simple("POST", f"{path}/count_tokens", body=hello)
    yield from chats("/v1/messages", {**hello, "thinking": {"type": "adaptive"}})
    yield from chats("/v1/messages", {**hello, "tools": [tool], "tool_choice": {"type": "any"}})
    yield simple("POST", "/v1/messages", body={**hello, "max_tokens": 0})
    for base in ("/v1/models", "/models"):
        yield simple("GET", base, headers={"anthropic-version": "2023-06-01"})
        at = f"{base}/gemini-auto"
        yield Call("GET", at, f"{base}/{{name}}", headers={"anthropic-version": "2023-06-01"})


def of_gemini(gateway: Gateway) -> Iterator[Call]:
    hi = CONTENTS
    thinking = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    tool = {"functionDeclarations": [{"name": "get_weather", "parameters": {"type": "OBJECT"}}]}
    calling = {"tools": [tool], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}
    for template in [path for path in gateway.document["paths"] if ":generateContent" in path]:
        models = template.partition("/{name}")[0]
        for body in (hi, {**hi, **thinking}, {**hi, **calling}):
            yield Call("POST", template.replace("{name}", "gemini-auto"), template, body)
        streamed = template.replace(":generateContent", ":streamGenerateContent")
        path = streamed.replace("{name}", "gemini-auto")
        yield Call("POST", path, streamed, {**hi, **thinking})
        yield Call("POST", f"{path}?alt=sse", streamed, {**hi, **thinking}, is_streamed=True)
        editing = template.replace(":generateContent", ":editImage")
        fox = {"contents": [{"parts": [{"text": "draw a fox"}]}]}
        yield Call("POST", editing.replace("{name}", "gemini-auto"), editing, fox)
        counting = template.replace(":generateContent", ":countTokens")
        yield Call("POST", counting.replace("{name}", "gemini-auto"), counting, hi)
        google = {"x-goog-api-client": "tests"}
        yield Call("GET", f"{models}?pageSize=2", models, headers=google)
        yield Call("GET", f"{models}/gemini-auto", f"{models}/{{name}}", headers=google)


def of_sessions(gateway: Gateway) -> Iterator[Call]:
    yield from chats("/gemini/chat", {"message": "Why is the sky blue?", "include_reasoning": True})
    for path in ("/gemini/sessions", "/sessions"):
        yield simple("POST", path, status=201)
        made = gateway.app.request("GET", path, None, key_for(path)).json()["sessions"]
        session = made[0]["session_id"]
        yield from chats("/gemini/chat", {"message": "Hi", "session_id": session})
        yield simple("GET", path)
        for method, status in (("GET", 200), ("DELETE", 204)):
            yield Call(method, f"{path}/{session}", f"{path}/{{session_id}}", status=status)


# By the names of their schemas: the headers by which the clients are known whose forms they are.
FORMS = {
    "FileForm": {},
    "AnthropicFileForm": {"anthropic-version": "2023-06-01"},
    "GoogleFileForm": {"x-goog-api-client": "tests"},
    "ImageEditForm": {},
}
FIELDS = {
    "prompt": "A hat",
    "n": "1",
    "purpose": "user_data",
    "expires_after[anchor]": "created_at",
    "expires_after[seconds]": "3600",
    "expires_in_seconds": "3600",
    "metadata": "{}",
}
RELATED = (
    b"--of-it\r\nContent-Type: application/json\r\n\r\n{}\r\n"
    b"--of-it\r\nContent-Type: text/plain\r\n\r\nwords\r\n--of-it--\r\n"
)


def form_of(schema: Mapping[str, Any]) -> bytes:
    """A form with all of the schema's fields that there is a value for, and with its files."""
    lines = []
    for name, inner in schema["properties"].items():
        is_file = any("contentMediaType" in each for each in inner.get("anyOf", [inner]))
        assert is_file or name in FIELDS or name not in schema["required"]
        if is_file:
            head = f'form-data; name="{name}"; filename="a.png"'
            lines += [b"--of-it", f"Content-Disposition: {head}".encode(), b"", picture(side=1)]
        elif name in FIELDS:
            head = f'form-data; name="{name}"'
            lines += [
                b"--of-it",
                f"Content-Disposition: {head}".encode(),
                b"",
                FIELDS[name].encode(),
            ]
    return b"\r\n".join((*lines, b"--of-it--", b""))


def of_forms(gateway: Gateway) -> Iterator[Call]:
    """Each form of each route that takes one, as the document describes it."""
    schemas = gateway.document["components"]["schemas"]
    for path, methods in gateway.document["paths"].items():
        for method, operation in methods.items():
            bodies = operation.get("requestBody", {"content": {}})["content"]
            form = bodies.get("multipart/form-data", {"schema": {"anyOf": []}})["schema"]
            for each in form.get("anyOf", [form]):
                name = each["$ref"].rpartition("/")[2]
                kind = {"Content-Type": "multipart/form-data; boundary=of-it"}
                sent = form_of(schemas[name])
                yield simple(method.upper(), path, body=sent, headers=kind | FORMS[name])


def of_files(gateway: Gateway) -> Iterator[Call]:
    """Each route with files: one is uploaded for each that names one."""
    paths = gateway.document["paths"]
    raw = {"X-Goog-Upload-Protocol": "raw", "Content-Type": "text/plain"}
    upload = simple("POST", "/upload/v1beta/files", body=b"words", headers=raw)
    for template in [each for each in paths if re.search("files(/{file_id}.*)?$", each)]:
        for method in paths[template]:
            if "/upload/" in template:
                start = {"X-Goog-Upload-Command": "start"}
                related = {"Content-Type": "multipart/related; boundary=of-it"}
                yield simple(method.upper(), template, body={"file": {}}, headers=start)
                yield simple(method.upper(), template, body=RELATED, headers=related)
                yield simple(method.upper(), template, body=b"words", headers=raw)
            elif method != "post":
                for headers in FORMS.values():
                    id_ = gateway.ask(upload).json()["file"]["name"].removeprefix("files/")
                    path = template.replace("{file_id}", id_)
                    yield Call(method.upper(), path, template, headers=headers)


def account_of(upstream: Simulator) -> dict[str, Any]:
    added = upstream.add_account()
    return {
        "name": "added",
        "secure_c_ses": added.secure_c_ses,
        "host_c_oses": added.host_c_oses,
        "csesidx": added.csesidx,
        "config_id": added.config_id,
        "is_active": True,
    }


def of_administrators(gateway: Gateway) -> Iterator[Call]:
    def one(method: str, at: str, action: str = "", **how: Any) -> Call:
        return Call(method, f"{ACCOUNTS}/{at}{action}", f"{ACCOUNTS}/{{account_id}}{action}", **how)

    account = account_of(gateway.upstream)
    yield simple("POST", ACCOUNTS, body=account, status=201)
    listed = gateway.app.request("GET", ACCOUNTS, None, key_for(ACCOUNTS)).json()["accounts"]
    id_ = listed[-1]["id"]
    yield simple("GET", ACCOUNTS)
    yield one("PUT", id_, body={"name": "renamed", "is_active": False})
    yield one("PUT", id_, body={"is_active": True})
    yield one("POST", id_, "/check")
    yield one("POST", id_, "/clear-cooldown")
    yield one("GET", id_)
    yield simple("GET", "/api/admin/models")
    yield simple("GET", "/api/admin/alerts")
    yield simple("POST", "/api/admin/alerts/test")
    yield simple("GET", "/api/admin/requests")
    yield simple("GET", "/api/cookies/status")
    pasted = json.dumps([{**account, "config_id": None}, {"csesidx": "12345"}])
    yield simple("POST", f"{ACCOUNTS}/import", body={"text": pasted, "dry_run": True})
    yield one("DELETE", id_, status=204)
    limits = {"rate_limit": "60/hour", "tokens_per_day": 100, "concurrent_streams": 2}
    key = {"name": "Anna", "models": ["gemini-auto"], "expires_at": "2099-01-01T00:00:00Z"}
    yield simple("POST", KEYS, body={**key, **limits}, status=201)
    made = gateway.app.request("GET", KEYS, None, key_for(KEYS)).json()["keys"]
    yield simple("GET", KEYS)
    yield Call("PATCH", f"{KEYS}/{made[0]['id']}", f"{KEYS}/{{key_id}}", body=limits)
    yield Call("DELETE", f"{KEYS}/{made[0]['id']}", f"{KEYS}/{{key_id}}", status=204)


def of_machines() -> Iterator[Call]:
    for path in ("/", "/health", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"):
        yield simple("GET", path)


def calls(gateway: Gateway) -> Iterator[Call]:
    """Requests that go well, each once the one before it was answered."""
    yield from of_openai()
    yield from of_responses(gateway)
    yield from of_images(gateway)
    yield from of_anthropic()
    yield from of_gemini(gateway)
    yield from of_sessions(gateway)
    yield from of_forms(gateway)
    yield from of_files(gateway)
    yield from of_administrators(gateway)
    yield from of_machines()


def not_offered(gateway: Gateway) -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, methods in gateway.document["paths"].items()
        for method, operation in methods.items()
        if operation["responses"].keys() == {"default"}
    }


def assert_described(gateway: Gateway, call: Call, reply: Reply) -> None:
    responses = gateway.operation(call.method, call.template)["responses"]
    response = responses.get(str(reply.status), responses["default"])
    content_type = reply.headers["Content-Type"]
    if "content" not in response:
        assert reply.body == b"", call
        return
    by_type = response["content"]
    kinds = (content_type, content_type.partition(";")[0], "*/*")
    described = next(by_type[kind] for kind in kinds if kind in by_type)
    if "x-event" in described:
        events = re.findall(r"^data: (.*)$", reply.body.decode(), re.MULTILINE)
        assert len(events) > 1
        for event in events:
            if event != DONE:
                assert gateway.problems(json.loads(event), described["x-event"]) == [], call
    elif content_type == "application/json":
        assert gateway.problems(reply.json(), described["schema"]) == [], call


def test_every_route_declares_its_operation(gateway: Gateway) -> None:
    assert [
        (route.method, route.path)
        for route in openapi.routes(gateway.app.app)
        if route.operation is None and not f"{route.path}/".startswith("/admin/")  # pages
    ] == []


def test_a_route_that_declares_none_is_found() -> None:
    upstream = Simulator()
    with upstream, in_process(upstream.environment(), formats=toy_format.FORMATS) as gateway:
        found = {route.path for route in openapi.routes(gateway.app) if route.operation is None}
        document = openapi.document(gateway.app, gateway.app.extensions[EXTENSION].error_formats)

    assert found == {"/toy"}
    assert "/toy" not in document["paths"]


def test_every_answer_is_what_the_document_says(gateway: Gateway) -> None:
    answered = set()

    for call in calls(gateway):
        reply = gateway.ask(call)
        assert (reply.status, reply.streamed) == (call.status, call.is_streamed), (call, reply.body)
        request = gateway.operation(call.method, call.template).get("requestBody")
        if request is not None:
            kind = call.headers.get("Content-Type", "application/json").partition(";")[0]
            body = request["content"].get(kind) or request["content"]["*/*"]
            if kind == "application/json":
                assert gateway.problems(call.body, body["schema"]) == [], call
        assert_described(gateway, call, reply)
        answered.add((call.method, call.template))

    assert answered == {
        (method.upper(), path)
        for path, methods in gateway.document["paths"].items()
        for method in methods
    } - not_offered(gateway)


def every(gateway: Gateway) -> Iterator[Call]:
    """A request to each route, to none of which the thing is there that it names."""
    for path, methods in gateway.document["paths"].items():
        for method in methods:
            yield Call(method.upper(), re.sub(r"\{\w+\}", "none", path), path)


def bodies_of(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = operation["requestBody"]["content"]
    return found


def test_every_error_is_what_the_document_says(gateway: Gateway) -> None:
    for call in every(gateway):
        operation = gateway.operation(call.method, call.template)
        replies = [gateway.ask(call, Authorization="")]
        assert (replies[0].status == 401) == bool(operation["security"]), call
        if "{" in call.template and "requestBody" not in operation:
            replies.append(gateway.ask(call))
            assert replies[-1].status in (404, 501), call
        if "requestBody" in operation:
            wrong: list[object] = [[], {"message": 1, "name": 1, "text": 1}]
            replies += [gateway.ask(call, body) for body in wrong]
            refused = {400, 404} if "application/json" in bodies_of(operation) else {415}
            assert {reply.status for reply in replies[-2:]} <= refused, call
        for reply in replies:
            assert_described(gateway, call, reply)


def test_what_the_document_does_not_offer_is_refused(gateway: Gateway) -> None:
    assert ("POST", "/v1/embeddings") in not_offered(gateway)
    for method, path in not_offered(gateway):
        call = Call(method, re.sub(r"\{name\}", "gemini-auto", path).replace("{rest}", "x"), path)
        is_read = "requestBody" in gateway.operation(method, path)  # and then refused
        reply = gateway.ask(call, CONTENTS if is_read else None)
        assert reply.status == 501, call
        assert_described(gateway, call, reply)


def wrong_fields(gateway: Gateway, schema: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """For each property that is not of any type: a value that the schema refuses."""
    components = gateway.document["components"]["schemas"]
    full = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    values: list[object] = [{"none": {}}, "x", 7, [[]]]
    for name, inner in full["properties"].items():
        for value in values:
            if gateway.problems(value, inner):
                yield name, value
                break


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", CHAT, HI),
        ("POST", "/v1/responses", {"input": "Hi"}),
        ("POST", "/v1/messages", {"max_tokens": 5, **HI}),
        (
            "POST",
            "/v1beta/models/{name}:generateContent",
            CONTENTS,
        ),
        ("POST", "/gemini/chat", {"message": "Hi"}),
        ("POST", f"{ACCOUNTS}/import", {"text": "x", "dry_run": True}),
        ("POST", KEYS, {"name": "Anna"}),
        ("POST", ACCOUNTS, None),
    ],
)
def test_what_the_document_refuses_is_refused_by_the_gateway(
    gateway: Gateway, method: str, path: str, body: dict[str, Any] | None
) -> None:
    body = {**account_of(gateway.upstream), "name": "refused"} if body is None else body
    schema = gateway.operation(method, path)["requestBody"]["content"]["application/json"]["schema"]
    assert gateway.problems(body, schema) == []
    tried, at = list(wrong_fields(gateway, schema)), path.replace("{name}", "gemini-auto")

    taken = [
        (name, value)
        for name, value in tried
        if gateway.ask(Call(method, at, path, {**body, name: value})).status != 400
    ]

    assert taken == []
    assert len(tried) >= 3


def test_every_body_that_is_parsed_is_described(gateway: Gateway) -> None:
    """What answers 415 to a body of another type reads one."""
    for call in every(gateway):
        if call.method in ("POST", "PUT"):
            path = call.path.replace("none", "gemini-auto") if "models" in call.path else call.path
            reply = gateway.ask(replace(call, path=path), "x", **{"Content-Type": "text/plain"})
            has_body = "requestBody" in gateway.operation(call.method, call.template)
            optional = call.template in ("/gemini/sessions", "/sessions")
            assert (reply.status == 415) == (has_body or optional), call


def test_every_form_and_upload_is_described(gateway: Gateway) -> None:
    """By all who send one, and what else a body may be."""
    bodies = {
        path: {
            kind: {each["$ref"].rpartition("/")[2] for each in alternatives(body)}
            for kind, body in bodies_of(methods["post"]).items()
        }
        for path, methods in gateway.document["paths"].items()
        if "requestBody" in methods.get("post", {})
    }
    files = {"FileForm", "AnthropicFileForm", "GoogleFileForm"}

    for path in ("/v1/files", "/files"):
        assert bodies[path] == {"multipart/form-data": files}
    for path in ("/v1/images/edits", "/images/edits"):
        assert bodies[path]["multipart/form-data"] == {"ImageEditForm"}
        assert bodies[path]["application/json"] == {"ImageEditBody"}
    uploads = [path for path in bodies if "/upload/" in path]
    assert len(uploads) == 6
    for path in uploads:
        assert bodies[path] == {
            "application/json": {"UploadBody"},
            "multipart/form-data": {"GoogleFileForm"},
            "multipart/related": set(),
            "*/*": set(),
        }


def alternatives(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    schema = body.get("schema", {"anyOf": []})
    found: list[Mapping[str, Any]] = schema.get("anyOf", [schema])
    return found


def test_the_document_is_whole(gateway: Gateway) -> None:
    text = json.dumps(gateway.document)
    schemas = gateway.document["components"]["schemas"]
    operations = [
        each for methods in gateway.document["paths"].values() for each in methods.values()
    ]

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= schemas.keys()
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    for path, methods in gateway.document["paths"].items():
        for operation in methods.values():
            declared = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert declared == re.findall(r"\{(\w+)\}", path)


def test_the_index_lists_what_is_offered_at_one_path_each(gateway: Gateway) -> None:
    paths = gateway.document["paths"]
    offered = {
        (method.upper(), path): (operation["tags"][0], operation["summary"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        if (method.upper(), path) not in not_offered(gateway)
    }

    listed = gateway.app.request("GET", "/").json()["endpoints"]

    found = [(method, path) for method, _, path in (each.partition(" ") for each in listed)]
    assert {offered[each] for each in found} == set(offered.values())
    assert len(found) == len(set(found)) < len(offered)
    known = ("/v1/files", "/upload/v1beta/files", "/v1/messages", "/v1beta/models/{name}:editImage")
    assert {("POST", path) for path in (*known, "/gemini/sessions", CHAT)} <= set(found)
    assert ("GET", "/health") in found


def test_what_is_off_is_not_described() -> None:
    with in_process({}) as gateway:
        paths = gateway.request("GET", "/openapi.json").json()["paths"]

    assert [path for path in paths if path.startswith("/api")] == []


def test_the_page_shows_every_route_and_loads_nothing(gateway: Gateway) -> None:
    reply = gateway.app.request("GET", "/docs")
    page = reply.body.decode()

    for path, methods in gateway.document["paths"].items():
        for method, operation in methods.items():
            shown = page.partition(f'id="{operation["operationId"]}"')[2].partition("</summary>")[0]
            assert f">{method.upper()}</code>" in shown
            assert f"<code>{path}</code>" in shown
            for kind in operation.get("requestBody", {"content": {}})["content"]:
                assert kind == "application/json" or f"<li>{kind}" in page
    for name in gateway.document["components"]["schemas"]:
        assert f'id="schema-{name}"' in page
    assert re.findall(r"<script|<link|<img|<iframe|\bsrc=|url\(|@import|\bon\w+=", page) == []
    assert {link for link in re.findall(r'href="([^"]+)"', page) if link[0] != "#"} == {
        "openapi.json"
    }
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_the_page_lets_a_browser_run_and_load_nothing(gateway: Gateway) -> None:
    reply = gateway.app.request("GET", "/docs")

    (style,) = re.findall(r"<style>(.*?)</style>", reply.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = reply.headers["Content-Security-Policy"].split("; ")
    assert policy == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
