"""Behind a mark: lines -> the blocks of which calls are made.

Chat models vary the form: a fence around mark and call together, none at all, a call on the line of
its mark, a fence that is never closed. A block that holds JSON ends where its fence ends in any of
these; one that holds a long text ends only with a line that is nothing but its fence, so that
whatever the text holds stays its own.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum

from gbproxy.emulation.tool_calls.mark import Mark


@dataclass(frozen=True, slots=True)
class Body:
    """A block that is to hold one call or several."""

    text: str
    is_closed: bool = True
    is_fenced: bool = True


@dataclass(frozen=True, slots=True)
class LongText:
    """A block that stands for `"@1"` in the call before it. `label` is "@1" where it was given."""

    text: str
    label: str | None
    is_closed: bool = True


@dataclass(frozen=True, slots=True)
class Marked:
    """A further mark."""


@dataclass(frozen=True, slots=True)
class Stray:
    """No call followed the mark; `text` did."""

    text: str


@dataclass(frozen=True, slots=True)
class Over:
    """Something else than a call follows the calls."""


Item = Body | LongText | Marked | Stray | Over


class _State(Enum):
    EXPECTED = 0  # behind a mark
    JSON = 1  # in a fence
    TEXT = 2  # in a fence
    BARE = 3  # JSON without a fence
    CODE = 4  # a call as code, without a fence
    BEHIND = 5  # a block


# Whatever the mark's own line may end with.
_MARK_TAIL = re.compile(r"\A(?:[\s\]⟧*:]|\\[\]⟧*]|(?<!`)`{1,2}(?!`))+")
_FENCE = re.compile(
    r"[ \t]{0,3}(?P<run>(?:\\?`){3,}|~{3,})[ \t]*(?P<info>[^\n{\[`]*)(?P<rest>.*)", re.DOTALL
)
# Pieces of a line by which is known what it opens, if anything: each has one character at least.
_MOST_PIECES = 200
_LABEL = re.compile(r'[*"]{0,3}(@\d+)[*"]{0,3}:?[*]{0,2}\s*\Z')
_CODE = re.compile(r"(?:print\()?(?:[A-Za-z_]\w*\.)*[A-Za-z_][\w-]*\(")


class Blocks:
    """Reads what follows a mark. `wanted`: how many long texts the last body still asks for; to be
    set before the next item is asked for.
    """

    def __init__(self, mark: Mark, *, is_fenced: bool) -> None:
        self.wanted = 0
        self._mark = mark
        self._state = _State.EXPECTED
        self._has_outer_fence = is_fenced
        self._line: list[str] = []  # pieces of the one that is not yet whole
        self._content: list[str] = []
        self._run = "```"  # that opened the block
        self._label: str | None = None
        self._json_end = _JsonEnd()

    def feed(self, text: str) -> Iterator[Item]:
        """Raises nothing; `Stray` and `Over` are the last of its items."""
        self._line.append(text)
        if "\n" in text:
            *lines, last = "".join(self._line).split("\n")
            self._line = [last]
            for i, line in enumerate(lines):
                for item in self._read(f"{line}\n"):
                    if isinstance(item, Stray):
                        item = Stray("\n".join((item.text[:-1], *lines[i + 1 :], last)))
                    yield item
        if self._state is _State.BEHIND and self._is_something_else():
            yield Over()

    def finish(self) -> Iterator[Item]:
        """The end of the answer."""
        last, self._line = "".join(self._line), []
        if last:
            yield from self._read(last)
        match self._state:
            case _State.EXPECTED:
                yield Stray("")
            case _State.JSON | _State.BARE | _State.CODE:
                yield self._body(is_closed=False)
            case _State.TEXT:
                yield self._long_text(is_closed=False)
            case _State.BEHIND:
                pass

    def _read(self, line: str) -> Generator[Item]:
        """A line may hold more than one thing: what a step leaves of it is read on."""
        while line:
            match self._state:
                case _State.EXPECTED:
                    line = yield from self._expect(line)
                case _State.JSON:
                    line = yield from self._in_json(line)
                case _State.TEXT:
                    line = yield from self._in_text(line)
                case _State.BARE:
                    line = yield from self._in_bare(line)
                case _State.CODE:
                    line = yield from self._in_code(line)
                case _State.BEHIND:
                    line = yield from self._behind(line)

    def _expect(self, line: str) -> Generator[Item, None, str]:
        tail = _MARK_TAIL.match(line)
        line = line[tail.end() :] if tail else line
        rest = line.lstrip("\\")
        if not rest:
            return ""
        fence = _FENCE.match(line)  # which may be escaped
        if fence is not None:
            if self._has_outer_fence and not fence["info"].strip() and not fence["rest"].strip():
                self._has_outer_fence = False
                return ""
            return self._open(_State.JSON, fence)
        if rest[0] in "{[":
            self._begin(_State.BARE)
            return rest
        if _CODE.match(rest):
            self._begin(_State.CODE)
            return rest
        yield Stray(f" {line}" if tail and " " in tail[0] else line)
        return ""

    def _in_json(self, line: str) -> Generator[Item, None, str]:
        if self._mark.match(line):
            if "".join(self._content).strip():
                yield self._body(is_closed=False)
            else:  # the fence stands around the next mark too
                self._has_outer_fence = True
                self._state = _State.BEHIND
            return line
        fence = _FENCE.match(line)
        if fence is not None and _is_as_long(fence["run"], self._run):
            yield self._body()
            return fence["info"] + fence["rest"]
        inline = line.rstrip()
        if inline.endswith(self._run) and inline.rstrip("`~ \t")[-1:] in ("}", "]"):
            self._content.append(inline.rstrip("`~ \t"))
            yield self._body()
        else:
            self._content.append(line)
        return ""

    def _in_text(self, line: str) -> Generator[Item, None, str]:
        fence = _FENCE.match(line)
        if (
            fence is not None
            and not (fence["info"] + fence["rest"]).strip()
            and _is_as_long(fence["run"], self._run)
        ):
            yield self._long_text()
        else:
            self._content.append(line)
        return ""

    def _in_bare(self, line: str) -> Generator[Item, None, str]:
        if self._content and (self._mark.match(line) or _FENCE.match(line)):
            yield self._body(is_closed=False)
            return line
        end = self._json_end.find(line)
        if end is None:
            self._content.append(line)
            return ""
        self._content.append(line[:end])
        yield self._body()
        return line[end:]

    def _in_code(self, line: str) -> Generator[Item, None, str]:
        if self._content and (self._mark.match(line) or _FENCE.match(line)):
            yield self._body(is_closed=False)
            return line
        self._content.append(line)
        if line.rstrip().endswith(")"):
            yield self._body()
        return ""

    def _behind(self, line: str) -> Generator[Item, None, str]:
        rest = line.lstrip()
        if not rest:
            return ""
        mark = self._mark.match(line)
        if mark is not None:
            yield Marked()
            self._state = _State.EXPECTED
            return line[mark.end() :]
        fence = _FENCE.match(rest)
        if fence is not None:
            is_bare = not (fence["info"] + fence["rest"]).strip()
            if is_bare and self._has_outer_fence:
                self._has_outer_fence = False
                return ""
            return self._open(_State.TEXT if self.wanted else _State.JSON, fence)
        label = _LABEL.match(rest) if self.wanted else None
        if label is not None:
            self._label = label[1]
            return ""
        if rest[0] in "{[" and not self.wanted:
            self._begin(_State.BARE)
            return rest
        yield Over()
        return ""

    def _is_something_else(self) -> bool:
        """The line that has begun behind a block can open nothing more."""
        begun = "".join(self._line[:_MOST_PIECES]).lstrip()
        if not begun or begun[0] in "`~{[\\" or (self.wanted and begun[0] in '"@*'):
            return False
        return self._mark.match(begun) is None and not self._mark.may_be(begun)

    def _open(self, state: _State, fence: re.Match[str]) -> str:
        label = re.search(r"@\d+", fence["info"])
        self._begin(state)
        if label is not None:
            self._label = label[0]
        self._run = fence["run"]
        return fence["rest"] if state is _State.JSON else ""

    def _begin(self, state: _State) -> None:
        self._state = state
        self._content = []
        self._json_end = _JsonEnd()

    def _body(self, *, is_closed: bool = True) -> Body:
        is_fenced = self._state is _State.JSON
        self._state, self._label = _State.BEHIND, None
        return Body("".join(self._content), is_closed, is_fenced)

    def _long_text(self, *, is_closed: bool = True) -> LongText:
        label, self._label = self._label, None
        self._state = _State.BEHIND
        return LongText("".join(self._content).removesuffix("\n"), label, is_closed)


def _is_as_long(run: str, opened: str) -> bool:
    """True if this closes what that opened: the same sign, escaped or not as there."""
    return run.startswith(opened)


class _JsonEnd:
    """Finds where a JSON array or object ends, line by line."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False

    def find(self, line: str) -> int | None:
        for sign in _SIGN.finditer(line):
            match sign[0]:
                case '"':
                    self._in_string = not self._in_string
                case "{" | "[" if not self._in_string:
                    self._depth += 1
                case "}" | "]" if not self._in_string:
                    self._depth -= 1
                    if self._depth == 0:
                        return sign.end()
        return None


_SIGN = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
