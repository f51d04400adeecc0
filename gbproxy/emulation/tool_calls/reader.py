"""The text of one answer, piece by piece -> what is content of it, and the calls.

What comes out depends on the text alone, not on where it was cut. Content leaves at once, but for
an end that may be the beginning of a mark; a call leaves when it is complete and checked.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

from gbproxy.emulation.tool_calls.assembly import (
    Fault,
    ReadCall,
    Unreadable,
    Written,
    finished,
    read,
)
from gbproxy.emulation.tool_calls.blocks import Blocks, Body, Item, LongText, Marked, Over, Stray
from gbproxy.emulation.tool_calls.foreign import calls_in
from gbproxy.emulation.tool_calls.gate import Gate, Opening
from gbproxy.emulation.tool_calls.mark import Mark
from gbproxy.emulation.tool_calls.schemas import Checks

Piece = str | ReadCall | Unreadable

NO_BODY = "nothing followed the line of the call"
NOT_WHOLE = "it was not complete"


@dataclass(slots=True)
class Reading:
    """How the calls of an answer were written. `forms`: `mark`, and where it was otherwise `list`,
    `fences`, `unfenced`, `foreign`; `repairs`: what was mended; `is_cut`: something followed that
    was not read.
    """

    calls: int = 0
    forms: set[str] = field(default_factory=set)
    repairs: set[str] = field(default_factory=set)
    is_cut: bool = False


class CallReader:
    """Reads one answer. Once `is_over`, the rest of it is of no use. After an `Unreadable`, which
    only comes where no call came before, it is over too.
    """

    def __init__(self, mark: Mark, checks: Checks, *, is_parallel: bool = True) -> None:
        self.reading = Reading()
        self.is_over = False
        self._mark = mark
        self._checks = checks
        self._is_parallel = is_parallel
        self._gate = Gate(mark, checks.names)
        self._blocks: Blocks | None = None
        self._bodies = 0  # since the last mark
        # A call whose long texts are still to come.
        self._pending: Written | None = None
        self._texts: dict[str, str] = {}
        self._missing: list[str] = []

    def feed(self, text: str) -> Iterator[Piece]:
        while text and not self.is_over:
            if self._blocks is None:
                shown, opening = self._gate.feed(text)
                if shown:
                    yield shown
                text = self._begin(opening)
            else:
                text = yield from self._take(self._blocks.feed(text))

    def finish(self, *, is_whole: bool = True) -> Iterator[Piece]:
        """The end of the answer; `is_whole` False: it was cut short, so that nothing unfinished is
        taken for finished.
        """
        while self._blocks is not None and not self.is_over:
            rest = yield from self._take(self._blocks.finish(), is_whole=is_whole)
            if self._blocks is not None:
                break
            if rest:  # a mark, and no call: it was mentioned
                yield from self.feed(rest)
            else:
                yield from self._reject(NO_BODY, Fault.NO_CALL)
        if self._pending is not None:
            yield from self._miss()
        if self._blocks is None and not self.is_over:
            yield from self._end_of_text(is_whole=is_whole)
        self.is_over = True

    def _begin(self, opening: Opening | None) -> str:
        if opening is None:
            return ""
        self._blocks = Blocks(self._mark, is_fenced=opening.is_fenced)
        self._bodies = 0
        return opening.rest

    def _take(self, items: Iterable[Item], *, is_whole: bool = True) -> Generator[Piece, None, str]:
        """Returns the text that is to be read on."""
        for item in items:
            match item:
                case Body():
                    yield from self._body(item, is_whole=is_whole)
                case LongText():
                    yield from self._long_text(item)
                case Marked():
                    self._bodies = 0
                    if self._pending is not None:
                        yield from self._miss()
                    elif not self._is_parallel:
                        self._cut()
                case Stray(text):
                    self._blocks = None
                    if self.reading.calls:
                        self._cut()
                    return text
                case Over():
                    if self._pending is not None:
                        yield from self._miss()
                    self._cut()
            if self.is_over:
                return ""
        return ""

    def _body(self, body: Body, *, is_whole: bool) -> Iterator[Piece]:
        self._bodies += 1
        if self.reading.calls and not self._is_parallel:
            self._cut()
            return
        if not body.is_closed and not is_whole:
            yield from self._reject(NOT_WHOLE, Fault.CUT)
            return
        written = read(body.text, self._checks)
        if isinstance(written, Unreadable):
            fault = written.fault if body.is_closed else Fault.CUT
            yield from self._reject(written.reason, fault)
            return
        self._note(body, written)
        self._missing = written.labels()
        if self._missing:
            self._pending, self._texts = written, {}
            self._want()
        else:
            yield from self._finished(written)

    def _long_text(self, block: LongText) -> Iterator[Piece]:
        if not block.is_closed:
            # what is written into somebody's file must not be half of it
            yield from self._reject(f"the block of {self._missing[0]} was not closed", Fault.CUT)
            return
        label = block.label or ""
        if label not in self._missing:
            label = self._missing[0]
        self._missing.remove(label)
        self._texts[label] = block.text
        self._want()
        if not self._missing and self._pending is not None:
            written, self._pending = self._pending.completed(self._texts), None
            yield from self._finished(written)

    def _want(self) -> None:
        if self._blocks is not None:
            self._blocks.wanted = len(self._missing)

    def _finished(self, written: Written) -> Iterator[Piece]:
        outcomes = list(finished(written, self._checks))
        if isinstance(outcomes[-1], Unreadable) and not self.reading.calls:
            yield self._fail(outcomes[-1])
            return
        for outcome in outcomes:
            if isinstance(outcome, Unreadable) or (self.reading.calls and not self._is_parallel):
                self._cut()
                return
            self.reading.calls += 1
            yield outcome

    def _miss(self) -> Iterator[Piece]:
        yield from self._reject(f"the block of {self._missing[0]} is missing", Fault.CUT)

    def _reject(self, reason: str, fault: Fault) -> Iterator[Piece]:
        """Behind a good call it is dropped: that one's result may be all that was needed."""
        self._pending = None
        if self.reading.calls:
            self._cut()
        else:
            yield self._fail(Unreadable(reason, fault))

    def _fail(self, problem: Unreadable) -> Unreadable:
        self.is_over = True
        return problem

    def _cut(self) -> None:
        self.is_over = self.reading.is_cut = True

    def _end_of_text(self, *, is_whole: bool) -> Iterator[Piece]:
        shown, candidate = self._gate.finish()
        calls = calls_in(candidate, self._checks) if is_whole else []
        if not self._is_parallel:
            calls = calls[:1]
        if calls:
            self.reading.forms.add("foreign")
            self.reading.calls += len(calls)
            yield from calls
        elif shown or candidate:
            yield shown or candidate

    def _note(self, body: Body, written: Written) -> None:
        forms = self.reading.forms
        forms.add("mark")
        if len(written.calls) > 1:
            forms.add("list")
        if self._bodies > 1:
            forms.add("fences")
        if not body.is_fenced:
            forms.add("unfenced")
        self.reading.repairs.update(written.repairs)
        if not body.is_closed:
            self.reading.repairs.add("unclosed")
