"""For any text of a model, however it is cut: the same result, nothing of the wire form in what is shown,
and plain text passed on at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gbproxy.domain.chat import Message, TextPart, ToolCallPart
from gbproxy.emulation.tool_calls import wire
from gbproxy.emulation.tool_calls.assembly import ReadCall
from gbproxy.emulation.tool_calls.mark import Mark
from gbproxy.emulation.tool_calls.reader import CallReader
from gbproxy.emulation.tool_calls.schemas import Checks
from tests.support.tool_calls import (
    MARK,
    NONCE,
    TOOLS,
    call,
    calls_of,
    content_of,
    fenced,
    pieces,
    read,
    reader_of,
)

cuts = st.lists(st.integers(0, 5000), max_size=40)
prose = st.text(
    alphabet=st.one_of(
        st.characters(codec="utf-8"), st.sampled_from(" \n\n``~~*⟦⟧[]\\&;<>{}()\"'@1call_json")
    ),
    max_size=60,
)
plain = st.text(
    alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("\n\n []⟧\\&;call")),
    max_size=60,
)
bodies_of_files = st.tuples(prose, prose | st.sampled_from(["x", "y\n", "@1", "`" * 5, "z" * 300]))
names = st.sampled_from(["get_weather", "write_file", "anything", "apply_patch", "rm"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | prose,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(prose, inner, max_size=2),
    max_leaves=3,
)
bodies = st.builds(
    lambda name, key, value: json.dumps({"name": name, key: value}, ensure_ascii=False),
    names,
    st.sampled_from(["arguments", "input", "parameters"]),
    st.dictionaries(prose, values, max_size=3) | st.just({"city": "Oslo"}) | st.just("@1"),
)
marks = st.sampled_from(
    [
        MARK.line,
        f"[ call: {NONCE} ]",
        f"\\[call {NONCE}\\]",
        f"&#10214;call {NONCE}&#10215;",
        MARK.line[:9],
    ]
)
infos = st.sampled_from(["json", "", "tool_call", "tool_code", "@1", "python"])
fragments = st.one_of(
    prose,
    marks,
    bodies,
    st.builds(fenced, bodies, infos),
    st.builds(fenced, prose, infos),
    st.sampled_from(
        [
            call(city="Oslo"),
            call(city="Bern", days=2) + "\n",
            call("write_file", path="a", content="@1") + "\n````@1\nlong\n```\n````",
            f"<tool_call>{json.dumps({'name': 'anything'})}</tool_call>",
            "default_api.get_weather(city='Oslo')\n",
            "```",
            "\n```\n",
            "```json\n",
            "````",
            "\n",
            "\n\n",
            " ",
            "print(default_api.",
            "</tool_call>",
        ]
    ),
)
scripts = st.lists(fragments, max_size=8).map("".join)


@given(scripts, cuts)
def test_the_result_does_not_depend_on_how_the_text_was_cut(text: str, cuts: Sequence[int]) -> None:
    whole = reader_of()
    cut = reader_of()

    assert read(text, cuts, reader=cut) == read(text, reader=whole)
    assert cut.reading == whole.reading


@settings(max_examples=50)
@given(scripts)
def test_nor_does_it_when_every_character_comes_alone(text: str) -> None:
    assert read(text, range(len(text))) == read(text)


@given(scripts, cuts)
def test_no_mark_is_ever_shown(text: str, cuts: Sequence[int]) -> None:
    assert NONCE not in content_of(read(text, cuts))


@settings(max_examples=60)
@given(plain, st.lists(bodies_of_files, min_size=1, max_size=4), cuts)
def test_nothing_of_a_call_is_ever_shown(
    text: str, files: list[tuple[str, str]], cuts: Sequence[int]
) -> None:
    written = [
        wire.call(MARK, "write_file", {"path": path, "content": content}) for path, content in files
    ]

    found = read("\n".join((text, *written)), cuts)

    shown = content_of(found)
    assert text.startswith(shown)
    # emphasis and the line of a fence that a mark stands behind belong to it
    assert re.fullmatch(r"[\s*`~]*([`~]{3}[ \t]?[a-z_]{0,12}\s*)?", text[len(shown) :])
    assert [json.loads(each.text)["content"] for each in calls_of(found)] == [
        each[1] for each in files
    ]


@given(prose, prose, cuts)
def test_plain_text_is_held_back_no_longer_than_a_fence_and_a_mark(
    text: str, more: str, cuts: Sequence[int]
) -> None:
    script = text + more.replace("<", "").replace("default_api", "")
    if any(opener in script for opener in ("<tool_call>", "default_api.")) or '"name"' in script:
        return
    reader = reader_of()
    fed, shown = 0, ""

    for piece in pieces(script, cuts):
        fed += len(piece)
        shown += content_of(reader.feed(piece))
        assert fed - len(shown) <= MARK.most_held
    assert shown + content_of(reader.finish()) == script


arguments = st.dictionaries(prose, values, max_size=3)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.just("anything"), arguments), min_size=1, max_size=3), cuts)
def test_past_calls_are_rendered_as_they_are_read(
    calls: list[tuple[str, dict[str, object]]], cuts: Sequence[int]
) -> None:
    parts = tuple(
        ToolCallPart(f"c{i}", name, json.dumps(each)) for i, (name, each) in enumerate(calls)
    )
    [message] = wire.render([Message("assistant", (TextPart("Well."), *parts))], MARK, {})
    text = "\n".join(part.text for part in message.parts if isinstance(part, TextPart))

    found = read(text, cuts)

    assert found[0] == "Well."
    assert [(each.name, json.loads(each.text)) for each in calls_of(found)] == [
        (name, json.loads(json.dumps(each))) for name, each in calls
    ]


@given(prose.map(lambda text: text.encode("utf-8", "replace").decode()), cuts)
def test_the_input_of_a_custom_tool_survives_as_it_is(text: str, cuts: Sequence[int]) -> None:
    part = ToolCallPart("c", "apply_patch", text, is_custom=True)
    [message] = wire.render([Message("assistant", (part,))], MARK, {})
    [rendered] = message.parts
    assert isinstance(rendered, TextPart)

    assert read(rendered.text, cuts) == [ReadCall("apply_patch", text, is_custom=True)]


class CountingMark(Mark):
    """Counts the characters that it is asked to look at."""

    looked_at = 0

    def find(self, text: str, start: int = 0) -> re.Match[str] | None:
        self.looked_at += len(text) - start
        return super().find(text, start)

    def match(self, text: str) -> re.Match[str] | None:
        self.looked_at += len(text)
        return super().match(text)

    def begins_at(self, text: str) -> int:
        self.looked_at += min(len(text), self.most_held)
        return super().begins_at(text)

    def may_be(self, text: str) -> bool:
        self.looked_at += len(text)
        return super().may_be(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "word ⟦ [x] `y`\n" * n,
        lambda n: "\n" * 10 * n,
        lambda n: call("anything", text="x" * 10 * n),
        lambda n: (
            f"{MARK.line}\n" + json.dumps({"name": "anything", "arguments": {"a": "x" * 10 * n}})
        ),
        lambda n: wire.call(MARK, "write_file", {"path": "a", "content": "line\n" * 2 * n}),
        lambda n: f"{call(city='Oslo')}\n" * n,
        lambda n: f"<tool_call>{'x' * 10 * n}",
    ],
    ids=["prose", "line breaks", "arguments", "unfenced", "long text", "calls", "foreign"],
)
def test_the_work_grows_as_the_text_does(make: Callable[[int], str]) -> None:
    """Characters are counted, as seconds depend on the machine."""

    def looked_at(text: str) -> int:
        mark = CountingMark(NONCE)
        reader = CallReader(mark, Checks(TOOLS.offered))
        for start in range(0, len(text), 4):
            list(reader.feed(text[start : start + 4]))
        list(reader.finish())
        return mark.looked_at

    short, long = make(200), make(2000)

    assert looked_at(long) <= 1.2 * len(long) / len(short) * looked_at(short) + 1000
