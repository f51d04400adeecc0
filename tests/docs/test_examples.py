"""Every `bash` and `python` block of the pages runs as it stands, against a gateway in front of the simulator."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from gbproxy.app import EXTENSION, create_app
from gbproxy.settings import load
from gbproxy.simulator import Simulator
from tests.docs.markdown import ROOT, Block, Page, pages
from tests.support.serving import KEY, Served, serving

ADMIN_KEY = "ak-test-5b3c9e71d2f84a60"
PAGES = [Page.read(name) for name in ("README.md", "docs/clients.md", "docs/simulator.md")]
EXAMPLES = [example for page in PAGES for example in page.blocks("bash", "python")]
ADMINISTRATION = Page.read("docs/admin.md").blocks("bash")
LIBRARY = Page.read("docs/library.md").blocks("python")


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What the pages have their reader export."""
    with (
        Simulator(seed=1) as simulator,
        serving(simulator.environment(), ADMIN_KEY=ADMIN_KEY) as gateway,
    ):
        simulator.set(citations=True)
        yield _exported(gateway, simulator)


def _exported(gateway: Served, simulator: Simulator) -> dict[str, str]:
    own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **own,
        "OPENAI_BASE_URL": f"{gateway.url}/v1",
        "OPENAI_API_KEY": gateway.key,
        "GATEWAY": gateway.url,
        "ADMIN_KEY": ADMIN_KEY,
        "SIMULATOR": simulator.url,
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda example: f"{example.language}: {example.title}"
)
def test_an_example_runs_as_it_stands(example: Block, environment: dict[str, str]) -> None:
    if example.language == "bash":
        _require_curl()

    ended = subprocess.run(
        _command(example), env=environment, capture_output=True, text=True, timeout=90, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert SENSIBLE[example.title](ended.stdout), ended.stdout


def test_the_examples_of_the_admin_page_run_one_after_the_other(
    environment: dict[str, str],
) -> None:
    _require_curl()
    script = "\n".join(block.text for block in ADMINISTRATION)

    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, "")
    assert '"status":"valid"' in ended.stdout
    assert '"created":["account-5678901234"]' in ended.stdout
    assert '"name":"default"' in ended.stdout
    assert "CSE" not in ended.stdout


@pytest.mark.parametrize("example", LIBRARY, ids=lambda example: example.title)
def test_an_example_of_the_library_runs_as_it_stands(example: Block) -> None:
    with Simulator(seed=1) as simulator:
        ended = subprocess.run(
            _command(example), cwd=ROOT,
            env=simulator.environment(), capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, "")
    assert OF_THE_LIBRARY[example.title](ended.stdout), ended.stdout


def test_every_route_of_administrators_has_an_example() -> None:
    app = create_app(load({"API_KEYS": KEY, "ADMIN_KEY": ADMIN_KEY, "HOST": "127.0.0.1"}))
    served = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    app.extensions[EXTENSION].close()

    assert {_call(block.text) for block in ADMINISTRATION} == served


def _call(example: str) -> tuple[str, str]:
    """The method and path that an example calls."""
    path = re.search(r'"\$GATEWAY([^"]*)"', example)
    method = re.search(r"-X ([A-Z]+)", example)
    assert path is not None
    asked = path[1].partition("?")[0]
    shown = re.sub(r"(?<=/accounts/)(?!import$)[^/]+|(?<=/keys/)[^/]+", "{}", asked)
    return method[1] if method else "POST" if " -d " in example else "GET", shown


def test_every_example_is_looked_at() -> None:
    with_examples = {page.path for page in pages() if page.blocks("bash", "python")}
    translated = {path for path in with_examples if path.name.endswith(".zh-CN.md")}

    assert {example.title for example in EXAMPLES} == SENSIBLE.keys()
    assert {example.title for example in LIBRARY} == OF_THE_LIBRARY.keys()
    assert with_examples - translated == {
        page.path for page in (*PAGES, Page.read("docs/admin.md"), Page.read("docs/library.md"))
    }


@pytest.mark.parametrize(
    "page", [*PAGES, Page.read("docs/admin.md")], ids=lambda page: page.path.name
)
def test_the_variables_that_examples_use_are_exported_before(page: Page) -> None:
    used = {
        name
        for example in page.blocks("bash", "python")
        for name in re.findall(r"\$\{?([A-Z_]+)", example.text)
    }

    for name in used - {"ID", "KEY_ID"}:
        assert 0 < page.text.index(f"export {name}=") < page.text.index(f"${name}"), name


def _command(example: Block) -> list[str]:
    if example.language == "bash":
        return ["bash", "-euo", "pipefail", "-c", example.text]
    return [sys.executable, "-c", example.text]


def _require_curl() -> None:
    if shutil.which("curl"):
        return
    reason = "curl, which the pages' examples call, is not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


# What each example must have printed, by its title -------------------------------------------------------------------


def _one_answer(output: str) -> bool:
    answer = json.loads(output)
    (choice,) = answer["choices"]
    return (
        answer["object"] == "chat.completion"
        and "sky blue" in choice["message"]["content"]
        and choice["finish_reason"] == "stop"
        and answer["usage"]["gbproxy_estimated"] is True
    )


def _one_message(output: str) -> bool:
    message = json.loads(output)
    [block] = message["content"]
    return (message["type"], message["stop_reason"]) == ("message", "end_turn") and (
        "sky blue" in block["text"]
    )


def _a_plain_stream(output: str) -> bool:
    *events, end = [line.removeprefix("data: ") for line in output.split("\n\n") if line]
    text = "".join(
        json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events
    )
    return end == "[DONE]" and "sky blue" in text


def _a_stream(output: str) -> bool:
    *events, end = [line.removeprefix("data: ") for line in output.split("\n\n") if line]
    *chunks, last = map(json.loads, events)
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    return (
        end == "[DONE]"
        and "sky blue" in text
        and {chunk["model"] for chunk in chunks} == {"gemini-auto"}
        and last["choices"] == []
        and last["usage"]["completion_tokens"] > 0
    )


def _models(output: str) -> bool:
    return "gemini-auto" in {model["id"] for model in json.loads(output)["data"]}


def _healthy(output: str) -> bool:
    return bool(json.loads(output)["status"] == "healthy")


def _a_stream_of_gemini(out: str) -> bool:
    responses = [json.loads(frame.removeprefix("data: ")) for frame in out.strip().split("\n\n")]
    parts = [p for r in responses for c in r["candidates"] for p in c["content"]["parts"]]
    return _about_the_sky("".join(part["text"] for part in parts))


def _about_the_sky(output: str) -> bool:
    return "sky blue" in output and "reasoning" not in output


def _sky_and_sea(output: str) -> bool:
    sky, sea = output.splitlines()
    return "sky blue" in sky and "sea salty" in sea


def _thoughts_first(output: str) -> bool:
    thoughts, answer = output.removeprefix("thoughts: ").split("answer: ")
    return len(thoughts.strip()) > 10 and "sky blue" in answer and "None" not in thoughts


def _two_ignored(output: str) -> bool:
    return "x-gbproxy-ignored: temperature, seed\n" in output


def _blocked_then_slow(output: str) -> bool:
    decoder, rest, found = json.JSONDecoder(), output, []
    while rest := rest.strip():
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:]
    _, first, second = found
    return bool(
        first["choices"][0]["finish_reason"] == "content_filter"
        and second["choices"][0]["message"]["content"] == "Wait for it."
    )


SENSIBLE: dict[str, Callable[[str], bool]] = {
    "one streamed answer": _a_plain_stream,
    "one answer, as a whole (curl)": _one_answer,
    "streamed, with an estimate of its tokens at the end": _a_stream,
    "which models there are": _models,
    "a conversation whose history the gateway keeps": lambda out: len(out.splitlines()) >= 2,
    "one message in Anthropic's format": _one_message,
    "is it alive? (needs no key)": _healthy,
    "one answer, as a whole": _about_the_sky,
    "streamed": _about_the_sky,
    "several at once": _sky_and_sea,
    "with Google's client": _about_the_sky,
    "in Gemini's format (curl)": _a_stream_of_gemini,
    "a function that the model may call": lambda out: (
        out.splitlines()[0] == 'get_weather {"city":"Oslo"}' and "4 C" in out
    ),
    "an answer that holds to a schema": lambda out: out == "['capital']\n",
    "a stored file in two questions": lambda said: len(said.splitlines()) >= 2,
    "a file uploaded in one request, as Google's API has it": lambda said: (
        json.loads(said)["file"]["displayName"] == "notes.txt"
    ),
    "with sources": lambda out: out.splitlines()[-1].startswith("Example Domain https://"),
    "with the model's thoughts": _thoughts_first,
    "what of this request is ignored?": _two_ignored,
    "the next question is blocked by a policy, the one after it gets a slow answer": _blocked_then_slow,
}

OF_THE_LIBRARY: dict[str, Callable[[str], bool]] = {
    "one answer as it arrives": lambda out: "sky blue" in out,
    "settings without an environment": lambda out: out == "mine 2\n",
    "the next question": lambda out: "sea" in out and "salty" in out,
}
