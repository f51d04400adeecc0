"""The nonce of a conversation: the same in every worker, and nobody's to guess."""

from __future__ import annotations

from gbproxy.domain.chat import ChatRequest
from gbproxy.domain.principal import Principal
from gbproxy.domain.session import public_id
from gbproxy.emulation.pipeline import Messages
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.emulation.tool_calls.mark import Mark, nonce_of
from gbproxy.upstreams.base import Capabilities
from tests.support.gateways import KEY, OTHER_KEY, message_of
from tests.support.tool_calls import NONCE, TOOLS

ONE, OTHER = public_id(KEY, "a" * 16), public_id(KEY, "b" * 16)
BY_PROMPT = Capabilities(sessions=True, roles=False)


def prompt(emulation: RequestEmulation, conversation: str | None, *, is_resumed: bool) -> str:
    emulation.enter(conversation, is_told=True)
    written: Messages = emulation.pipeline(BY_PROMPT).write(
        (message_of("Hi"),), is_resumed=is_resumed
    )
    return "".join(getattr(part, "text", "") for part in written[0].parts)


def emulation() -> RequestEmulation:
    return RequestEmulation(
        ChatRequest((message_of("Hi"),), None, None, Principal(KEY), tools=TOOLS)
    )


def test_it_goes_by_key_and_conversation() -> None:
    nonces = {nonce_of(KEY, ONE), nonce_of(KEY, OTHER), nonce_of(OTHER_KEY, ONE)}

    assert len(nonces) == 3
    assert nonce_of(KEY, ONE) in nonces
    assert {len(nonce) for nonce in nonces} == {len(NONCE)}
    assert ONE not in "".join(nonces)


def test_a_later_turn_of_a_conversation_uses_the_mark_of_the_first() -> None:
    line = Mark(nonce_of(KEY, ONE)).line

    assert line in prompt(emulation(), ONE, is_resumed=False)
    assert line in prompt(emulation(), ONE, is_resumed=True)
    assert line not in prompt(emulation(), OTHER, is_resumed=True)


def test_what_nothing_continues_has_one_of_its_own_for_all_its_attempts() -> None:
    used = emulation()

    first, again = (prompt(used, None, is_resumed=False) for _ in range(2))

    assert first == again != prompt(emulation(), None, is_resumed=False)


def test_an_upstream_with_tools_is_told_nothing_of_them() -> None:
    native = Capabilities(sessions=True, roles=True, tools=True, structured_output=True)

    assert emulation().pipeline(native).stages == ()
    assert emulation().sizes({"native": native})["native"].chars == len("Hi")
    assert emulation().sizes({"other": BY_PROMPT})["other"].chars > 1000
