"""A chat goes on in the upstream session that holds its history, and in no other; whatever cannot
match begins afresh.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from gbproxy.simulator import (
    Action,
    End,
    Fin,
    Final,
    Pause,
    Rst,
    Stall,
    Text,
    answer,
    denied,
    failed_alone,
    http_error,
    in_stream_error,
    overloaded,
    policy_violation,
    quota,
    session_not_found,
    thoughts_only,
)
from tests.support.chats import (
    STREAM,
    Chat,
    accounts,
    asked,
    assistant,
    csesidx,
    holds,
    killed_in_the_end,
    one_at_a_time,
    system,
    texts_by_session,
    topic,
    used_sessions,
    user,
)
from tests.support.polling import until
from tests.support.serving import FORGETFUL, KEY, Front, Reply, Served, SharedUpstream, serving

OTHER_KEY = "sk-test-another-0a1b2c3d4e"
Messages = list[dict[str, Any]]
Script = tuple[Action, ...]

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway with two accounts, asked in their order, and two keys."""
    forget = str(tmp_path_factory.mktemp("forget") / "socket")
    with SharedUpstream() as upstream:
        settings = {
            "ACCOUNT_ORDER": "first",
            "FORGET_SOCKET": forget,
            "API_KEYS": f"{KEY},{OTHER_KEY}",
        }
        settings |= {"ACCOUNT_CONCURRENCY": "100", "LOG_LEVEL": "debug"}
        with serving(accounts(upstream, 2) | settings, command=FORGETFUL) as gateway:
            gateway.key = KEY
            yield Front(upstream, gateway, forget)


@pytest.fixture
def front(shared: Front) -> Front:
    shared.renew()
    # A client that the test before has left may be noticed a little later.
    assert shared.upstream.wait_for(lambda: shared.upstream.open_streams == 0)
    return shared


@pytest.fixture
def gateway(front: Front) -> Served:
    return front.gateway


@pytest.fixture
def upstream(front: Front) -> Iterator[SharedUpstream]:
    """At the end, what holds for every session whatever was done."""
    with one_at_a_time(front.upstream):
        yield front.upstream


def begun(gateway: Served, stream: bool = False) -> Chat:
    """A conversation with one turn."""
    chat = Chat(gateway)
    assert chat.say(f"{topic()}: what is the moon made of?", stream=stream).succeeded
    return chat


def other_key(key: str = OTHER_KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def by_id(gateway: Served, conversation: str | None, text: str = "Go on.", **options: Any) -> Reply:
    """Only the new message, and the id."""
    assert conversation is not None
    headers = {"X-Conversation-Id": conversation} | options.pop("headers", {})
    return gateway.ask(text, headers=headers, **options)


def was_continued(gateway: Served, reply: Reply) -> bool:
    """By the gateway's own word."""
    return bool(gateway.log_of(reply)["continued"])


# What continues


def test_turn_after_turn_goes_into_one_session_and_each_time_only_the_new_text(
    gateway: Served, upstream: SharedUpstream
) -> None:
    said = [f"{topic()}: question {number}" for number in range(6)]
    chat = Chat(gateway)

    replies = [chat.say(text, stream=number % 2 == 0) for number, text in enumerate(said)]

    assert texts_by_session(upstream) == [said]
    assert len({reply.headers["X-Conversation-Id"] for reply in replies}) == 1
    assert [was_continued(gateway, reply) for reply in replies] == [False] + [True] * 5


@streamed_or_not
def test_the_sdk_goes_on_without_doing_anything_for_it(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    said = [f"{topic()}: how far is the moon?", "And the sun?", "And Mars?"]
    messages: list[Any] = []

    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        for text in said:
            messages.append(user(text))
            if stream:
                with client.chat.completions.create(
                    model="gemini-auto", messages=messages, stream=True
                ) as chunks:
                    answered = "".join(
                        chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
                    )
                messages.append(assistant(answered))
            else:
                completion = client.chat.completions.create(model="gemini-auto", messages=messages)
                messages.append(completion.choices[0].message)

    assert texts_by_session(upstream) == [said]


@streamed_or_not
def test_instructions_are_sent_once(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat = Chat(gateway, system(f"Be brief about {topic()}."))

    chat.say("What is the moon?", stream=stream)
    chat.say("And the sun?", stream=stream)

    ((first, second),) = texts_by_session(upstream)
    assert holds(first, [system("Be brief about"), user("What is the moon?")])
    assert second == "And the sun?"


def test_several_new_messages_go_together(gateway: Served, upstream: SharedUpstream) -> None:
    chat = begun(gateway)

    chat.ask([*chat.messages, user("One more thing."), user("What is the sun?")])

    ((_, second),) = texts_by_session(upstream)
    assert holds(second, [user("One more thing."), user("What is the sun?")])
    assert chat.messages[0]["content"] not in second


def _parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


SAME: dict[str, Callable[[str, str], Messages]] = {
    "as parts": lambda q, a: [
        {"role": "user", "content": _parts(q)},
        {"role": "assistant", "content": _parts(a)},
    ],
    "as a part for each line": lambda q, a: [
        user(q),
        {"role": "assistant", "content": _parts(*a.split("\n"))},
    ],
    "with CRLF": lambda q, a: [user(q), assistant(a.replace("\n", "\r\n"))],
    "with white space around": lambda q, a: [user(f"\n {q}\n"), assistant(f"  {a}\r\n\r\n")],
    "behind <think>": lambda q, a: [user(q), assistant(f"<think>\nHm, {q}\n</think>\n\n{a}")],
    "behind <details>": lambda q, a: [
        user(q),
        assistant(
            '<details type="reasoning" done="true">\n<summary>Thought</summary>\n>'
            f" Hm\n</details>\n{a}"
        ),
    ],
    "with its reasoning": lambda q, a: [
        user(q),
        assistant(a) | {"reasoning_content": "Hm.", "refusal": None},
    ],
    "with an id": lambda q, a: [user(q), assistant(a) | {"id": "msg_1", "tool_calls": None}],
}


@streamed_or_not
@pytest.mark.parametrize("how", SAME)
def test_what_clients_do_to_texts_does_not_matter(
    gateway: Served, upstream: SharedUpstream, how: str, stream: bool
) -> None:
    upstream.script(*answer("One.\n", "Two.\n\n", "```\nx = 1\n```\n", thoughts=("Hm.",)))
    chat = Chat(gateway)
    question = f"{topic()}: count, and show it"
    chat.say(question, stream=stream)

    reply = chat.ask(
        [*SAME[how](question, chat.messages[-1]["content"]), user("Thanks. Go on.")], stream=stream
    )

    assert reply.succeeded
    assert texts_by_session(upstream) == [[question, "Thanks. Go on."]]


def test_thoughts_that_were_shown_may_be_sent_back_or_not(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*answer("Cheese.", thoughts=("Hm.",)))
    chat = Chat(gateway)

    shown = chat.say(f"{topic()}: what is it made of?", stream=True, include_reasoning=True)
    chat.say("Really?")

    assert shown.reasoning
    assert [len(texts) for texts in texts_by_session(upstream)] == [2]


# What does not

OTHER: dict[str, Callable[[Messages], Messages]] = {
    "an edited question": lambda m: [user(m[0]["content"] + " Now."), *m[1:]],
    "an edited answer": lambda m: [m[0], assistant(m[1]["content"] + " Not."), *m[2:]],
    "another case": lambda m: [user(m[0]["content"].upper()), *m[1:]],
    "the last turn again": lambda m: m[:2],
    "a window": lambda m: m[2:],
    "its beginning as a summary": lambda m: [system("Earlier they spoke of the moon."), *m[2:]],
    "other instructions": lambda m: [system("Be brief."), *m],
    "two answers merged": lambda m: [m[0], user(m[2]["content"]), assistant(m[3]["content"])],
    "an answer without its question": lambda m: [*m, assistant("One more.")],
    "a name": lambda m: [m[0] | {"name": "Ann"}, *m[1:]],
    "the order": lambda m: [*m[2:], *m[:2]],
}


@streamed_or_not
@pytest.mark.parametrize("what", OTHER)
def test_another_history_gets_a_fresh_session_and_all_of_it(
    gateway: Served, upstream: SharedUpstream, what: str, stream: bool
) -> None:
    chat = begun(gateway)
    chat.say("And the sun?")
    history = OTHER[what](chat.messages)

    reply = chat.ask([*history, user("And Mars?")], stream=stream)

    original, fresh = texts_by_session(upstream)
    assert len(original) == 2
    (prompt,) = fresh
    assert holds(prompt, [*history, user("And Mars?")])
    assert reply.headers["X-Conversation-Id"] != chat.conversation
    assert chat.say("And Venus?").succeeded  # whose own session nobody has touched
    assert texts_by_session(upstream)[0][2:] == ["And Venus?"]


def test_another_model_gets_a_fresh_session(gateway: Served, upstream: SharedUpstream) -> None:
    chat = begun(gateway)

    chat.ask([*chat.messages, user("And the sun?")], model="gemini-3.8-flash")

    assert [len(texts) for texts in texts_by_session(upstream)] == [1, 1]


@streamed_or_not
def test_a_regenerated_answer_and_a_branch_each_get_a_session(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat = begun(gateway)
    before = list(chat.messages)
    chat.say("And the sun?")

    again = Chat(gateway, *before)
    again.say("And the sun?", stream=stream)
    branch = Chat(gateway, *before)
    branch.say("And the stars?", stream=stream)
    for each in (chat, again, branch):
        each.say("Why?", stream=stream)

    assert [texts[1:] for texts in texts_by_session(upstream)] == [
        ["And the sun?", "Why?"],
        ["Why?"],
        ["Why?"],
    ]


def test_the_first_answer_regenerated_gets_a_session_of_its_own(
    gateway: Served, upstream: SharedUpstream
) -> None:
    chat = begun(gateway)

    chat.ask(chat.messages[:1])

    assert [len(texts) for texts in texts_by_session(upstream)] == [1, 1]


# Who shares, and who does not


def test_two_keys_never_share_whatever_they_say(gateway: Served, upstream: SharedUpstream) -> None:
    chat = begun(gateway)
    thief = Chat(gateway, *chat.messages, **other_key())

    stolen = thief.say("And the sun?")
    named = thief.ask(
        [*chat.messages, user("And Mars?")], headers={"X-Conversation-Id": str(chat.conversation)}
    )

    sessions = texts_by_session(upstream)
    assert [len(texts) for texts in sessions] == [1, 1, 1]
    assert holds(sessions[1][0], [*chat.messages, user("And the sun?")])
    assert (
        len(
            {
                chat.conversation,
                stolen.headers["X-Conversation-Id"],
                named.headers["X-Conversation-Id"],
            }
        )
        == 3
    )
    assert chat.say("And Venus?").succeeded
    assert texts_by_session(upstream)[0][1:] == ["And Venus?"]


def test_many_users_of_one_key_who_begin_alike_each_go_on_in_a_session_of_their_own(
    gateway: Served, upstream: SharedUpstream
) -> None:
    question = f"{topic()}: good morning"
    chats = [Chat(gateway) for _ in range(8)]

    def talk(number: int) -> None:
        chats[number].say(question, stream=number % 2 == 0)

    def go_on(number: int) -> None:
        chats[number].say(f"I am user {number}", stream=number % 2 == 0)

    def ask_who(number: int) -> None:
        chats[number].say("Who am I?", stream=number % 2 == 0)

    for step in (talk, go_on, ask_who):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(step, range(8)))

    sessions = texts_by_session(upstream)
    assert sorted(sessions) == [
        [question, f"I am user {number}", "Who am I?"] for number in range(8)
    ]
    assert len({chat.conversation for chat in chats}) == 8


@streamed_or_not
def test_of_those_who_continue_one_history_at_once_one_does_and_the_others_begin_afresh(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat = begun(gateway)
    upstream.script(*answer("Slowly.", first_byte_s=0.3), times=6)

    with ThreadPoolExecutor(6) as threads:
        asking = [chat.fork() for _ in range(6)]
        list(
            threads.map(
                lambda each: each[1].say(f"Question {each[0]}", stream=stream), enumerate(asking)
            )
        )

    first, *others = texts_by_session(upstream)
    assert len(first) == 2
    assert len(others) == 5
    assert all(len(texts) == 1 and holds(texts[0], chat.messages) for texts in others)
    assert len({each.conversation for each in asking}) == 6


# X-Conversation-Id, and only what is new


@streamed_or_not
def test_a_client_without_history_goes_on_by_the_id(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    first = gateway.ask(f"{topic()}: what is the moon?", stream=stream)
    conversation = first.headers["X-Conversation-Id"]

    second = by_id(gateway, conversation, "And the sun?", stream=stream)
    third = by_id(gateway, conversation, "And Mars?", stream=not stream)

    (texts,) = texts_by_session(upstream)
    assert texts[1:] == ["And the sun?", "And Mars?"]
    assert {reply.headers["X-Conversation-Id"] for reply in (first, second, third)} == {
        conversation
    }


def test_with_and_without_history_are_the_same_conversation(
    gateway: Served, upstream: SharedUpstream
) -> None:
    chat = begun(gateway)

    reply = by_id(gateway, chat.conversation, "And the sun?")
    chat.messages += [user("And the sun?"), assistant(reply.text)]
    chat.say("And Mars?")
    by_id(gateway, chat.conversation, "And Venus?")

    (texts,) = texts_by_session(upstream)
    assert texts[1:] == ["And the sun?", "And Mars?", "And Venus?"]


def assert_not_found(reply: Reply) -> None:
    assert (reply.status, reply.error["code"]) == (404, "conversation_not_found")


@streamed_or_not
def test_an_id_that_is_not_known_is_never_begun_anew(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat = begun(gateway)

    for id_ in (
        "0" * 32,
        "x",
        "ü" * 3,
        "../../etc",
        str(chat.conversation).upper(),
        f"{chat.conversation} "[:31],
    ):
        assert_not_found(by_id(gateway, id_.encode("utf-8").decode("latin-1"), stream=stream))
    assert_not_found(by_id(gateway, chat.conversation, headers=other_key(), stream=stream))

    assert [len(texts) for texts in texts_by_session(upstream)] == [1]


@streamed_or_not
def test_an_id_in_which_an_answer_runs_is_busy(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat = begun(gateway)
    upstream.script(Text("Slowly "), Stall())
    with gateway.call() as call:
        call.send(_raw(gateway, "And the sun?", {"X-Conversation-Id": str(chat.conversation)}))
        call.read_until(b"Slowly ")

        reply = by_id(gateway, chat.conversation, stream=stream)
        foreign = by_id(gateway, chat.conversation, headers=other_key(), stream=stream)

    assert (reply.status, reply.error["code"]) == (409, "conversation_busy")
    assert reply.headers["Retry-After"] == "2"
    assert_not_found(foreign)


def test_an_id_is_busy_also_in_its_first_answer(gateway: Served, upstream: SharedUpstream) -> None:
    upstream.script(Text("Slowly "), Stall())
    with gateway.call() as call:
        call.send(_raw(gateway, topic()))
        head = call.read_until(b"Slowly ")
        conversation = head.lower().partition(b"x-conversation-id: ")[2][:32].decode()

        reply = by_id(gateway, conversation)

    assert (reply.status, reply.error["code"]) == (409, "conversation_busy")


def _raw(gateway: Served, text: str, headers: dict[str, str] | None = None) -> bytes:
    body = b'{"stream": true, "messages": [{"role": "user", "content": "%b"}]}' % text.encode()
    lines = [
        f"{name}: {value}\r\n" for name, value in {**gateway.headers, **(headers or {})}.items()
    ]
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Length:"
        f" {len(body)}\r\n{''.join(lines)}\r\n"
    )
    return head.encode() + body


@streamed_or_not
def test_an_id_with_a_history_that_is_not_its_own_begins_afresh_under_another(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    chat, another = begun(gateway), begun(gateway)

    reply = chat.ask(
        [*chat.messages, user("And the sun?")],
        headers={"X-Conversation-Id": str(another.conversation)},
        stream=stream,
    )
    matched = chat.ask(
        [*chat.messages, user("And Mars?")],
        headers={"X-Conversation-Id": str(chat.conversation)},
        stream=stream,
    )

    assert [len(texts) for texts in texts_by_session(upstream)] == [2, 1, 1]
    assert reply.headers["X-Conversation-Id"] not in (chat.conversation, another.conversation)
    assert matched.headers["X-Conversation-Id"] == chat.conversation


ACCOUNT_ERRORS: dict[str, tuple[Script, int, str]] = {
    "busy": (overloaded(30), 503, "upstream_overloaded"),
    "out of quota": (quota(retry_delay_s=30), 429, "insufficient_quota"),
    "refused": (http_error(401, "UNAUTHENTICATED"), 502, "upstream_auth_failed"),
}


@streamed_or_not
@pytest.mark.parametrize("what", ACCOUNT_ERRORS)
def test_an_id_whose_account_cannot_answer_gets_that_account_s_error(
    gateway: Served, upstream: SharedUpstream, what: str, stream: bool
) -> None:
    """Before anything was sent to it, and when it says so itself; no other account is asked."""
    script, status, code = ACCOUNT_ERRORS[what]
    chat, another = begun(gateway), begun(gateway)
    upstream.script(*script, csesidx=csesidx(upstream, "first"), times=2)
    if what == "refused":
        upstream.script(*script, path="widgetListSessions", times=math.inf)
    set_aside = len(gateway.events("account.refused")) + (what == "refused")

    started = time.monotonic()
    hit = by_id(gateway, another.conversation, stream=stream)
    until(lambda: len(gateway.events("account.refused")) >= set_aside)
    upstream.clear_scripts()
    later = by_id(gateway, chat.conversation, stream=stream)
    passed_s = time.monotonic() - started

    assert [(reply.status, reply.error["code"]) for reply in (hit, later)] == [(status, code)] * 2
    if what != "refused":
        assert 30 - passed_s <= int(later.headers["Retry-After"]) <= 30
    assert set(asked(upstream)) == {"first"}


def test_a_conversation_is_still_there_when_its_account_is_well_again(front: Front) -> None:
    chat = begun(front.gateway)
    front.upstream.script(*overloaded(30), csesidx=csesidx(front.upstream, "first"))
    front.gateway.ask(topic())
    assert by_id(front.gateway, chat.conversation, "Not now.").status == 503

    front.renew()
    reply = by_id(front.gateway, chat.conversation, "But now.")

    assert reply.succeeded
    assert texts_by_session(front.upstream) == [["But now."]]


# What its account or session does to a conversation


@streamed_or_not
@pytest.mark.parametrize("what", ["busy", "out of quota", "refused", "broken"])
def test_a_conversation_whose_account_cannot_answer_goes_on_elsewhere_with_all_of_it(
    gateway: Served, upstream: SharedUpstream, what: str, stream: bool
) -> None:
    scripts = {name: script for name, (script, *_) in ACCOUNT_ERRORS.items()} | {"broken": (Rst(),)}
    chat = begun(gateway)
    upstream.script(*scripts[what], csesidx=csesidx(upstream, "first"), times=2)

    chat.say("And the sun?", stream=stream)
    chat.say("And Mars?", stream=stream)

    *_, elsewhere = texts_by_session(upstream)
    assert asked(upstream)[-2:] == ["second", "second"]
    assert holds(elsewhere[0], chat.messages[:3])
    assert elsewhere[1:] == ["And Mars?"]


@streamed_or_not
@pytest.mark.parametrize("what", ["forgotten", "another sign-in's"])
def test_a_session_that_is_gone_is_replaced_once_with_all_of_the_history(
    gateway: Served, upstream: SharedUpstream, what: str, stream: bool
) -> None:
    chat = begun(gateway)
    (session,) = used_sessions(upstream)
    if what == "forgotten":
        session.deleted = True
    else:
        session.owner = "7"

    reply = chat.say("And the sun?", stream=stream)
    chat.say("And Mars?", stream=stream)

    assert reply.succeeded
    assert asked(upstream) == ["first"] * 4
    refused, fresh = texts_by_session(upstream)
    assert refused[1:] == ["And the sun?"]
    assert holds(fresh[0], chat.messages[:3])
    assert fresh[1:] == ["And Mars?"]
    assert not [
        line
        for line in gateway.events("account.refused")
        if line["request_id"] == reply.headers["x-request-id"]
    ]


@streamed_or_not
@pytest.mark.parametrize(
    "script", [session_not_found(), denied()], ids=["forgotten", "another sign-in's"]
)
def test_a_session_that_is_gone_takes_a_conversation_without_history_with_it(
    gateway: Served, upstream: SharedUpstream, script: Script, stream: bool
) -> None:
    chat = begun(gateway)
    upstream.script(*script, times=math.inf)

    gone = by_id(gateway, chat.conversation, stream=stream)
    upstream.clear_scripts()

    assert_not_found(gone)
    assert_not_found(by_id(gateway, chat.conversation, stream=stream))
    assert set(asked(upstream)) == {"first"}
    assert gateway.ask(topic()).succeeded
    assert asked(upstream)[-1] == "first"


# Answers that never become a history

BAD: dict[str, Script] = {
    "filtered": policy_violation(),
    "filtered after a part": (Text("Half "), *policy_violation()),
    "failed": failed_alone("Half "),
    "an error in the stream": in_stream_error(500, "INTERNAL", texts=("Half ",)),
    "cut": (Text("Half "), Fin()),
    "reset": (Text("Half "), Rst()),
    "without its end": (Text("Half "), End()),
    "cancelled": (Text("Half "), Final(state="CANCELLED"), End()),
    "thoughts only": thoughts_only(),
}


@streamed_or_not
@pytest.mark.parametrize("what", BAD)
def test_an_answer_that_is_not_whole_is_never_gone_on_from(
    gateway: Served, upstream: SharedUpstream, what: str, stream: bool
) -> None:
    chat = begun(gateway)
    upstream.script(*BAD[what], times=2)

    bad = chat.ask([*chat.messages, user("And the sun?")], stream=stream)
    upstream.clear_scripts()
    heard = bad.text if bad.status == 200 else "Half "
    for guess in {heard, "Half ", "Half"}:
        reply = chat.ask(
            [*chat.messages, user("And the sun?"), assistant(guess), user("Why?")], stream=stream
        )
        assert not was_continued(gateway, reply)

    first, *others = texts_by_session(upstream)
    assert first[1:] == ["And the sun?"]
    assert all(len(texts) == 1 for texts in others)
    assert_not_found(by_id(gateway, chat.conversation))


def test_sessions_of_answers_that_are_not_whole_are_deleted(
    gateway: Served, upstream: SharedUpstream
) -> None:
    for script in BAD.values():
        for stream in (False, True):
            chat = begun(gateway)
            upstream.script(*script, times=2)
            chat.ask([*chat.messages, user("And the sun?")], stream=stream)
            upstream.clear_scripts()

    continued = [session for session in used_sessions(upstream) if len(session.queries) > 1]
    assert len(continued) == 2 * len(BAD)
    assert upstream.wait_for(lambda: all(session.deleted for session in continued))


@pytest.mark.parametrize("what", BAD)
def test_a_first_answer_that_is_not_whole_leaves_nothing(
    gateway: Served, upstream: SharedUpstream, what: str
) -> None:
    upstream.script(*BAD[what], times=2)
    question = topic()

    bad = gateway.ask(question, stream=True)

    conversation = bad.headers["X-Conversation-Id"]
    if conversation is not None:
        assert_not_found(by_id(gateway, conversation))
    upstream.clear_scripts()
    gateway.ask([user(question), assistant(bad.text if bad.status == 200 else ""), user("Why?")])
    assert all(len(texts) == 1 for texts in texts_by_session(upstream))


@streamed_or_not
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_client_that_leaves_before_the_end_has_no_history_to_go_on_from(
    gateway: Served, upstream: SharedUpstream, how: str, stream: bool
) -> None:
    question = f"{topic()}: count"
    # Long enough for a busy machine to notice the client's leaving first.
    upstream.script(Text("Half "), Pause(5), Text("done."), Final(), End())
    with gateway.call() as call:
        call.ask(
            question,
            stream=stream,
            request_id=f"left-{question.split()[1].strip(':')}-{how}-{stream}",
        )
        assert upstream.wait_for(lambda: upstream.open_streams == 1)
        if stream:
            call.read_until(b"Half ")
        call.leave(how)
    assert upstream.wait_for(lambda: upstream.open_streams == 0)

    replies = [
        gateway.ask([user(question), assistant(heard), user("Why?")])
        for heard in ("Half ", "Half done.")
    ]

    assert not any(was_continued(gateway, reply) for reply in replies)
    assert upstream.wait_for(lambda: used_sessions(upstream)[0].deleted)


@streamed_or_not
def test_a_client_that_leaves_while_the_last_frame_is_written_has_no_history_to_go_on_from(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    """The answer is whole and its session kept when the write begins, which then fails."""
    rest = "x" * 12_000_000  # more than the systems on both sides take in
    upstream.script(Text("Begun "), Final(rest), End())
    with gateway.call() as call:
        call.receive_little()
        call.ask(topic(), stream=stream, request_id=f"last-frame-{stream}")
        call.read_until(b"xxx")
        call.leave("rst")
    done = gateway.wait_for_event(
        "request.done", lambda line: line["request_id"] == f"last-frame-{stream}"
    )
    assert done["answer_chars"] == len("Begun " + rest)

    assert upstream.wait_for(lambda: used_sessions(upstream)[0].deleted)


@streamed_or_not
def test_a_whole_answer_is_there_to_go_on_from_before_its_last_byte_is_read(
    gateway: Served, upstream: SharedUpstream, stream: bool
) -> None:
    """However quick a client is."""
    for _ in range(30):
        chat = begun(gateway, stream)
        chat.say("And the sun?", stream=stream)

    assert [len(texts) for texts in texts_by_session(upstream)] == [2] * 30


# How long


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """A database of one's own."""
    return {
        "DATABASE_URL": f"sqlite:///{tmp_path}/own.db",
        "SECRET_KEY": "a-secret-key-for-tests-1",
    }


def test_without_a_timeout_nothing_is_kept_and_no_id_is_given(own: dict[str, str]) -> None:
    with (
        SharedUpstream() as upstream,
        killed_in_the_end(upstream.environment() | own, SESSION_TIMEOUT="0") as gateway,
    ):
        for stream in (False, True):
            chat = Chat(gateway)
            first = chat.say(f"{topic()}: what is the moon?", stream=stream)
            second = chat.say("And the sun?", stream=stream)

            assert (first.headers["X-Conversation-Id"], second.headers["X-Conversation-Id"]) == (
                None,
                None,
            )
            assert_not_found(by_id(gateway, "0" * 32, stream=stream))
        assert [len(texts) for texts in texts_by_session(upstream)] == [1] * 4
        assert holds(texts_by_session(upstream)[3][0], chat.messages[:3])
        assert upstream.wait_for(
            lambda: all(session.deleted for session in used_sessions(upstream))
        )


def test_an_expired_conversation_is_deleted_upstream_and_begins_afresh(own: dict[str, str]) -> None:
    with (
        SharedUpstream() as upstream,
        killed_in_the_end(upstream.environment() | own, SESSION_TIMEOUT="5") as gateway,
    ):
        upstream.script(*http_error(503, "UNAVAILABLE"), path="widgetDeleteSession", times=1)
        chat, silent, named = begun(gateway), begun(gateway), begun(gateway)
        kept, *others = used_sessions(upstream)
        for number in range(5):  # each turn begins its time anew
            assert not upstream.wait_for(lambda: kept.deleted, 1.1)
            chat.say(f"Still here {number}")
        assert [len(texts) for texts in texts_by_session(upstream)] == [6, 1, 1]

        assert upstream.wait_for(
            lambda: kept.deleted and any(session.deleted for session in others)
        )

        # what failed is tried again later, and nobody is blamed
        assert not all(session.deleted for session in others)
        assert gateway.events("account.cooling") == []
        assert_not_found(by_id(gateway, named.conversation))
        silent.say("And the sun?")
        sessions = texts_by_session(upstream)
        assert [len(texts) for texts in sessions] == [6, 1, 1, 1]
        assert holds(sessions[3][0], silent.messages[:3])


def test_the_session_of_a_request_is_opened_under_the_account_that_answers(
    gateway: Served, upstream: SharedUpstream
) -> None:
    upstream.script(*quota(), csesidx=csesidx(upstream, "first"))
    gateway.ask(topic())
    chat = begun(gateway)
    chat.say("And the sun?")

    owners = {session.owner for session in used_sessions(upstream) if session.short_name}
    assert owners == set(upstream.accounts)
    sessions = {session.short_name: session.owner for session in upstream.sessions.values()}
    for call in upstream.calls(STREAM):
        assert sessions[call.body["streamAssistRequest"]["session"]] == call.csesidx
