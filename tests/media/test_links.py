"""Links: what a token says is what it was made for, and nobody else can make one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.media.links import MediaLink, MediaLinks, NoLink
from tests.support.clock import Clock

KEY = b"k" * 32
OLD, NEW = "old-secret-key-1234", "new-secret-key-5678"


def links(*secrets: str, clock: Clock | None = None, public_url: str | None = None) -> MediaLinks:
    return MediaLinks(secrets or [NEW], 3600, public_url, clock=clock or Clock())


def token_of(made: MediaLinks, link: MediaLink) -> str:
    url = made.url(link, "http://gateway")
    assert url is not None
    return url.removeprefix("http://gateway/media/")


@given(session=st.text("0123456789abcdef", min_size=1), file_id=st.text("0123456789", min_size=1))
def test_a_token_opens_to_its_link(session: str, file_id: str) -> None:
    made = links()
    link = made.make(session, file_id, KEY)

    assert made.open(token_of(made, link)) == link


def test_a_link_ends_with_its_time() -> None:
    clock = Clock()
    made = links(clock=clock)
    token = token_of(made, made.make("s", "f", KEY))

    clock.now += 3599
    assert made.open(token).file_id == "f"
    clock.now += 2
    with pytest.raises(NoLink):
        made.open(token)


def test_no_character_can_be_changed() -> None:
    made = links()
    token = token_of(made, made.make("session", "1", KEY))

    for at, sign in enumerate(token):
        changed = token[:at] + ("A" if sign != "A" else "B") + token[at + 1 :]
        with pytest.raises(NoLink):
            made.open(changed)


@given(st.text() | st.text("AZaz09-_", max_size=200))
def test_what_is_no_token_leads_nowhere(text: str) -> None:
    with pytest.raises(NoLink):
        links().open(text)


def test_a_token_tells_nothing_and_no_two_are_alike() -> None:
    made = links()
    link = made.make("c0ffee-session", "1234567890", KEY)

    assert "c0ffee" not in token_of(made, link)
    assert token_of(made, link) != token_of(made, link)


def test_secret_keys_rotate() -> None:
    before, after, other = links(OLD), links(NEW, OLD), links("another-secret-key")
    token = token_of(before, before.make("s", "f", KEY))

    assert after.open(token).session_id == "s"
    with pytest.raises(NoLink):
        other.open(token)


def test_the_public_url_is_the_base_of_all_links() -> None:
    made = links(public_url="https://ai.example/gate/")

    assert str(made.url(made.make("s", "f", KEY), "http://inside")).startswith(
        "https://ai.example/gate/media/"
    )
