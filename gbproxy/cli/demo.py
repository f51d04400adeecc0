"""`gbproxy demo` (`make demo`): simulator and gateway on loopback, one streamed answer, then both
serve until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import IO

from gbproxy.cli.demo_question import QUESTION, NoAnswer, ask
from gbproxy.cli.serve import gunicorn_command
from gbproxy.cli.terminal import print_error

_HOST = "127.0.0.1"
_START_S = 30.0
_STOP_S = 10.0

_TRY = """
The gateway serves at {url}, with the simulator at {simulator} behind it. Try:

  curl -N {url}/v1/chat/completions \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"model": "gemini-auto", "stream": true,
         "messages": [{{"role": "user", "content": "Count to five"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="{key}")
  question = {{"role": "user", "content": "Hi"}}
  answer = client.chat.completions.create(model="gemini-auto", messages=[question])
  print(answer.choices[0].message.content)

In the browser, the console, where accounts and keys are looked after:

  {url}/admin    password: {admin_key}

With an account of your own: docs/getting-started.md, then `gbproxy serve --env-file .env`, or
`make run`. Ctrl-C ends the demo.
"""


def define(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_demo)


class _DemoError(Exception):
    """The demo could not be shown; the message says why."""


def _demo(options: argparse.Namespace) -> int:
    """Run the demo with PORT and DEMO_EXIT from the environment; 0 if the whole answer arrived."""
    del options  # it has none
    key = f"sk-demo-{secrets.token_urlsafe(24)}"
    admin_key = f"ak-demo-{secrets.token_urlsafe(24)}"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        port = _port()
        url = f"http://{_HOST}:{port}"
        with ExitStack() as stack:
            account = stack.enter_context(_simulator())
            log = stack.enter_context(tempfile.TemporaryFile())
            gateway = stack.enter_context(
                _gateway(
                    {**account, "API_KEYS": key, "ADMIN_KEY": admin_key, "PORT": str(port)}, log
                )
            )
            _wait_until_ready(gateway, port, log)
            _ask(url, key)
            if os.environ.get("DEMO_EXIT") == "1":
                return 0
            shown = {"url": url, "key": key, "admin_key": admin_key}
            _write(_TRY.format(**shown, simulator=account["GEMINI_BUSINESS_URL"]) + "\n")
            signal.pause()
    except _DemoError as error:
        print_error(f"demo: {error}")
        return 1
    except KeyboardInterrupt:
        _write("\nThe demo has ended.\n")
    return 0


@contextmanager
def _simulator() -> Iterator[Mapping[str, str]]:
    """Run the simulator; yields the settings of a gateway in front of it."""
    command = [sys.executable, "-m", "gbproxy", "simulate", "--port", "0"]
    with _process(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101  for the type checker: a pipe was asked for
        line = process.stdout.readline()
        try:
            ready = json.loads(line)
        except ValueError:
            raise _DemoError("the simulator did not start") from None
        yield ready["environment"]


@contextmanager
def _gateway(environment: Mapping[str, str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = {"HOST": _HOST, "WEB_CONCURRENCY": "1", "LOG_LEVEL": "info", "GRACEFUL_TIMEOUT_S": "2"}
    env = {**_clean_environment(), **quiet, **environment}
    with _process(gunicorn_command(), env=env, stdout=log, stderr=log) as process:
        yield process


@contextmanager
def _process(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, **streams: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    # In a session of its own, so that Ctrl-C reaches us alone and we end our children in order.
    process = subprocess.Popen(command, env=env, start_new_session=True, **streams)  # type: ignore[call-overload] # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _clean_environment() -> dict[str, str]:
    """The variables that any process needs: no setting of a gateway for real accounts."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    }


def _port() -> int:
    """PORT, or 8080. Raises _DemoError when it is not a port or is in use."""
    text = os.environ.get("PORT", "").strip() or "8080"
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    if not 0 < port < 65536:
        raise _DemoError("PORT must be a number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise _DemoError(
                f"port {port} cannot be used ({error.strerror}); set PORT to another one"
            ) from error
    return port


def _wait_until_ready(gateway: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and gateway.poll() is None:
        try:
            # never through a proxy of the environment
            connection = HTTPConnection(_HOST, port, timeout=1)
            connection.request("GET", "/readyz")
            connection.getresponse().read()
        except (HTTPException, OSError):
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    log.seek(0)
    raise _DemoError(f"the gateway did not start:\n{log.read().decode(errors='replace')}")


def _ask(url: str, key: str) -> None:
    """Ask one question with streaming and print the answer as it arrives. Raises _DemoError unless
    it came whole.
    """
    _write(f"you: {QUESTION}\n\n")
    _write("gemini-auto: ")
    try:
        for piece in ask(url, key):
            _write(piece)
    except NoAnswer as error:
        raise _DemoError(str(error)) from error
    _write("\n\n")


def _write(text: str) -> None:
    """Print at once: the demo waits for more output while this stands on the screen."""
    sys.stdout.write(text)
    sys.stdout.flush()
