"""The text of one answer, piece by piece -> the JSON in it.

What comes out depends on the text alone, not on where it was cut. JSON leaves as it arrives, from
its first key or item on; an answer in which none was recognised so is looked through once more at
its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gbproxy.domain import jsontext
from gbproxy.emulation.structured_output.checks import FormatChecks
from gbproxy.emulation.structured_output.expectation import Expectation
from gbproxy.emulation.structured_output.scanner import JsonScanner
from gbproxy.emulation.structured_output.start import MOST_BEFORE, OPENING, Start, judge
from gbproxy.emulation.tool_calls.mending import readings

NOTHING_FOUND = "it holds no JSON that could be read"

_MOST_TRIED = 32  # brackets of an answer in which no JSON was recognised
_FENCED = re.compile(r"\s*(`{3,}|~{3,})\w*[ \t]*\n(.*?)\n?[ \t]*\1\s*", re.DOTALL)


class JsonReader:
    """Reads one answer. `problem`: why there is no JSON that could be used, in words for the model;
    None before the end too. `begin`: where in the answer the JSON starts, if it is passed on as it
    stands there, else None.
    """

    def __init__(self, expectation: Expectation, checks: FormatChecks) -> None:
        self.problem: str | None = None
        self.repairs: set[str] = set()
        self._expectation = expectation
        self._checks = checks
        self._scanner: JsonScanner | None = None
        self._answer: list[str] = []  # all of it
        self._passed: list[str] = []  # the JSON
        self._begin = 0
        self._other: JsonScanner | None = None  # an object that is passed over
        # The end of the answer in which the JSON may still begin.
        self._tail = ""
        self._read = 0  # characters of the answer
        self._looked_at = 0  # brackets of the tail before this place were none

    @property
    def begin(self) -> int | None:
        return self._begin if self._scanner is not None and not self.repairs else None

    @property
    def unread(self) -> int:
        """Characters that will be looked at again, when more comes."""
        return sum(len(each.rest) for each in (self._scanner, self._other) if each) + len(
            self._tail
        )

    @property
    def answer(self) -> str:
        return "".join(self._answer)

    def feed(self, text: str) -> str:
        self._answer.append(text)
        if self._scanner is not None:
            return self._passed_on(self._scanner.feed(text))
        self._read += len(text)
        self._tail += text
        return self._look(is_whole=False)

    def finish(self, *, is_whole: bool) -> str:
        """The end of the answer; `is_whole` False: it was cut short, so that its JSON is too."""
        out = self._look(is_whole=True) if self._scanner is None else ""
        if not is_whole:
            return out
        if self._scanner is None:
            return self._last_resort()
        out += self._passed_on(self._scanner.finish())
        self.problem = self._scanner.problem or self._checks.complaint("".join(self._passed))
        return out

    def _look(self, *, is_whole: bool) -> str:
        """Look for the beginning of the JSON in the tail."""
        while self._has_passed_other() and (found := OPENING.search(self._tail, self._looked_at)):
            at = found.start()
            match judge(self._tail, at, self._expectation, is_whole=is_whole):
                case Start.JSON:
                    return self._begin_at(at)
                case Start.OTHER:
                    self._other = JsonScanner()
                    self._tail = self._tail[at:]
                case Start.NONE:
                    self._looked_at = at + 1
                case Start.UNKNOWN:
                    self._keep_from(at)
                    return ""
        self._keep_from(len(self._tail))
        return ""

    def _begin_at(self, at: int) -> str:
        self._begin = self._read - len(self._tail) + at
        self._scanner = JsonScanner()
        self.repairs = self._scanner.repairs
        text, self._tail = self._tail[at:], ""
        return self._passed_on(self._scanner.feed(text))

    def _has_passed_other(self) -> bool:
        """False while an object that is none of ours goes on. Its end, or its first mistake, stands
        as a `}` before what follows.
        """
        if self._other is None:
            return True
        self._other.feed(self._tail)
        self._tail, self._looked_at = "", 0
        if not self._other.has_ended:
            return False
        self._tail, self._other = f"}}{self._other.rest}", None
        return True

    def _keep_from(self, at: int) -> None:
        """Brackets before this place are no beginning."""
        dropped = max(0, at - MOST_BEFORE)
        self._tail = self._tail[dropped:]
        self._looked_at = at - dropped

    def _passed_on(self, text: str) -> str:
        if text:
            self._passed.append(text)
        return text

    def _last_resort(self) -> str:
        """The first JSON that holds to the format, in an answer where none was recognised; "" and
        the problem with the first of all where none does.
        """
        for text, repairs in self._candidates(self.answer):
            complaint = self._checks.complaint(text)
            if complaint is None:
                self.repairs, self.problem = repairs, None
                return text
            self.problem = self.problem or complaint
        self.problem = self.problem or NOTHING_FOUND
        return ""

    def _candidates(self, answer: str) -> Iterator[tuple[str, set[str]]]:
        fenced = _FENCED.fullmatch(answer)
        text = (fenced[2] if fenced else answer).strip()
        if "scalar" in self._expectation.kinds and text[:1] not in ("{", "["):
            yield text, {"fence"} if fenced else set()
        yield from _in_brackets(answer)
        first, last = text.find("{"), text.rfind("}")
        if 0 <= first < last:
            for value, mended in readings(text[first : last + 1]):
                if mended and "python" not in mended:  # a call is no JSON
                    yield jsontext.encode(value), set(mended)


def _in_brackets(answer: str) -> Iterator[tuple[str, set[str]]]:
    """What is a whole object, or an array at the very end: `[1]` in a text is a footnote."""
    at = 0
    for _ in range(_MOST_TRIED):
        found = OPENING.search(answer, at)
        if found is None:
            return
        scanner = JsonScanner()
        text = scanner.feed(answer[found.start() :])
        text += scanner.finish()
        at = found.start() + 1
        if scanner.is_over:
            end = len(answer) - len(scanner.rest)
            is_last = not scanner.rest.strip("` \t\r\n")
            if is_last or (text[0] == "{" and text.strip("{} \t\r\n")):
                yield text, scanner.repairs | {"place"}
            at = end
