"""event -> event: what an answer must still become before a surface renders it, and what it
weighs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gbproxy.domain import history, usage
from gbproxy.domain.events import ChatEvent, FileOutput, Refusal, TextDelta, ThoughtDelta, Usage

_STEP_CHARS = 32 * 1024
_NOT_DELIVERED = "[The model made a file ({what}), which cannot be passed on yet.]"


@dataclass(slots=True)
class Shaper:
    """Shapes one answer. Counts in quarter tokens (domain/usage.py), and its text in characters."""

    shows_thoughts: bool = True
    characters: int = 0
    thought_weight: int = 0
    _text_weight: int = 0
    # both hold all but the latest texts
    _telling: history.Telling = field(default_factory=history.Telling)
    _texts: list[str] = field(default_factory=list)
    _next_step: int = _STEP_CHARS
    _line_is_open: bool = False

    @property
    def answer(self) -> str | history.LongText:
        """The answer as it was shown, as far as the conversation's history needs to know it."""
        self._settle()
        return self._telling.told()

    def shape(self, event: ChatEvent) -> ChatEvent | None:
        """The event as it is shown, or None when it is not: hidden thoughts.

        A file that cannot be delivered becomes one line of text.
        """
        match event:
            case TextDelta(text) if text:
                self._line_is_open = not text.endswith("\n")
            case Refusal(text):
                pass
            case FileOutput():
                line = _NOT_DELIVERED.format(
                    what=", ".join(filter(None, (event.name, event.mime_type)))
                )
                text = f"\n\n{line}\n" if self._line_is_open else f"{line}\n"
                self._line_is_open = False
                event = TextDelta(text)
            case ThoughtDelta(text):
                self.thought_weight += usage.weight(text)
                return event if self.shows_thoughts else None
            case _:
                return event
        self.characters += len(text)
        self._texts.append(text)
        if self.characters > self._next_step:
            self._next_step = self.characters + _STEP_CHARS
            self._settle()
        return event

    def usage(self, input_weight: int) -> Usage:
        """The token counts of a prompt of that weight, and of this answer."""
        self._settle()
        reasoning = usage.tokens(self.thought_weight)
        return Usage(
            usage.tokens(input_weight), usage.tokens(self._text_weight) + reasoning, reasoning
        )

    def _settle(self) -> None:
        """Weigh and remember the latest texts: not each by itself, which would take longer."""
        text = "".join(self._texts)
        self._texts.clear()
        self._text_weight += usage.weight(text)
        self._telling.add(text)
