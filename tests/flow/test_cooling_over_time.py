"""How long an account is left alone, and how it comes back: two workers over real sockets, and a
clock that stands still.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.conversations import Conversations
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.attachment import Attachment, LinkedAttachment
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.chat import ChatRequest, Message, TextPart
from gbproxy.domain.events import collect
from gbproxy.domain.session import Session
from gbproxy.errors import CredentialRefused, GatewayError, QuotaExhausted, UpstreamOverloaded
from gbproxy.gateway import Gateway
from gbproxy.gateway.files import FileTransfer
from gbproxy.outbound import HttpClient, Timeouts
from gbproxy.rate_limits.limiter import Limiter, Rules
from gbproxy.rate_limits.memory_store import MemoryLimitStore
from gbproxy.simulator import Action, Simulator, answer, denied, html_error, overloaded, quota
from gbproxy.upstreams.registry import Upstreams
from gbproxy.upstreams.widget.endpoints import EndpointMap
from gbproxy.upstreams.widget.widget import Widget
from tests.support.accounts import widget_account
from tests.support.business_host import lone_auth
from tests.support.chats import NAMES, asked, csesidx
from tests.support.clock import NOON
from tests.support.gates import Gate
from tests.support.memory_rows import MemoryRows
from tests.support.pools import MIDNIGHT, Workers

Script = tuple[Action, ...]
WELL = "All is well."


def _no_file(link: LinkedAttachment) -> Attachment:
    raise AssertionError(f"nothing here links to a file, such as {link.place}")


class NothingAhead:
    """No prewarmed sessions."""

    def __init__(self, upstream: Widget) -> None:
        self._upstream = upstream

    def open(self, account: Account, *, for_files: bool = False) -> str:
        return self._upstream.open_session(account, for_files=for_files)

    def take(self, account: Account) -> Session | None:
        del account
        return None

    def invalidate(self, account: Account) -> None:
        del account


class Harness:
    """Two workers with the same accounts, which read the shared health when `poll` says so."""

    def __init__(self, upstream: Simulator, count: int) -> None:
        while len(upstream.accounts) < count:
            upstream.add_account()
        self.upstream = upstream
        self.accounts = [
            widget_account(
                name, name, given.csesidx, given.config_id, given.secure_c_ses, given.host_c_oses
            )
            for name, given in zip(NAMES, upstream.accounts.values(), strict=False)
        ]
        self._workers = Workers(self.accounts, order="first", wait_s=5)
        self.clock = self._workers.clock
        self.poll = self._workers.poll
        self.pools = self._workers.pools
        self.outbound = HttpClient(Timeouts(5, 5, 30))
        headers = {"User-Agent": "gbproxy/test"}
        endpoints = EndpointMap(
            page_url=upstream.url, api_base_url=f"{upstream.url}/v1alpha", headers=headers
        )
        widget = Widget(self.outbound, lone_auth(self.outbound, endpoints), endpoints)
        rows = MemoryRows(self.clock)
        self.gateways = [
            Gateway(
                AvailableModels(Catalogue(), ModelSupport(), pool.enabled),
                pool,
                Upstreams({WIDGET: widget}),
                Conversations(
                    rows,
                    session_timeout_s=0,
                    delete_unrecorded=lambda session: None,
                    clock=self.clock,
                ),
                NothingAhead(widget),
                Limiter(MemoryLimitStore(self.clock), Rules()),
                FileTransfer(_no_file, max_fetched_bytes=0),
                pause=lambda seconds: None,
            )
            for pool in self._workers.pools
        ]

    def ask(self, worker: int = 0) -> str:
        """The answer. Raises what a client would get."""
        events = self.gateways[worker].stream(
            ChatRequest((Message("user", (TextPart("Hello"),)),), "gemini-auto")
        )
        with closing(events):
            return collect(events).text

    def says(self, name: str, *script: Script) -> None:
        """These are the account's next answers; then it is well."""
        for each in script:
            self.upstream.script(*each, csesidx=csesidx(self.upstream, name))

    def refuses(self, name: str) -> None:
        """The account is let open no session once."""
        self.upstream.script(
            *denied(), path="widgetCreateSession", csesidx=csesidx(self.upstream, name)
        )

    def cooling_s(self, name: str) -> float | None:
        """For how long the account is left alone from now on."""
        until = self.pools[0].snapshot()[NAMES.index(name)].cooling_until.get("text")
        return None if until is None else until - self.clock.now


@pytest.fixture
def upstream() -> Iterator[Simulator]:
    with Simulator() as made:
        yield made


@pytest.fixture
def alone(upstream: Simulator) -> Iterator[Harness]:
    """With one account."""
    harness = Harness(upstream, 1)
    yield harness
    harness.outbound.close()


@pytest.fixture
def pair(upstream: Simulator) -> Iterator[Harness]:
    harness = Harness(upstream, 2)
    yield harness
    harness.outbound.close()


def refusal(harness: Harness, worker: int = 0) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        harness.ask(worker)
    return raised.value


def test_a_minute_then_four_times_as_long_on_each_repeat_and_never_beyond_midnight(
    alone: Harness,
) -> None:
    lengths = []
    for _ in range(6):
        alone.says("first", quota())
        error = refusal(alone)
        length = alone.cooling_s("first")
        assert length is not None
        assert isinstance(error, QuotaExhausted)
        assert error.retry_after == pytest.approx(length)
        lengths.append(length)
        alone.clock.now += length

    assert lengths == pytest.approx(
        [60, 240, 960, 3840, 15360, MIDNIGHT - NOON - 60 - 240 - 960 - 3840 - 15360]
    )


def test_an_answer_begins_the_count_anew(alone: Harness) -> None:
    alone.says("first", quota(), quota())
    refusal(alone)
    alone.clock.now += 60
    refusal(alone)
    alone.clock.now += 240
    alone.ask()
    alone.says("first", quota())
    refusal(alone)

    assert alone.cooling_s("first") == pytest.approx(60)


def test_until_midnight_at_once_only_when_a_quota_of_the_day_is_named(alone: Harness) -> None:
    alone.says("first", quota(daily=True, retry_delay_s=30))

    error = refusal(alone)

    assert alone.cooling_s("first") == pytest.approx(MIDNIGHT - NOON)
    assert error.retry_after == pytest.approx(MIDNIGHT - NOON)
    alone.clock.now = MIDNIGHT - 1
    assert isinstance(refusal(alone), QuotaExhausted)
    alone.clock.now = MIDNIGHT
    assert alone.ask()
    assert asked(alone.upstream) == ["first"] * 2


@pytest.mark.parametrize("worker", [0, 1], ids=["the same worker", "another worker"])
def test_when_a_quota_s_pause_ends_one_request_is_let_through_and_the_others_follow_its_success(
    pair: Harness, worker: int
) -> None:
    pair.says("first", quota())
    pair.ask()
    pair.poll()
    pair.clock.now += 59
    pair.ask(worker)
    pair.clock.now += 1
    gate = Gate()
    pair.says("first", (gate.closed, *answer(WELL)))

    with ThreadPoolExecutor(1) as threads:
        trial = threads.submit(pair.ask, 0)
        assert pair.upstream.wait_for(lambda: asked(pair.upstream).count("first") == 2)
        pair.poll()
        meanwhile = [pair.ask(each) for each in (0, 1)]
        gate.open()
        assert trial.result() == WELL
    pair.poll()
    afterwards = asked(pair.upstream)
    pair.ask(0)
    pair.ask(1)

    assert all(meanwhile)
    assert afterwards == ["first", "second", "second", "first", "second", "second"]
    assert asked(pair.upstream)[-2:] == ["first", "first"]


def test_of_two_workers_one_alone_tries(pair: Harness) -> None:
    """Both hear of the pause's end at the same moment; neither has heard of the other's request."""
    pair.says("first", quota())
    pair.ask()
    pair.poll()
    pair.clock.now += 60
    gate = Gate()
    pair.says("first", *[(gate.closed, *answer(WELL))] * 2)
    barrier = threading.Barrier(2)

    def at_once(worker: int) -> str:
        barrier.wait()
        return pair.ask(worker)

    with ThreadPoolExecutor(2) as threads:
        answering = [threads.submit(at_once, worker) for worker in (0, 1)]
        assert pair.upstream.wait_for(lambda: len(asked(pair.upstream)) == 4)
        gate.open()
        answers = [each.result() for each in answering]

    assert len(answers) == 2
    assert sorted(asked(pair.upstream)[2:]) == ["first", "second"]


def test_a_trial_that_fails_costs_one_request_one_attempt(pair: Harness) -> None:
    pair.says("first", quota(), quota())
    pair.ask()
    pair.clock.now += 60

    assert pair.ask()

    assert asked(pair.upstream) == ["first", "second", "first", "second"]
    assert pair.cooling_s("first") == pytest.approx(240)


def test_overload_is_over_in_seconds_without_a_trial(pair: Harness) -> None:
    pair.says("first", overloaded(), overloaded(7200))
    pair.ask()
    length = pair.cooling_s("first")
    pair.clock.now += length or 0
    pair.ask()

    assert length is not None
    assert 5 <= length <= 15
    assert pair.cooling_s("first") == pytest.approx(3600)


def test_busy_accounts_are_not_locked_for_longer_each_time(alone: Harness) -> None:
    for _ in range(20):
        alone.says("first", html_error(503))
        error = refusal(alone)
        length = alone.cooling_s("first")
        assert length is not None
        assert isinstance(error, UpstreamOverloaded)
        assert 5 <= length <= 15
        alone.clock.now += length

    assert alone.ask()


def test_a_refused_credential_does_not_come_back_by_time_but_by_replacement(pair: Harness) -> None:
    pair.refuses("first")
    pair.ask()
    pair.poll()
    pair.clock.now += 30 * 86_400
    pair.ask(0)
    pair.ask(1)
    pair.pools[0].replace(
        [widget_account("first", "first", *_values(pair, fresh="CSE.Afresh")), pair.accounts[1]]
    )
    pair.upstream.account.secure_c_ses = "CSE.Afresh"

    pair.ask(0)

    assert asked(pair.upstream) == ["second", "second", "second", "first"]


def test_when_all_are_refused_the_client_hears_it_without_a_call(pair: Harness) -> None:
    pair.refuses("first")
    pair.refuses("second")
    refusal(pair)
    pair.poll()
    pair.clock.now += 86_400

    assert isinstance(refusal(pair, 0), CredentialRefused)
    assert isinstance(refusal(pair, 1), CredentialRefused)
    assert len(pair.upstream.calls("widgetCreateSession")) == 2


def _values(harness: Harness, fresh: str) -> tuple[str, str, str, str]:
    given = harness.upstream.account
    return given.csesidx, given.config_id, fresh, given.host_c_oses
