"""Sessions that come to be with their first question: asked, continued and deleted like any
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gbproxy.simulator import Element, Pause, Session, policy_violation
from tests.support.chats import STREAM, assistant, user
from tests.support.serving import Front, SharedUpstream, fronting

pytestmark = pytest.mark.slow


def nameless(text: str, **answer: object) -> Element:
    """A piece of an answer that does not say in which session it is given."""
    replies = [{"groundedContent": {"content": {"role": "model", "text": text}}}]
    return Element({"streamAssistResponse": {"answer": {"replies": replies, **answer}}})


NAMELESS = (nameless("Name", state="IN_PROGRESS"), Pause(0.3), nameless("less.", state="SUCCEEDED"))

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
either_form = pytest.mark.parametrize("form", ["dash", "own"])


@pytest.fixture(scope="module")
def fronts() -> Iterator[Callable[[str], Front]]:
    """Gateways that prewarm, were there anything to open ahead, before an upstream that opens no
    session.
    """
    made: dict[str, Front] = {}
    with ExitStack() as stack:

        def front(form: str) -> Front:
            if form not in made:
                upstream = stack.enter_context(SharedUpstream())
                made[form] = stack.enter_context(fronting(upstream, {"UPSTREAM_SESSION": form}))
            return made[form]

        yield front


@pytest.fixture
def front(fronts: Callable[[str], Front], form: str) -> Front:
    shared = fronts(form)
    shared.renew()
    shared.upstream.set(create_session="403")
    return shared


@pytest.fixture
def made(front: Front) -> Callable[[], list[Session]]:
    """The upstream's sessions of this test."""
    before = set(front.upstream.sessions)
    return lambda: [
        session for id_, session in front.upstream.sessions.items() if id_ not in before
    ]


@streamed_or_not
@either_form
@pytest.mark.parametrize(
    "switches", [{}, {"session_info": "everywhere"}, {"session_info_name": "full"}], ids=str
)
def test_a_conversation_goes_on_by_its_history_and_by_its_id(
    front: Front, made: Callable[[], list[Session]], switches: dict[str, str], stream: bool
) -> None:
    front.upstream.set(**switches)

    first = front.gateway.ask("Who?", stream=stream)
    its_id = {"X-Conversation-Id": first.headers["X-Conversation-Id"]}
    by_history = front.gateway.ask(
        [user("Who?"), assistant(first.text), user("Where?")], stream=stream
    )
    by_id = front.gateway.ask("When?", stream=stream, headers=its_id)

    assert [reply.succeeded for reply in (first, by_history, by_id)] == [True] * 3
    assert by_id.headers["X-Conversation-Id"] == first.headers["X-Conversation-Id"]
    assert [session.queries for session in made()] == [["Who?", "Where?", "When?"]]
    assert front.upstream.calls("widgetCreateSession") == []


@streamed_or_not
@either_form
def test_a_session_that_is_not_gone_on_from_is_deleted(
    front: Front, made: Callable[[], list[Session]], stream: bool
) -> None:
    front.upstream.script(*policy_violation())

    reply = front.gateway.ask("Who?", stream=stream)

    assert reply.finish_reason == "content_filter"
    assert front.upstream.wait_for(lambda: [session.deleted for session in made()] == [True])


@pytest.mark.parametrize("form", ["dash"])
def test_an_answer_that_names_no_session_cannot_be_gone_on_from(
    front: Front, made: Callable[[], list[Session]]
) -> None:
    front.upstream.script(*NAMELESS, times=2)

    whole = front.gateway.ask("Who?")
    streamed = front.gateway.ask("Who?", stream=True)
    promised = streamed.headers["X-Conversation-Id"]  # which went out before anybody could know
    gone_on = front.gateway.ask("And?", headers={"X-Conversation-Id": promised})

    assert (whole.text, streamed.text) == ("Nameless.", "Nameless.")
    assert whole.headers["X-Conversation-Id"] is None
    assert gone_on.error["code"] == "conversation_not_found"
    front.gateway.log_of(gone_on)  # all lines before it are there then
    theirs = {reply.headers["x-request-id"] for reply in (whole, streamed)}
    left = front.gateway.events("session.left", lambda line: line["request_id"] in theirs)
    assert len(left) == 2
    assert len(made()) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "switches"),
    [
        ("dash", {"dash_session": "refused"}),
        ("own", {"own_session": "400"}),
        ("own", {"own_session": "404"}),
    ],
    ids=str,
)
@streamed_or_not
def test_an_upstream_that_makes_no_such_session_is_told_with_the_setting_s_name(
    front: Front, form: str, switches: dict[str, str], stream: bool
) -> None:
    front.upstream.set(**switches)

    reply = front.gateway.ask("Who?", stream=stream)

    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert f"UPSTREAM_SESSION={form}" in reply.error["message"]
    assert front.upstream.questions() != []
    assert len(front.upstream.calls(STREAM)) <= 3
