"""The Codex CLI: its requests as it sends them, replayed; and the program itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gbproxy.connect.endpoint import Endpoint
from gbproxy.connect.programs import PROGRAMS
from gbproxy.connect.rendering import file_text
from gbproxy.simulator import answer
from tests.support.chats import used_sessions
from tests.support.node_client import CODEX, needs_codex
from tests.support.responses import check_order, events_of
from tests.support.serving import Reply, Served, SharedUpstream

MODEL = "gemini-3.8-flash"
ID = "01a227fd-5ef1-7f80-a371-0956d719aaec"
HEADERS = {
    "accept": "text/event-stream",
    "content-type": "application/json",
    "originator": "codex_exec",
    "user-agent": "codex_exec/0.171.0 (Debian 12.0.0; x86_64) xterm (codex_exec; 0.171.0)",
    "session-id": ID,
    "thread-id": ID,
    "x-client-request-id": ID,
    "x-codex-beta-features": "remote_compaction_v2",
    "x-codex-turn-metadata": json.dumps({"session_id": ID, "sandbox": "seccomp", "workspaces": {}}),
    "x-codex-window-id": f"{ID}:0",
}
EXEC: Any = {
    "type": "function",
    "name": "exec_command",
    "description": "Runs a command in a PTY, returning output or a session ID for ongoing interaction.",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {
            "cmd": {"type": "string", "description": "Shell command to execute."},
            "max_output_tokens": {"type": "number"},
            "sandbox_permissions": {"type": "string", "enum": ["use_default", "require_escalated"]},
            "tty": {"type": "boolean"},
            "workdir": {"type": "string"},
        },
        "required": ["cmd"],
        "additionalProperties": False,
    },
}
PATCH: Any = {
    "type": "custom",
    "name": "apply_patch",
    "description": "The `apply_patch` tool can be used to edit files. This is a FREEFORM tool.",
    "format": {
        "type": "grammar",
        "syntax": "lark",
        "definition": 'start: begin_patch hunk+ end_patch\nbegin_patch: "*** Begin Patch" LF\n',
    },
}
TOOLS: Any = [
    EXEC,
    {"type": "function", "name": "view_image", "description": "View a local image file.", "strict": False, "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}},
    PATCH,
    {"type": "namespace", "name": "multi_agent_v1", "description": "Tools for spawning and managing sub-agents.", "tools": [
        {"type": "function", "name": "close_agent", "description": "Close an agent.", "strict": False, "parameters": {"type": "object", "properties": {"target": {"type": "string"}}, "required": ["target"]}},
    ]},
    {"type": "web_search", "external_web_access": False},
]  # fmt: skip
OPENING: Any = [
    {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "You are a coding agent running in the Codex CLI."}]},
    {"type": "message", "id": "msg_2", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>\n  <cwd>/work</cwd>\n  <shell>bash</shell>\n</environment_context>"}]},
    {"type": "message", "id": "msg_3", "role": "user", "content": [{"type": "input_text", "text": "Write hello into a.txt, then make it upper case"}]},
]  # fmt: skip
SHOUTED = "*** Begin Patch\n*** Update File: a.txt\n@@\n-hello\n+HELLO\n*** End Patch"


def call(name: str, **payload: Any) -> str:
    """A call as a model writes it that remembers no mark."""
    return f"```tool_call\n{json.dumps({'name': name, **payload})}\n```"


def scripted(upstream: SharedUpstream) -> None:
    """A model that does the task in two steps."""
    upstream.script(
        *answer(
            "First the file.\n\n", call("exec_command", arguments={"cmd": "echo hello > a.txt"})
        )
    )
    upstream.script(*answer(call("apply_patch", input=SHOUTED)))
    upstream.script(*answer("a.txt says HELLO now."))


def turn(gateway: Served, items: list[Any]) -> Reply:
    body = {
        "model": MODEL,
        "stream": True,
        "input": items,
        "tools": TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": ID,
        "client_metadata": {"session_id": ID, "x-codex-window-id": f"{ID}:0"},
    }
    headers = {**HEADERS, "authorization": f"Bearer {gateway.key}"}
    return gateway.request("POST", "/v1/responses", json.dumps(body), headers)


def test_a_task_of_two_steps_in_one_session(gateway: Served, upstream: SharedUpstream) -> None:
    scripted(upstream)
    history, outputs, ignored = list(OPENING), [], []

    for result in (
        "Process exited with code 0",
        "Success. Updated the following files:\nM a.txt",
        "",
    ):
        reply = turn(gateway, history)
        events = events_of(reply.body)
        check_order(events)
        items = [e["item"] for e in events if e["type"] == "response.output_item.done"]
        outputs.append([item["type"] for item in items])
        ignored.append(reply.headers["x-gbproxy-ignored"])
        last = items[-1]
        history += items
        if last["type"] != "message":
            kind = f"{last['type']}_output"
            history.append({"type": kind, "call_id": last["call_id"], "output": result})

    assert outputs == [["message", "function_call"], ["custom_tool_call"], ["message"]]
    commands = [each["arguments"] for each in history if each["type"] == "function_call"]
    assert [json.loads(each) for each in commands] == [{"cmd": "echo hello > a.txt"}]
    assert [each["input"] for each in history if each["type"] == "custom_tool_call"] == [SHOUTED]
    assert set(ignored) == {"prompt_cache_key, tools.web_search, client_metadata"}
    [session] = used_sessions(upstream)
    assert len(session.queries) == 3


def test_the_models_as_the_program_reads_them(gateway: Served) -> None:
    listed = gateway.request("GET", "/v1/models?client_version=0.171.0", headers=gateway.headers)
    plain = gateway.request("GET", "/v1/models", headers=gateway.headers).json()

    assert listed.json()["data"] == plain["data"]
    assert "models" not in plain
    first, *others = listed.json()["models"]
    assert first["slug"] == plain["data"][0]["id"]
    assert first["context_window"] == plain["data"][0]["context_length"]
    assert [each["priority"] for each in others] == list(range(2, len(others) + 2))


@pytest.mark.slow
@needs_codex
def test_the_program_does_a_task_of_two_steps(
    gateway: Served, upstream: SharedUpstream, tmp_path: Path
) -> None:
    scripted(upstream)
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (program,) = (each for each in PROGRAMS if each.name == "codex")
    (way,) = program.ways
    config = file_text(way, way.files[0], Endpoint(gateway.url, MODEL))
    (home / "config.toml").write_text(config, "utf-8")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

    done = subprocess.run(
        [CODEX, "exec", "--skip-git-repo-check", "--json", "-s", "danger-full-access",
         "Write hello into a.txt, then make it upper case"],
        cwd=work,
        env={**kept, "CODEX_HOME": str(home), "OPENAI_API_KEY": gateway.key},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )  # fmt: skip

    events = [json.loads(line) for line in done.stdout.splitlines()]
    items = [each["item"] for each in events if each["type"] == "item.completed"]
    assert done.returncode == 0, done.stderr
    assert [each for each in items if each["type"] == "error"] == []
    assert (work / "a.txt").read_text() == "HELLO\n"
    assert items[-1]["text"] == "a.txt says HELLO now."
    assert len(used_sessions(upstream)) == 1
