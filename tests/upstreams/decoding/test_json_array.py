"""The reader of streamed JSON arrays: whatever the layout and the cuts, the same objects, each with
its last byte.

Every test runs twice: as the reader chooses for itself, and with the general scanner alone. Where
it matters what an object holds, each of these with either decoder.
"""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gbproxy.errors import UpstreamProtocolError
from gbproxy.upstreams.decoding.json_array import ArrayReader

pytestmark = pytest.mark.parametrize(
    "new_reader",
    [partial(ArrayReader), partial(ArrayReader, guess_layout=False)],
    ids=["guessing", "scanning"],
)
with_either_decoder = pytest.mark.usefixtures("either_decoder")

NewReader = Callable[..., ArrayReader]
Objects = list[dict[str, Any]]

GOLDEN: Objects = [
    {"text": "你好，世界。こんにちは 안녕하세요 𠮷野家"},
    {"text": "👨‍👩‍👧‍👦 🇩🇪🇯🇵 👍🏽 ❤️‍🔥", "עברית": "שלום עולם", "عربي": "مرحبا \u200fبالعالم\u202c"},
    {
        "text": "line\u2028paragraph\u2029next\u0085end\x0b\x0c\x1c",
        "marks": "e\u0301 n\u0303 Z\u0351\u036b\u0343",
    },
    {
        "text": 'brackets }]{[ in "quotes"\\',
        "code": '\n}\n,\n{\r\n"\\u007d\\',
        "}": "{",
        "\\": '\\"',
    },
    {
        "nested": {
            "a": [{}, {"b": [[], {"c": None}]}],
            "numbers": [0, -1.5e-7, 12345678901234567890],
        },
        "empty": "",
    },
    {},
]


@dataclass(frozen=True)
class Layout:
    """One way to write an array; `render` writes an element, given its index and whether to escape
    beyond ASCII.
    """

    render: Callable[[dict[str, Any], int, bool], str]
    opening: str = "["
    separator: str = ","
    closing: str = "]"

    def write(self, objects: Objects, *, escaped: bool = False) -> tuple[bytes, list[int]]:
        """The stream, and for each element the number of bytes up to its last."""
        stream, ends = bytearray(self.opening.encode()), []
        for index, element in enumerate(objects):
            stream += (self.separator if index else "").encode() + self.render(
                element, index, escaped
            ).encode()
            ends.append(len(stream))
        return bytes(stream) + self.closing.encode(), ends


def _pretty(element: dict[str, Any], _index: int, escaped: bool) -> str:
    return json.dumps(element, indent=2, ensure_ascii=escaped)


def _compact(element: dict[str, Any], _index: int, escaped: bool) -> str:
    return json.dumps(element, separators=(",", ":"), ensure_ascii=escaped)


def _pretty_crlf(element: dict[str, Any], index: int, escaped: bool) -> str:
    return _pretty(element, index, escaped).replace("\n", "\r\n")


def _indented(element: dict[str, Any], index: int, escaped: bool) -> str:
    return _pretty(element, index, escaped).replace("\n", "\n  ")


def _unindented(element: dict[str, Any], index: int, escaped: bool) -> str:
    return re.sub("\n +", "\n", _pretty(element, index, escaped))


def _open_pretty_close_compact(element: dict[str, Any], index: int, escaped: bool) -> str:
    return "{\n" + _compact(element, index, escaped)[1:]


def _in_turn(element: dict[str, Any], index: int, escaped: bool) -> str:
    renderers = (_pretty, _compact, _indented, _pretty, _open_pretty_close_compact, _pretty_crlf)
    return renderers[index % len(renderers)](element, index, escaped)


LAYOUTS = {
    "pretty": Layout(_pretty, "[", "\n,\n", "\n]\n"),
    "pretty, CR LF": Layout(_pretty_crlf, "[\n", ",\r\n", "]\r\n"),
    "compact": Layout(_compact),
    "one a line": Layout(_compact, "[\n", ",\r\n", "\n]"),
    "loose": Layout(_compact, "\r\n\t [ ", " \n\t,\r\r\n  ", " \n] \t\r\n"),
    "indented braces": Layout(_indented, "[\n  ", ",\n  ", "\n]"),
    "nothing indented": Layout(_unindented, "[\n", ",\n", "\n]"),
    "closing brace in the line": Layout(_open_pretty_close_compact, "[", "\n,\n"),
    "all in turn": Layout(_in_turn, "[", "\n,\n", "]"),
    "byte order mark": Layout(_pretty, "\ufeff[", ",\r\n", "\n]"),
}


@dataclass
class Outcome:
    objects: Objects = field(default_factory=list)
    error: str | None = None


def _cut(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return (stream[start:end] for start, end in pairwise(borders))


def _pieces(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[start : start + size] for start in range(0, len(stream), size))


def _read(reader: ArrayReader, *pieces: bytes) -> Objects:
    objects = [element for piece in pieces for element in reader.feed(piece)]
    reader.close()
    return objects


def _outcome(reader: ArrayReader, pieces: Iterator[bytes]) -> Outcome:
    outcome = Outcome()
    try:
        for piece in pieces:
            outcome.objects += reader.feed(piece)
        reader.close()
    except UpstreamProtocolError as error:
        outcome.error = str(error)
    return outcome


_tricky_text = st.text(st.sampled_from('"\\{}[],:\n\r\t /u0dé日\u2028\u0085👍'))
_integers = st.integers(-(2**63), 2**64 - 1)  # beyond these orjson gives floats
_json = st.recursive(
    st.none()
    | st.booleans()
    | _integers
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | _tricky_text,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | _tricky_text, inner, max_size=4)
    ),
    max_leaves=8,
)
_objects = st.lists(st.dictionaries(st.text() | _tricky_text, _json, max_size=4), max_size=6)
_cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=20)
_layouts = st.sampled_from(sorted(LAYOUTS))
_examples = partial(settings, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class TestObjects:
    @pytest.mark.parametrize("escaped", [False, True], ids=["raw", "escaped"])
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_no_character_is_damaged_by_a_cut_at_any_byte(
        self, new_reader: NewReader, layout: str, escaped: bool
    ) -> None:
        stream, ends = LAYOUTS[layout].write(GOLDEN, escaped=escaped)

        for cut in range(len(stream) + 1):
            reader = new_reader()
            first = reader.feed(stream[:cut])
            second = reader.feed(stream[cut:])
            reader.close()

            assert first + second == GOLDEN
            assert len(first) == sum(end <= cut for end in ends)

    @pytest.mark.parametrize("escaped", [False, True], ids=["raw", "escaped"])
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_single_bytes_give_each_element_with_its_last_byte(
        self, new_reader: NewReader, layout: str, escaped: bool
    ) -> None:
        stream, ends = LAYOUTS[layout].write(GOLDEN, escaped=escaped)
        reader = new_reader()

        arrivals = [
            (count, element)
            for count, byte in enumerate(stream, 1)
            for element in reader.feed(bytes([byte]))
        ]
        reader.close()

        assert arrivals == list(zip(ends, GOLDEN, strict=True))

    @with_either_decoder
    @_examples(max_examples=60)
    @given(objects=_objects, layout=_layouts, cuts=_cuts, escaped=st.booleans())
    def test_any_objects_in_any_layout_cut_anywhere_arrive_whole_and_at_once(
        self, new_reader: NewReader, objects: Objects, layout: str, cuts: list[int], escaped: bool
    ) -> None:
        stream, ends = LAYOUTS[layout].write(objects, escaped=escaped)
        reader = new_reader()
        read: Objects = []
        fed = 0

        for piece in _cut(stream, cuts):
            read += reader.feed(piece)
            fed += len(piece)
            assert len(read) == sum(end <= fed for end in ends)
        reader.close()

        assert read == objects

    @with_either_decoder
    @_examples(max_examples=40)
    @given(
        objects=_objects,
        layout=_layouts,
        cuts=_cuts,
        place=st.integers(0, 10_000),
        gone=st.integers(0, 3),
        added=st.sampled_from(
            [b"", b"\n}", b"\n},{", b",", b"]", b"[", b"5,", b"{\n}", b'"', b"\xff", b"\n},5,{\n}"]
        ),
    )
    def test_a_damaged_stream_gives_the_same_objects_and_the_same_fault_however_it_is_read(
        self,
        new_reader: NewReader,
        objects: Objects,
        layout: str,
        cuts: list[int],
        place: int,
        gone: int,
        added: bytes,
    ) -> None:
        stream, _ = LAYOUTS[layout].write(objects)
        place %= len(stream) + 1
        damaged = stream[:place] + added + stream[place + gone :]

        outcome = _outcome(new_reader(), _cut(damaged, cuts))

        assert outcome == _outcome(ArrayReader(guess_layout=False), _pieces(damaged, 1))

    @pytest.mark.parametrize("stream", [b"[]", b" [ \r\n ] ", b"\xef\xbb\xbf[\n]"])
    def test_an_empty_array_holds_nothing_and_is_whole(
        self, new_reader: NewReader, stream: bytes
    ) -> None:
        assert _read(new_reader(), *_pieces(stream, 1)) == []

    @pytest.mark.parametrize("layout", ["{}", "\ufeff\n {}\n", "[{}]", "[{}\n]"])
    @pytest.mark.parametrize("indent", [None, 2])
    def test_an_error_is_read_bare_or_as_the_only_element(
        self, new_reader: NewReader, layout: str, indent: int | None
    ) -> None:
        error = {
            "error": {
                "code": 429,
                "message": "Resource has been exhausted",
                "details": [{"reason": "}"}],
            }
        }
        stream = layout.replace("{}", json.dumps(error, indent=indent)).encode()

        assert _read(new_reader(), stream) == [error]
        assert _read(new_reader(), *_pieces(stream, 1)) == [error]

    def test_a_cut_byte_order_mark_delays_nothing(self, new_reader: NewReader) -> None:
        reader = new_reader()

        assert [reader.feed(piece) for piece in (b"\xef\xbb", b"\xbf{}")] == [[], [{}]]

    @with_either_decoder
    def test_an_escaped_pair_of_surrogates_is_one_character(self, new_reader: NewReader) -> None:
        assert _read(new_reader(), rb'[{"a":"\ud83d\ude00 \uD83D\uDE00"}]') == [{"a": "😀 😀"}]

    @with_either_decoder
    @pytest.mark.parametrize(
        ("string", "text"),
        [
            (r"\ud83d", "\ufffd"),
            (r"\uDE00", "\ufffd"),
            (r"\ude00\ud83d", "\ufffd\ufffd"),
            (r"\ud83d\ud83d\ude00", "\ufffd😀"),
            (r"\ud83d\n\ude00", "\ufffd\n\ufffd"),
            (r"\\ud83d\ud83d", "\\ud83d\ufffd"),
            (r"\\\ud83d\"", '\\\ufffd"'),
            (r"\\ud83d", r"\ud83d"),
        ],
    )
    def test_half_a_pair_becomes_the_replacement_character(
        self, new_reader: NewReader, string: str, text: str
    ) -> None:
        stream = f'[{{"{string}":["{string}"]}}]'.encode()

        objects = _read(new_reader(), *_pieces(stream, 1))

        assert objects == [{text: [text]}]
        assert json.dumps(objects, ensure_ascii=False).encode()

    def test_a_stream_is_complete_with_its_closing_bracket(self, new_reader: NewReader) -> None:
        reader = new_reader()

        seen = [
            bool(reader.feed(piece)) or reader.complete
            for piece in (b'[{"a":1', b"}", b"\n", b"]", b"\n")
        ]

        assert seen == [False, True, False, True, True]

    def test_a_bare_object_is_complete_with_its_last_brace(self, new_reader: NewReader) -> None:
        reader = new_reader()

        seen = [(len(reader.feed(piece)), reader.complete) for piece in (b'{"a":{}', b"}")]

        assert seen == [(0, False), (1, True)]


class TestCutOff:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_a_stream_cut_before_its_bracket_is_never_a_short_success(
        self, new_reader: NewReader, layout: str
    ) -> None:
        stream, _ = LAYOUTS[layout].write(GOLDEN)

        for length in range(stream.rindex(b"]")):
            reader = new_reader()
            reader.feed(stream[:length])

            with pytest.raises(UpstreamProtocolError):
                reader.close()

    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_bare_object_cut_before_its_brace_is_never_a_success(
        self, new_reader: NewReader, indent: int | None
    ) -> None:
        stream = json.dumps(GOLDEN[4], indent=indent).encode()

        for length in range(len(stream)):
            reader = new_reader()
            assert reader.feed(stream[:length]) == []

            with pytest.raises(UpstreamProtocolError):
                reader.close()

    @pytest.mark.parametrize(
        "pieces", [(), (b"",), (b" ", b"\r\n\t"), (b"\xef\xbb\xbf",), (b"\xef\xbb\xbf", b"\n")]
    )
    def test_nothing_but_white_space_is_an_empty_answer(
        self, new_reader: NewReader, pieces: tuple[bytes, ...]
    ) -> None:
        with pytest.raises(UpstreamProtocolError, match="the upstream's answer was empty"):
            _read(new_reader(), *pieces)

    @pytest.mark.parametrize(
        ("stream", "missing"),
        [
            (b"[", "an object or the closing bracket"),
            (b'[{"a":1', "the rest of an element"),
            (b'[{"a":1}', "a comma or the closing bracket"),
            (b'[{"a":1},', "an object"),
            (b'{"a":1', "the rest of the object"),
        ],
    )
    def test_the_error_says_what_was_missing(
        self, new_reader: NewReader, stream: bytes, missing: str
    ) -> None:
        reader = new_reader()
        reader.feed(stream)

        with pytest.raises(
            UpstreamProtocolError, match=f"^the upstream's answer ended before {missing}$"
        ):
            reader.close()


@with_either_decoder
class TestGarbage:
    @pytest.mark.parametrize(
        ("whole", "stream", "message"),
        [
            (b"", b"<!DOCTYPE html>", "markup where an array or an object"),
            (b"", b"Service unavailable", "text where an array or an object"),
            (b"", b"\xff\xfe[", "text where an array or an object"),
            (b"", b'"secret"', "a string where an array or an object"),
            (b"", b"]", "a closing bracket where an array or an object"),
            (b"", b"[1,2]", "a number where an object or the closing bracket"),
            (b"", b"[null]", "text where an object or the closing bracket"),
            (b"", b"[[{}]]", "an array where an object or the closing bracket"),
            (b"", b"[,{}]", "a comma where an object or the closing bracket"),
            (b'[{"a":1}', b' {"a":2}]', "an object where a comma or the closing bracket"),
            (b'[{"a":1}', b"}", "text where a comma or the closing bracket"),
            (b'[{"a":1}', b",]", "a closing bracket where an object"),
            (b'[{"a":1}', b",,", "a comma where an object"),
            (b'[{"a":1}', b", -7", "a number where an object"),
            (b'[{"a":1}]', b"\n<p>secret", "markup where the end"),
            (b'[{"a":1}]', b"[", "an array where the end"),
            (b'{"a":1}', b',{"a":2}', "a comma where the end"),
            (b'{"a":1}', b"]", "a closing bracket where the end"),
        ],
    )
    def test_is_refused_at_once_by_its_kind(
        self, new_reader: NewReader, whole: bytes, stream: bytes, message: str
    ) -> None:
        reader = new_reader()
        assert reader.feed(whole) == ([{"a": 1}] if whole else [])

        with pytest.raises(
            UpstreamProtocolError, match=f"^the upstream's answer has {message} was expected$"
        ):
            reader.feed(stream)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (b"NaN", "not valid JSON"),
            (b"[-Infinity]", "not valid JSON"),
            (b'{"b":Infinity}', "not valid JSON"),
            (b"1e999", "not valid JSON"),
            (b"9" * 5000, "not valid JSON"),
            (b"secret", "not valid JSON"),
            (b'"secret\n"', "not valid JSON"),
            (b'"\\x"', "not valid JSON"),
            (b'"\\u00"', "not valid JSON"),
            (b"01", "not valid JSON"),
            (b"]", "not valid JSON"),
            (b"[1,]", "not valid JSON"),
            (b"", "not valid JSON"),
            (b'"secret \xff"', "not UTF-8"),
            (b'"\xe6\x97"', "not UTF-8"),
            (b'"\xc0\xaf"', "not UTF-8"),
            (b'"\xed\xa0\xbd"', "not UTF-8"),
            (b"[" * 30_000 + b"]" * 30_000, "nested too deeply"),
            (b'{"a":' * 30_000 + b"1" + b"}" * 30_000, "nested too deeply"),
        ],
    )
    @pytest.mark.parametrize(
        "layout", [b'[{"a":%b}', b'[{\n  "a": %b\n}'], ids=["compact", "pretty"]
    )
    def test_an_element_that_cannot_be_decoded_is_refused(
        self, new_reader: NewReader, layout: bytes, value: bytes, message: str
    ) -> None:
        with pytest.raises(
            UpstreamProtocolError, match=f"^an element of the upstream's answer is {message}$"
        ):
            new_reader().feed(layout % value)

    def test_whole_elements_before_a_fault_in_the_same_piece_are_handed_out_first(
        self, new_reader: NewReader
    ) -> None:
        reader = new_reader()

        assert reader.feed(b'[{"a":1},{"a":2},<p>') == [{"a": 1}, {"a": 2}]
        assert not reader.complete
        with pytest.raises(UpstreamProtocolError, match="markup"):
            reader.feed(b"")
        with pytest.raises(UpstreamProtocolError, match="markup"):
            reader.close()

    def test_a_fault_behind_the_closing_bracket_spoils_the_end(self, new_reader: NewReader) -> None:
        reader = new_reader()

        assert reader.feed(b'[{"a":1}] secret') == [{"a": 1}]
        assert not reader.complete
        with pytest.raises(UpstreamProtocolError, match="text where the end was expected"):
            reader.close()

    @_examples(max_examples=60)
    @given(
        stream=st.binary(max_size=60) | st.text('[]{}",:\\ \n1a<é', max_size=40).map(str.encode),
        cuts=_cuts,
    )
    def test_any_bytes_give_objects_or_a_protocol_error_wherever_they_are_cut(
        self, new_reader: NewReader, stream: bytes, cuts: list[int]
    ) -> None:
        assert _outcome(new_reader(), _cut(stream, cuts)) == _outcome(ArrayReader(), iter([stream]))

    @_examples(max_examples=60)
    @given(
        objects=_objects,
        layout=_layouts,
        place=st.integers(0, 10_000),
        removed=st.integers(0, 3),
        inserted=st.sampled_from(
            [b"", b'"', b"\\", b"{", b"}", b"\n}", b"[", b"]", b",", b"\n", b"0", b"\xff"]
        ),
        cuts=_cuts,
    )
    @example(objects=[{"a": {}}], layout="pretty", place=2, removed=0, inserted=b"\n}", cuts=[])
    def test_a_damaged_stream_is_read_as_json_would_read_the_whole_or_is_refused(
        self,
        new_reader: NewReader,
        objects: Objects,
        layout: str,
        place: int,
        removed: int,
        inserted: bytes,
        cuts: list[int],
    ) -> None:
        stream, _ = LAYOUTS[layout].write(objects)
        place %= len(stream) + 1
        damaged = stream[:place] + inserted + stream[place + removed :]
        assume(not re.search(rb"\\u[dD]", damaged))  # half pairs are read differently, on purpose

        outcome = _outcome(new_reader(), _cut(damaged, cuts))

        assert outcome == _outcome(ArrayReader(), iter([damaged]))
        assert (outcome.objects if outcome.error is None else None) == _whole(damaged)


def _whole(stream: bytes) -> Objects | None:
    """What the json module makes of a finished answer; None for what is none."""
    try:
        value = json.loads(stream.decode("utf-8-sig"), parse_constant=int)
        json.dumps(value, allow_nan=False)  # refuses 1e999
    except ValueError:
        return None
    values = value if isinstance(value, list) else [value]
    return values if all(isinstance(item, dict) for item in values) else None


class TestSize:
    @pytest.mark.parametrize("layout", ["pretty", "compact", "indented braces"])
    def test_an_element_is_refused_as_soon_as_it_passes_the_limit(
        self, new_reader: NewReader, layout: str
    ) -> None:
        stream, ends = LAYOUTS[layout].write([{"a": 1}, {"a": "x" * 1000}])
        start = len(LAYOUTS[layout].write([{"a": 1}])[0].rstrip(b"\n]")) + len(
            LAYOUTS[layout].separator
        )
        limit = ends[1] - start - 100
        reader = new_reader(limit)

        assert reader.feed(stream[: start + limit]) == [{"a": 1}]
        with pytest.raises(
            UpstreamProtocolError,
            match=f"an element of the upstream's answer is over {limit} bytes",
        ):
            reader.feed(stream[start + limit : start + limit + 1])

    @pytest.mark.parametrize("layout", ["pretty", "compact", "indented braces"])
    def test_an_element_over_the_limit_is_refused_also_in_one_piece(
        self, new_reader: NewReader, layout: str
    ) -> None:
        stream, ends = LAYOUTS[layout].write([{"a": "x" * 1000}])
        size = ends[0] - len(LAYOUTS[layout].opening)

        with pytest.raises(UpstreamProtocolError, match="is over"):
            new_reader(size - 1).feed(stream)
        assert _read(new_reader(size), stream) == [{"a": "x" * 1000}]

    def test_a_reader_that_has_failed_holds_no_bytes(self, new_reader: NewReader) -> None:
        reader = new_reader(5_000_000)
        tracemalloc.start()
        reader.feed(b'[{"a":"' + b"x" * 4_000_000)

        with pytest.raises(UpstreamProtocolError, match="is over"):
            reader.feed(b"x" * 1_000_001)

        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 1_000_000

    def test_many_elements_together_may_pass_the_limit(self, new_reader: NewReader) -> None:
        stream, _ = LAYOUTS["pretty"].write([{"a": 1}] * 1000)

        assert _read(new_reader(100), stream) == [{"a": 1}] * 1000

    def test_of_very_many_elements_in_one_piece_some_are_left_for_the_next_calls(
        self, new_reader: NewReader
    ) -> None:
        stream, _ = LAYOUTS["pretty"].write([{"a": 1}] * 5000)
        reader = new_reader()

        counts = [len(reader.feed(stream, 256))]
        while reader.has_more:
            counts.append(len(reader.feed(b"", 256)))
        reader.close()

        assert sum(counts) == 5000
        assert max(counts) <= 1000

    # Linear, each of these takes about a second at most; rescanning or copying again per piece
    # would take minutes.
    @pytest.mark.timeout(30)
    @pytest.mark.parametrize(
        ("layout", "size"),
        [("pretty", 256), ("compact", 256), ("compact", 4096), ("indented braces", 65536)],
    )
    def test_one_huge_string_takes_linear_time(
        self, new_reader: NewReader, layout: str, size: int
    ) -> None:
        huge = [{"data": {"a": 'x}"\\' * 5_000_000 if size > 256 else "x" * 20_000_000}}]
        stream, _ = LAYOUTS[layout].write(huge)

        assert _read(new_reader(), *_pieces(stream, size)) == huge

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("layout", ["pretty", "nothing indented"])
    def test_one_huge_list_takes_linear_time(self, new_reader: NewReader, layout: str) -> None:
        huge = [{"data": [{"a": ["{", {}]}] * 11_000}]
        stream, _ = LAYOUTS[layout].write(huge)

        assert _read(new_reader(), *_pieces(stream, 256)) == huge

    @pytest.mark.timeout(30)
    @pytest.mark.parametrize("layout", ["pretty", "compact"])
    def test_single_bytes_take_linear_time(self, new_reader: NewReader, layout: str) -> None:
        huge = [{"data": 'x}"\\' * 30_000}]
        stream, _ = LAYOUTS[layout].write(huge)

        assert _read(new_reader(), *_pieces(stream, 1)) == huge

    @with_either_decoder
    @pytest.mark.timeout(30)
    def test_very_many_elements_in_one_piece_take_linear_time(self, new_reader: NewReader) -> None:
        small, huge = b'{\n"a":1}', b'{"b":' + b"\n" * 3_000_000 + b"2}"
        stream = b"[" + b",".join([small] * 20_000 + [huge]) + b"]"

        assert _read(new_reader(), stream) == [{"a": 1}] * 20_000 + [{"b": 2}]
