"""Several answers to one request, as limits and contexts see them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field

import pytest

from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.choices import ChoiceEvent, ChoicesStream, collect_choices
from gbproxy.domain.events import Done, TextDelta, Usage
from gbproxy.domain.principal import ANONYMOUS, Principal
from gbproxy.errors import CredentialRefused, NoAccountAvailable, RateLimitExceeded
from gbproxy.gateway.shared_reservation import SharedReservation
from gbproxy.observability import request_context
from gbproxy.web.side_by_side import merged
from tests.support.gateways import HELLO, KEY, ONE, Harness, Script, Upstream, message_of


@dataclass
class Reservations:
    """Limits that note what is reserved and settled."""

    refuses: bool = False
    begun: int = 0
    settled: list[int] = field(default_factory=list)

    def begin(
        self, principal: Principal, model_id: str, *, is_streamed: bool, prompt_tokens: int = 0
    ) -> Reservations:
        self.begun += 1
        if self.refuses:
            raise RateLimitExceeded("no", retry_after=1)
        return self

    def end(self, tokens: int) -> None:
        self.settled.append(tokens)


def begin(shared: SharedReservation) -> object:
    return shared.begin(ANONYMOUS, "m", is_streamed=True, prompt_tokens=10)


def test_limits_count_several_answers_as_one_with_one_prompt() -> None:
    limits = Reservations()
    shared = SharedReservation(limits.begin, 3)

    parts = [shared.begin(ANONYMOUS, "m", is_streamed=True, prompt_tokens=10) for _ in range(3)]
    for part, tokens in zip(parts, (0, 12, 15), strict=True):
        part.end(tokens)
        part.end(tokens)

    assert (limits.begun, limits.settled) == (1, [12 + 5])


def test_what_never_began_holds_nothing_once_the_block_is_left() -> None:
    limits = Reservations()

    with closing(SharedReservation(limits.begin, 3)) as shared:
        begin(shared)

    assert limits.settled == [0]


def test_a_refusal_holds_for_all() -> None:
    limits = Reservations(refuses=True)
    with closing(SharedReservation(limits.begin, 2)) as shared:
        for _ in range(2):
            with pytest.raises(RateLimitExceeded):
                begin(shared)

    assert (limits.begun, limits.settled) == (1, [])


def asked(harness: Harness, choices: int = 3) -> ChoicesStream:
    chat = ChatRequest((message_of("Hi"),), principal=Principal(KEY), choices=choices)
    return merged(lambda: harness.gateway.streams(chat))


def test_they_pass_a_limit_of_time_between_two_requests_together() -> None:
    context = request_context.begin("req-1")
    harness = Harness(Upstream(), model_interval_s=60.0)

    found = collect_choices(asked(harness))

    assert [answer.text for answer in found.choices] == ["Hello"] * 3
    assert context.attempts == 3
    assert len(set(harness.upstream.sessions)) == 3


def test_each_is_kept_once_all_were_delivered() -> None:
    harness = Harness(Upstream())

    events = list(asked(harness, 2))

    assert events[-1] == Done()
    assert isinstance(events[-2], Usage)
    assert sorted(harness.states.values()) == ["idle", "idle"]


def test_none_is_kept_if_the_last_frame_was_not_written() -> None:
    harness = Harness(Upstream())

    with closing(asked(harness, 2)) as events:
        for event in events:
            if event == Done():
                break

    assert sorted(harness.states.values()) == ["deleting", "deleting"]


def test_the_first_failure_ends_all() -> None:
    refused: Script = (CredentialRefused("no"),)
    harness = Harness(Upstream(HELLO[:1] + refused), ONE)
    events = asked(harness, 2)

    with pytest.raises((CredentialRefused, NoAccountAvailable)):
        list(events)

    assert len(harness.upstream.closed) == len(harness.upstream.asked)


def test_leaving_closes_every_one() -> None:
    endless: Script = (*HELLO[:-1], *[TextDelta("more ")] * 10_000)
    harness = Harness(Upstream(endless))

    with closing(asked(harness, 2)) as events:
        assert isinstance(
            next(event for event in events if isinstance(event, ChoiceEvent)), ChoiceEvent
        )

    assert sorted(harness.upstream.closed) == sorted(harness.upstream.sessions)
