"""The settings of older programs of this kind, pasted as they are: each block starts a gateway that
answers.

Only hosts, ports, credentials and what stands for a value are replaced by the test's own.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from gbproxy.settings import LEGACY_IGNORED
from gbproxy.settings.environment import ALIASES, read_env_file
from tests.support.databases import PostgreSQL
from tests.support.relays import Proxy
from tests.support.serving import GUNICORN, KEY, Served, SharedUpstream, free_port, process

pytestmark = pytest.mark.slow

A_COMPOSE = """\
GEMINI_API_BASE=https://biz-discoveryengine.googleapis.com
AUTH_DOMAIN=auth.business.gemini.google
BUSINESS_DOMAIN=business.gemini.google
CONFIG_ID=11111111-2222-4333-8444-555555555555
JWT_EXPIRY_MINUTES=60
LOG_LEVEL=info
"""
B_DOCKER_RUN = """\
SERVER_ADDRESS=0.0.0.0
SERVER_PORT=8080
GEMINI_BUSINESS_URL=https://business.gemini.google
API_BASE_URL=https://biz-discoveryengine.googleapis.com/v1alpha
AUTH_URL=https://auth.business.gemini.google
ACCOUNT_EMAIL=someone@example.com
SESSION_TIMEOUT=1800
OPENAI_COMPATIBLE=true
API_KEY_HEADER=Authorization
DEFAULT_MODEL=gemini-business
LOG_LEVEL=info
LOG_FORMAT=json
"""
C_ENV_FILE = """\
GEMINI_BUSINESS_EMAIL=someone@example.com
GEMINI_BUSINESS_CONFIG_ID=11111111-2222-4333-8444-555555555555
PORT=8080
LOG_LEVEL=info
JWT_SECRET=a_long_random_value
"""
D_ENV_FILE = """\
SECURE_C_SES=…
CSESIDX=…
CONFIG_ID=…
HOST_C_OSES=
API_KEY=sk-0123456789abcdef
SECRET_KEY=…
PROXY=http://127.0.0.1:7890
DATABASE_URL=postgresql://user:password@localhost:5432/gemini_db
"""
BLOCKS = {"A": A_COMPOSE, "B": B_DOCKER_RUN, "C": C_ENV_FILE, "D": D_ENV_FILE}

UPSTREAM_HOSTS = r"(?:biz-discoveryengine\.googleapis\.com|(?:auth\.)?business\.gemini\.google)"
MEANS = {other: name for name, others in ALIASES.items() for other in others}


def pasted(
    block: str, own: Mapping[str, str], upstream: SharedUpstream, folder: Path
) -> dict[str, str]:
    """A block with the test's own hosts and values; an empty value stays empty."""
    path = folder / "pasted.env"
    path.write_text(re.sub(UPSTREAM_HOSTS, upstream.url.removeprefix("https://"), block), "utf-8")
    return {name: own.get(name, text) if text else "" for name, text in read_env_file(path).items()}


def beside(given: Mapping[str, str], port: str, upstream: SharedUpstream) -> dict[str, str]:
    """What the block does not say: the account's values, and what keeps a test on this machine and
    at its simulator.
    """
    account = upstream.environment()
    values = {**account, "HOST": "127.0.0.1", "PORT": port}
    said = {MEANS.get(name, name) for name in given}
    return {name: value for name, value in values.items() if name not in said}


@contextmanager
def started(environment: Mapping[str, str], port: str) -> Iterator[Served]:
    with process(GUNICORN, environment, ended_by=signal.SIGQUIT) as running:
        gateway = Served(running, f"http://127.0.0.1:{port}", environment.get("API_KEY", ""))
        gateway.wait_until_ready()
        gateway.key = gateway.key or made_key(gateway)
        yield gateway


def made_key(gateway: Served) -> str:
    """The key that was made at the start, as none is set."""
    found = gateway.process.wait_for(
        lambda: re.search(r"The key for this start: (\S+)", gateway.stderr)
    )
    return found[1]


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_an_older_program_starts_a_gateway_that_answers(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with SharedUpstream(tls=True) as upstream, Proxy("http") as proxy:
        port = str(free_port())
        own = upstream.environment() | {
            "GEMINI_BUSINESS_CONFIG_ID": upstream.account.config_id,
            "SERVER_ADDRESS": "127.0.0.1",
            "SERVER_PORT": port,
            "PORT": port,
            "API_KEY": KEY,
            "SECRET_KEY": "a-secret-key-for-tests-1",
            "PROXY": proxy.url,
        }
        if name == "D":
            server: PostgreSQL = request.getfixturevalue("server")
            own["DATABASE_URL"] = server.new_database()
        given = pasted(BLOCKS[name], own, upstream, tmp_path)

        with started(beside(given, port, upstream) | given, port) as gateway:
            reply = gateway.ask(model=None)
            done = gateway.log_of(reply)
            ignored = [line["names"] for line in gateway.events("setting.ignored")]

        assert upstream.questions() == ["What is the moon made of?"]
        assert bool(proxy.asked) is ("PROXY" in given)
    assert reply.succeeded
    assert reply.model == "gemini-auto"
    assert done["status"] == 200
    assert ignored == (
        [sorted(given.keys() & LEGACY_IGNORED)] if given.keys() & LEGACY_IGNORED else []
    )


def test_what_is_ignored_in_the_blocks_is_all_that_has_no_meaning_here() -> None:
    named = set(re.findall(r"^(\w+)=", "".join(BLOCKS.values()), re.MULTILINE))

    assert named & LEGACY_IGNORED == LEGACY_IGNORED
