"""Structured output in the whole gateway: asked for, corrected in its session, refused, failed."""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.domain.events import Done, Refusal, Started, TextDelta, Usage
from gbproxy.domain.response_format import ResponseFormat
from gbproxy.emulation.pipeline import Pipeline, compose
from gbproxy.emulation.structured_output.emulation import REFUSAL, StructuredOutput
from gbproxy.errors import StructuredOutputInvalid
from gbproxy.upstreams.base import Capabilities
from tests.support.gateways import KEY, ONE, TWO, Harness, Script, Upstream, text_of
from tests.support.structured_output import CITY

OSLO: Script = (TextDelta('Sure: {"city": '), TextDelta('"Oslo"} Good?'), Done())
WRONG: Script = (TextDelta('{"city": '), TextDelta("5}"), Done())
PROSE: Script = (TextDelta("The city is Oslo."), Done())


def with_format(
    form: ResponseFormat = CITY, *, is_streamed: bool
) -> Callable[[Capabilities], Pipeline]:
    used = StructuredOutput(form, is_streamed=is_streamed)
    return lambda capabilities: Pipeline((used.stage(), *compose(capabilities).stages))


def harness(*scripts: Script, is_streamed: bool = False) -> Harness:
    return Harness(Upstream(*scripts), ONE, TWO, emulation=with_format(is_streamed=is_streamed))


def test_the_model_is_told_and_only_its_json_is_the_answer() -> None:
    used = harness(OSLO)

    events = used.answer("Where?")

    assert text_of(events) == '{"city": "Oslo"}'
    assert '"required":["city"]' in used.upstream.prompts[0]


def test_a_wrong_answer_is_corrected_in_the_same_session() -> None:
    used = harness(WRONG, OSLO)

    events = used.answer("Where?", key_digest=KEY)

    assert text_of(events) == '{"city": "Oslo"}'
    assert used.upstream.asked == [("one", "gemini-auto", "s/1")] * 2
    assert "5 is not of type 'string'" in used.upstream.prompts[1]


def test_an_answer_that_stays_wrong_is_a_refusal_and_asks_no_other_account() -> None:
    used = harness(WRONG, PROSE, OSLO)

    events = used.answer("Where?")

    assert [event for event in events if not isinstance(event, Started | Usage)] == [
        Refusal(REFUSAL, is_content=False),
        Done(),
    ]
    assert len(used.upstream.asked) == 2


def test_a_stream_that_turns_out_wrong_ends_with_an_error_and_costs_the_account_nothing() -> None:
    used = harness(WRONG, OSLO, is_streamed=True)

    error, events = used.failure("Where?")

    assert isinstance(error, StructuredOutputInvalid)
    assert text_of(events) == '{"city": 5}'
    assert len(used.upstream.asked) == 1
    assert text_of(used.answer("Where?")) == '{"city": "Oslo"}'
    assert [account for account, *_ in used.upstream.asked] == ["one", "one"]
