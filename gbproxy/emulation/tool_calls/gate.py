"""Text before a call: passed on at once, but for an end that may be the beginning of a call.

A call in a foreign form counts only as the last thing in the answer: what may be one waits until it
is over, or turns out to be none. Whatever is decided depends on the text alone, not on where it was
cut.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from gbproxy.emulation.tool_calls.mark import BEFORE, Mark, any_of, begun_pattern, run_before

MOST_FOREIGN = 32 * 1024  # characters; what is longer is no call

# How foreign calls begin, at the start of a line, and what ends each.
_OPENERS = {
    "<tool_call>": re.compile("</tool_call>"),
    "<function_call>": re.compile("</function_call>"),
    "```tool_call": re.compile(r"\n[ \t]{0,3}```"),
    "```tool_code": re.compile(r"\n[ \t]{0,3}```"),
    "```function_call": re.compile(r"\n[ \t]{0,3}```"),
    "default_api.": re.compile(r"\)[ \t]{0,8}\n"),
    "print(default_api.": re.compile(r"\)[ \t]{0,8}\n"),
}
_LONGEST_OPENER = max(map(len, _OPENERS))
_OPENER = re.compile(rf"(?:\A|(?<=\n))[ \t]{{0,3}}({any_of(_OPENERS)})")
_LAST_LINE = re.compile(r"(?:\A|(?<=\n))[ \t]{0,3}([^\s][^\n]*)?\Z")

# A call without its mark, where it is all of the answer.
_BLANK = ("", " ", "\n", "\n ", "\n  ", "\n    ")
_BARE = (
    ("", "\n"),
    ("", "```json\n", "```\n", "```JSON\n"),
    ("", "[", "[\n", "[\n  ", "[ "),
    ("{",),
    _BLANK,
    ('"name"', '"tool"', '"tool_name"', '"function"', '"tool_calls"'),
    ("", " "),
    (":",),
)
_BARE_BEGINNING = re.compile("".join(any_of(token) for token in _BARE))
_BARE_BEGUN = re.compile(begun_pattern(_BARE))
_NAME = re.compile(r'"(?:name|tool|tool_name)"\s*:\s*"(?:[a-z_]+\.)?([^"]*)"')

_FENCE_LINE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})([^\n]*)", re.MULTILINE)

_Verdict = tuple[int, int]  # the length of text that decides it; where the text goes on


@dataclass(frozen=True, slots=True)
class Opening:
    """A mark was found: `is_fenced` when a fence opened before it; `rest` stands behind it."""

    is_fenced: bool
    rest: str


class Gate:
    """Reads the text of one answer up to its first call."""

    def __init__(self, mark: Mark, names: Collection[str]) -> None:
        self._mark = mark
        self._names = names
        self._held = ""
        self._last = ""  # character that was passed on
        self._is_beginning = True
        self._candidate: _Candidate | None = None
        self._fences = _Fences()

    def feed(self, text: str) -> tuple[str, Opening | None]:
        """What is to be shown of the text so far, and the mark that follows it."""
        shown: list[str] = []
        opening = None
        while text and opening is None:
            if self._candidate is not None:
                text = self._go_on(self._candidate, text, shown)
            else:
                text, opening = self._look(self._held + text, shown)
        return "".join(shown), opening

    def finish(self) -> tuple[str, str]:
        """What is left to show, and what stands at the very end and may be a foreign call."""
        held, self._held = self._held, ""
        if self._candidate is not None:
            candidate, self._candidate = self._candidate, None
            return "", candidate.text
        return self._mark.without_beginning(held), ""  # the answer may have been cut in its mark

    def _look(self, text: str, shown: list[str]) -> tuple[str, Opening | None]:
        """Show what is certain to be text. Returns what is to be read on, and the mark found."""
        self._held = ""
        if self._is_beginning:
            bare = _BARE_BEGINNING.match(text)
            if bare is None and _BARE_BEGUN.fullmatch(text):
                self._held = text
                return "", None
            self._is_beginning = False
            if bare is not None:
                self._candidate = _Candidate(self._mark, self._names)
                return text, None
        found = self._mark.find(text)
        foreign = _OPENER.search(self._last + text, len(self._last))
        start = -1
        if foreign is not None:
            start = run_before(text, foreign.start(1) - len(self._last))
        if found is not None and (foreign is None or found.start() <= start):
            return self._open(text, found, shown)
        if foreign is not None:
            self._show(text[:start], shown)
            begun = foreign.end(1) - len(self._last) - start
            self._candidate = _Candidate(self._mark, self._names, _OPENERS[foreign[1]], begun)
            return text[start:], None
        end = min(self._mark.begins_at(text), self._foreign_begins_at(text))
        self._show(text[:end], shown)
        self._held = text[end:]
        return "", None

    def _open(self, text: str, found: re.Match[str], shown: list[str]) -> tuple[str, Opening]:
        self._show(text[: found.start()], shown)
        before = found.group()
        is_fenced = "```" in before or "~~~" in before
        if is_fenced and self._fences.is_open():
            # the end of a code block, not the beginning of one around the call
            self._show(before[: max(map(before.rfind, "`~")) + 1], shown)
            is_fenced = False
        return "", Opening(is_fenced, text[found.end() :])

    def _go_on(self, candidate: _Candidate, text: str, shown: list[str]) -> str:
        end = candidate.add(text)
        if end is None:
            return ""
        self._candidate = None
        self._show(candidate.text[:end], shown)
        return candidate.text[end:]

    def _foreign_begins_at(self, text: str) -> int:
        """Where the last line begins, with what stands before it, if it may open a foreign call."""
        found = _LAST_LINE.search(self._last + text, max(0, len(text) - _LONGEST_OPENER - 4))
        if found is None or found[1] is None:
            return len(text)
        if not any(opener.startswith(found[1]) for opener in _OPENERS):
            return len(text)
        return run_before(text, found.start(1) - len(self._last))

    def _show(self, text: str, shown: list[str]) -> None:
        if text:
            shown.append(text)
            self._last = text[-1]
            self._fences.add(text)


class _Candidate:
    """What may be a foreign call, if nothing follows it. Without `end` it may go on for ever, and
    is none when it names no declared tool.
    """

    def __init__(
        self,
        mark: Mark,
        names: Collection[str],
        end: re.Pattern[str] | None = None,
        searched: int = 0,
    ) -> None:
        self.text = ""
        self._mark = mark
        self._end = end
        self._names = names
        self._searched = searched  # for the end
        self._closed = False
        self._is_declared = False  # the name that it begins with
        self._unmarked = 0  # characters without a mark, nor the beginning of one

    def add(self, text: str) -> int | None:
        """Where what is no call ends; None: it may still be one.

        Of several reasons the one counts that a reader of single characters would meet first.
        """
        self.text += text
        verdicts = [verdict for verdict in self._verdicts() if verdict is not None]
        return min(verdicts)[1] if verdicts else None

    def _verdicts(self) -> tuple[_Verdict | None, ...]:
        found = self._mark.find(self.text, self._unmarked)
        self._unmarked = max(0, len(self.text) - self._mark.most_held)
        marked = (found.end(), found.start()) if found else None
        too_long = (MOST_FOREIGN, MOST_FOREIGN) if len(self.text) > MOST_FOREIGN else None
        return (
            marked,
            too_long,
            self._foreign_name() if self._end is None else self._followed(self._end),
        )

    def _foreign_name(self) -> _Verdict | None:
        found = None if self._is_declared else _NAME.search(self.text)
        if found is None:
            return None
        self._is_declared = found[1] in self._names
        return None if self._is_declared else (found.end(), found.end())

    def _followed(self, end: re.Pattern[str]) -> _Verdict | None:
        """Something that is no further call stands behind the end."""
        while True:
            if not self._closed:
                found = end.search(self.text, self._searched)
                if found is None:
                    self._searched = max(self._searched, len(self.text) - _LONGEST_OPENER)
                    return None
                self._closed, self._searched = True, found.end()
            rest = self.text[self._searched :].lstrip(BEFORE)
            if any(opener.startswith(rest) for opener in _OPENERS):  # also when it is empty
                return None
            further = next((opener for opener in _OPENERS if rest.startswith(opener)), None)
            if further is None:
                return len(self.text) - len(rest) + 1, self._searched
            self._closed = False
            self._end = end = _OPENERS[further]
            self._searched = len(self.text) - len(rest) + len(further)


class _Fences:
    """Follows the code blocks of the text that was shown."""

    def __init__(self) -> None:
        self._pieces: list[str] = []  # since the last whole line that was looked at
        self._opened: str | None = None

    def add(self, text: str) -> None:
        self._pieces.append(text)

    def is_open(self) -> bool:
        """True if the text ends within a code block."""
        lines, newline, last = "".join(self._pieces).rpartition("\n")
        self._pieces = [last]
        self._opened = _opened_after(lines + newline, self._opened)
        return _opened_after(last, self._opened) is not None


def _opened_after(text: str, opened: str | None) -> str | None:
    """The fence that is open at the end of a text."""
    for run, info in _FENCE_LINE.findall(text):
        if opened is None:
            opened = run
        elif run.startswith(opened) and not info.strip():
            opened = None
    return opened
