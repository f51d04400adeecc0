"""The files of a session, as its record keeps them, and the names that they have there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain import session_files
from gbproxy.domain.media_type_names import distinct_name
from gbproxy.domain.session_files import SessionFile

_files = st.dictionaries(
    st.text("0123456789abcdef", min_size=1), st.builds(SessionFile, st.text("a1-"), st.text())
)


@given(_files)
def test_what_is_written_is_read_again(files: dict[str, SessionFile]) -> None:
    assert session_files.decode(session_files.encode(files)) == files


def test_without_files_nothing_is_kept() -> None:
    assert session_files.encode({}) == ""


@given(st.lists(st.sampled_from(["a.png", "a-2.png", "a", "b.tar.gz", ".x"])))
def test_no_two_names_are_the_same(names: list[str]) -> None:
    taken: list[str] = []
    for name in names:
        taken.append(distinct_name(name, taken))

    assert len(set(taken)) == len(taken)


def test_a_name_keeps_its_extension() -> None:
    assert distinct_name("a.png", {"a.png", "a-2.png"}) == "a-3.png"
    assert distinct_name("a", {"a"}) == "a-2"
