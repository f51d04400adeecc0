"""The reader of text/event-stream: whatever the line ends and the cuts, the same objects, each as
soon as it is whole.

Where it matters what an object holds, with either decoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gbproxy.errors import UpstreamProtocolError
from gbproxy.upstreams.decoding.event_stream import EventReader

with_either_decoder = pytest.mark.usefixtures("either_decoder")

Objects = list[dict[str, Any]]

GOLDEN: Objects = [
    {"text": "你好，世界。こんにちは 안녕하세요 𠮷野家"},
    {
        "text": "👨‍👩‍👧‍👦 🇩🇪🇯🇵 👍🏽 ❤️‍🔥",
        "עברית": "שלום עולם",
        "عربي": "مرحبا \u200fبالعالم\u202c",
    },
    {
        "text": "line\u2028paragraph\u2029next\u0085end\x0b\x0c\x1c",
        "marks": "e\u0301 n\u0303 Z\u0351\u036b\u0343",
    },
    {"text": "data: not a field\n\ndata: {}\r\n\r\n: no comment", "\ufeff": "\ufeff"},
    {"nested": {"a": [{}, {"b": [None, -1.5e-7]}]}},
    {},
]

LINE_ENDS = {"CR LF": "\r\n", "LF": "\n", "CR": "\r"}


def _write(
    objects: Objects, line_end: str, *, escaped: bool = False, indent: int | None = None
) -> tuple[bytes, list[int]]:
    """The stream, and for each event the number of bytes up to the first that makes its blank
    line.
    """
    stream, ends = bytearray(), []
    for item in objects:
        text = json.dumps(item, ensure_ascii=escaped, indent=indent)
        stream += "".join(f"data: {line}{line_end}" for line in text.split("\n")).encode()
        ends.append(len(stream) + 1)
        stream += line_end.encode()
    return bytes(stream), ends


def _cut(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return (stream[start:end] for start, end in pairwise(borders))


def _pieces(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[start : start + size] for start in range(0, len(stream), size))


def _read(*pieces: bytes) -> Objects:
    reader = EventReader()
    objects = [item for piece in pieces for item in reader.feed(piece)]
    reader.close()
    return objects


def _outcome(pieces: Iterator[bytes]) -> tuple[Objects, str | None]:
    reader, objects = EventReader(), []
    try:
        for piece in pieces:
            objects += reader.feed(piece)
        reader.close()
    except UpstreamProtocolError as error:
        return objects, str(error)
    return objects, None


_integers = st.integers(-(2**63), 2**64 - 1)  # beyond these orjson gives floats
_json = st.recursive(
    st.none()
    | st.booleans()
    | _integers
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_objects = st.lists(st.dictionaries(st.text(), _json, max_size=4), min_size=1, max_size=6)
_cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=20)
_examples = partial(settings, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TestEvents:
    @pytest.mark.parametrize("escaped", [False, True], ids=["raw", "escaped"])
    @pytest.mark.parametrize("indent", [None, 1], ids=["one line", "many lines"])
    @pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
    def test_no_character_is_damaged_by_a_cut_at_any_byte(
        self, line_end: str, indent: int | None, escaped: bool
    ) -> None:
        stream, ends = _write(GOLDEN, line_end, escaped=escaped, indent=indent)

        for cut in range(len(stream) + 1):
            reader = EventReader()
            first = reader.feed(stream[:cut])
            second = reader.feed(stream[cut:])
            reader.close()

            assert first + second == GOLDEN
            assert len(first) == sum(end <= cut for end in ends)

    @pytest.mark.parametrize("escaped", [False, True], ids=["raw", "escaped"])
    @pytest.mark.parametrize("indent", [None, 1], ids=["one line", "many lines"])
    @pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
    def test_single_bytes_give_each_object_with_its_blank_line(
        self, line_end: str, indent: int | None, escaped: bool
    ) -> None:
        stream, ends = _write(GOLDEN, line_end, escaped=escaped, indent=indent)
        reader = EventReader()

        arrivals = [
            (count, item)
            for count, byte in enumerate(stream, 1)
            for item in reader.feed(bytes([byte]))
        ]
        reader.close()

        assert arrivals == list(zip(ends, GOLDEN, strict=True))

    @with_either_decoder
    @_examples(max_examples=60)
    @given(
        objects=_objects,
        line_end=st.sampled_from(sorted(LINE_ENDS.values())),
        indent=st.sampled_from([None, 0, 2]),
        cuts=_cuts,
    )
    def test_any_objects_cut_anywhere_arrive_whole_and_at_once(
        self, objects: Objects, line_end: str, indent: int | None, cuts: list[int]
    ) -> None:
        stream, ends = _write(objects, line_end, indent=indent)
        reader = EventReader()
        read: Objects = []
        fed = 0

        for piece in _cut(stream, cuts):
            read += reader.feed(piece)
            fed += len(piece)
            assert len(read) == sum(end <= fed for end in ends)
        reader.close()

        assert read == objects

    @pytest.mark.parametrize(
        ("first", "second"),
        [("\n", "\r\n"), ("\n", "\r"), ("\r\n", "\n"), ("\r\n", "\r"), ("\r", "\r\n")],
    )
    def test_line_ends_may_be_mixed(self, first: str, second: str) -> None:
        stream = f'data: {{"a":{first}data: 1}}{first}{second}data: {{"a":2}}{second}{second}{first}'.encode()

        for cut in range(len(stream) + 1):
            assert _read(stream[:cut], stream[cut:]) == [{"a": 1}, {"a": 2}]
        assert _read(*_pieces(stream, 1)) == [{"a": 1}, {"a": 2}]

    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_everything_but_the_data_is_passed_over(self, size: int) -> None:
        stream = (
            b"\xef\xbb\xbf: hello\r\n\r\n\r\nretry: 3000\n\nid: 7\nevent: answer\ndata:{\n: in"
            b' between\ndata:"a":\ndata: 1}\nunknown: field\nunknown\n\ndata\n\ndata:\n\ndata: '
            b' \n\nid: 8\n\n\n\ndata: {"a":2}\n\n: ping\n\ndata: [DONE]\n\n: bye\n  \n'
        )

        assert _read(*_pieces(stream, size)) == [{"a": 1}, {"a": 2}]

    @with_either_decoder
    def test_an_array_of_objects_gives_its_objects(self) -> None:
        error = {"error": {"code": 429, "message": "Resource has been exhausted"}}
        stream = f"data: {json.dumps([error])}\n\ndata: []\n\ndata: [{{}}, {{}}]\n\n".encode()

        assert _read(stream) == [error, {}, {}]

    @with_either_decoder
    @pytest.mark.parametrize("lines", [2, 60, 70, 1000])
    def test_data_on_any_number_of_lines_is_joined(self, lines: int) -> None:
        value = {"list": list(range(lines))}
        text = json.dumps(value, indent=0).replace("\n", "\n: comment\ndata:")
        stream = f"id: 1\ndata: {text}\n\n".encode()

        assert _read(stream) == [value]
        assert _read(*_pieces(stream, 7)) == [value]

    @pytest.mark.parametrize("lines", [1, 100])
    def test_a_string_does_not_go_on_in_the_next_line(self, lines: int) -> None:
        stream = b"data: {" + b"\ndata:" * lines + b'"a": "b\ndata:c"}\n\n'

        with pytest.raises(UpstreamProtocolError, match="not valid JSON"):
            EventReader().feed(stream)

    @with_either_decoder
    def test_half_a_pair_of_surrogates_becomes_the_replacement_character(self) -> None:
        assert _read(rb'data: {"a":"\ud83d\ude00 \ud83d \\ud83d"}' + b"\n\n") == [
            {"a": "😀 \ufffd \\ud83d"}
        ]

    def test_a_stream_of_events_cannot_say_that_it_is_complete(self) -> None:
        reader = EventReader()

        assert reader.feed(b'data: {"a":1}\n\ndata: [DONE]\n\n') == [{"a": 1}]
        assert not reader.complete


class TestCutOff:
    @pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
    def test_a_stream_cut_inside_an_event_is_never_a_success(self, line_end: str) -> None:
        stream, (end, *_) = _write(GOLDEN[:1], line_end)
        whole, _ = _write(GOLDEN[1:], line_end)

        for length in range(1, end):
            reader = EventReader()
            assert reader.feed(whole + stream[:length]) == GOLDEN[1:]

            with pytest.raises(
                UpstreamProtocolError, match="the upstream's answer ended inside an event"
            ):
                reader.close()

    @pytest.mark.parametrize(
        "rest", [b"data: [DONE]\n", b"id: 7\n", b": unfinished", b"d", b"\xff", b"\n\n:a\n x"]
    )
    def test_an_unfinished_rest_of_any_kind_is_a_cut(self, rest: bytes) -> None:
        with pytest.raises(
            UpstreamProtocolError, match="the upstream's answer ended inside an event"
        ):
            _read(b'data: {"a":1}\n\n', rest)

    @pytest.mark.parametrize(
        "rest", [b"", b"\n", b" \t", b": bye\n", b":\r\n:\r\r\n", b"\n\n: bye\n \n:\n"]
    )
    def test_white_space_and_whole_comments_may_end_a_stream(self, rest: bytes) -> None:
        assert _read(b'data: {"a":1}\n\n', rest) == [{"a": 1}]

    @pytest.mark.parametrize(
        "stream",
        [
            b"",
            b"\n\n",
            b": ping\n\n",
            b"\xef\xbb\xbf\n",
            b"event: a\n\n",
            b"data: [DONE]\n\n",
            b"<p>\n\n",
        ],
    )
    def test_a_stream_without_objects_is_an_empty_answer(self, stream: bytes) -> None:
        with pytest.raises(UpstreamProtocolError, match="the upstream's answer was empty"):
            _read(stream)


@with_either_decoder
class TestGarbage:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"1", "holds something else than objects"),
            (b'"secret"', "holds something else than objects"),
            (b"null", "holds something else than objects"),
            (b"[{}, 1]", "holds something else than objects"),
            (b"[[{}]]", "holds something else than objects"),
            (b"<p>secret</p>", "not valid JSON"),
            (b'{"a":NaN}', "not valid JSON"),
            (b'{"a":-1e999}', "not valid JSON"),
            (b'{"a":%b}' % (b"9" * 5000), "not valid JSON"),
            (b'{"a":1', "not valid JSON"),
            (b"\xc2\x85{}", "not valid JSON"),
            (b'{"a":1} {"secret":2}', "more behind its end"),
            (b'{"a":"secret \xff"}', "not UTF-8"),
            (b'{"a":"\xed\xa0\xbd"}', "not UTF-8"),
            (b"[" * 100_000, "nested too deeply"),
        ],
    )
    def test_is_refused_at_once_by_its_kind(self, data: bytes, message: str) -> None:
        reader = EventReader()
        assert reader.feed(b"data: {}\n\n") == [{}]

        with pytest.raises(
            UpstreamProtocolError,
            match=f"^an (element|event) of the upstream's answer .*{message}$",
        ):
            reader.feed(b"data: %b\n\n" % data)

    def test_whole_events_before_a_fault_in_the_same_piece_are_handed_out_first(self) -> None:
        reader = EventReader()

        assert reader.feed(b'data: {"a":1}\n\ndata: {"a":2}\n\ndata: 3\n\ndata: {"a":4}\n\n') == [
            {"a": 1},
            {"a": 2},
        ]
        with pytest.raises(UpstreamProtocolError, match="something else"):
            reader.feed(b"")
        with pytest.raises(UpstreamProtocolError, match="something else"):
            reader.close()

    @_examples(max_examples=100)
    @given(
        stream=st.binary(max_size=60)
        | st.lists(
            st.sampled_from(
                [
                    b"data: ",
                    b"data:",
                    b"{}",
                    b"\n",
                    b"\r",
                    b"\r\n",
                    b"\n\n",
                    b'{"a":',
                    b"1",
                    b"}",
                    b":",
                    b"\xff",
                ]
            ),
            max_size=30,
        ).map(b"".join),
        cuts=_cuts,
    )
    @example(stream=b"data:\xff\n\n\n", cuts=[8])
    def test_any_bytes_give_objects_or_a_protocol_error_wherever_they_are_cut(
        self, stream: bytes, cuts: list[int]
    ) -> None:
        assert _outcome(_cut(stream, cuts)) == _outcome(iter([stream]))


class TestSize:
    @pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
    def test_an_event_is_refused_as_soon_as_it_passes_the_limit(self, line_end: str) -> None:
        reader = EventReader(100)
        begun = b"data: {}" + 2 * line_end.encode()

        assert reader.feed(begun + b"data: " + b"x" * 94) == [{}]
        with pytest.raises(
            UpstreamProtocolError, match="an element of the upstream's answer is over 100 bytes"
        ):
            reader.feed(b"x")

    @pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
    def test_an_event_over_the_limit_is_refused_also_in_one_piece(self, line_end: str) -> None:
        stream, _ = _write([{"a": "x" * 84}], line_end)

        assert EventReader(100).feed(stream) == [{"a": "x" * 84}]
        with pytest.raises(UpstreamProtocolError, match="is over 99 bytes"):
            EventReader(99).feed(stream)

    def test_many_events_together_may_pass_the_limit(self) -> None:
        stream, _ = _write([{"a": 1}] * 1000, "\r\n")

        assert EventReader(100).feed(stream) == [{"a": 1}] * 1000

    # Linear, each of these takes about a second at most; rescanning or copying again per piece
    # would take minutes.
    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("size", [256, 4096, 65536])
    def test_one_huge_event_takes_linear_time(self, size: int) -> None:
        huge = {"data": "x" * 20_000_000}
        stream = f"data: {json.dumps(huge)}\r\n\r\n".encode()

        assert _read(*_pieces(stream, size)) == [huge]

    @with_either_decoder
    @pytest.mark.timeout(30)
    def test_one_huge_event_of_many_lines_takes_linear_time(self) -> None:
        huge = {"data": ["x" * 30] * 49_000}
        stream, _ = _write([huge], "\r\n", indent=0)

        assert _read(*_pieces(stream, 4096)) == [huge]

    @pytest.mark.timeout(30)
    def test_single_bytes_take_linear_time(self) -> None:
        huge = {"data": "x" * 200_000}
        stream, _ = _write([huge], "\r\n")

        assert _read(*_pieces(stream, 1)) == [huge]
