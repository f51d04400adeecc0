"""What one request needs to have emulated, chosen by what each upstream lacks."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from gbproxy.domain.chat import ChatRequest
from gbproxy.emulation.pipeline import Pipeline, Stage, compose
from gbproxy.emulation.roles import PromptSize
from gbproxy.emulation.structured_output import emulation as structured_output
from gbproxy.emulation.structured_output.emulation import StructuredOutput
from gbproxy.emulation.tool_calls import verdict as tool_verdict
from gbproxy.emulation.tool_calls.emulation import ToolEmulation
from gbproxy.emulation.tool_calls.mark import new_nonce, nonce_of
from gbproxy.upstreams.base import Capabilities

log = logging.getLogger(__name__)


class RequestEmulation:
    """The emulation of one request, over all its attempts; for one thread at a time. A plain chat
    has nothing but its upstream's own stages, which are made once for all.
    """

    __slots__ = ("_chat", "_format", "_nonce", "_tools")

    def __init__(self, chat: ChatRequest) -> None:
        self._chat = chat
        self._nonce = ""  # of sessions that nothing continues
        self._tools: ToolEmulation | None = None
        self._format: StructuredOutput | None = None
        if chat.tools.declared:
            self._nonce = new_nonce()
            self._tools = ToolEmulation(chat.tools, self._nonce, chat.messages, corrects_shown=True)
        if chat.response_format is not None:
            self._format = StructuredOutput(
                chat.response_format,
                is_streamed=chat.is_streamed,
                has_tools=bool(chat.tools.offered),
            )

    def pipeline(self, capabilities: Capabilities) -> Pipeline:
        """The stages that emulate what these capabilities lack of what the request asks for."""
        common = compose(capabilities)
        own: list[Stage] = []
        if self._format is not None and not capabilities.structured_output:
            own.append(self._format.stage())
        if self._tools is not None and not capabilities.tools:
            own.append(self._tools.stage())
        return Pipeline((*own, *common.stages)) if own else common

    def sizes(self, upstreams: Mapping[str, Capabilities]) -> dict[str, PromptSize]:
        """The size of the whole prompt as each upstream would be sent it."""
        return {
            name: self.pipeline(each).measure(self._chat.messages)
            for name, each in upstreams.items()
        }

    def enter(self, conversation: str | None, *, is_told: bool) -> None:
        """The next prompt goes into a session of this conversation; None: nothing continues it.
        `is_told`: if it is resumed, it was told of the request's tools and format.
        """
        if self._tools is not None:
            key_digest = self._chat.key_digest
            nonce = nonce_of(key_digest, conversation) if conversation else self._nonce
            self._tools.enter(nonce, is_told=is_told)
        if self._format is not None:
            self._format.enter(is_told=is_told)

    @property
    def tool_report(self) -> tool_verdict.Report | None:
        """How the calls of the answer came about; None for a request without tools."""
        return self._tools.report if self._tools is not None else None

    @property
    def has_cut(self) -> bool:
        """True if the upstream has said more than the client was shown."""
        return self._tools is not None and self._tools.report.reading.is_cut

    def note_end(self) -> None:
        """Log how the answer came about; nothing of what was said."""
        if self._tools is not None and not self._tools.report.is_plain:
            _log_tools(self._tools.report)
        if self._format is not None and self._format.report.step is not None:
            _log_format(self._format.report, self._format.report.step)


def _log_tools(report: tool_verdict.Report) -> None:
    reading = report.reading
    log.info(
        "tool.emulated",
        extra={
            "form": "+".join(sorted(reading.forms)) or None,
            "repairs": sorted(reading.repairs),
            "faults": [fault.value for fault in report.faults],
            "turns": report.turns,
            "calls": reading.calls,
            "cut": reading.is_cut,
            "outcome": report.step.value,
        },
    )


def _log_format(report: structured_output.Report, step: structured_output.Step) -> None:
    log.info(
        "structured_output.emulated",
        extra={"repairs": sorted(report.repairs), "turns": report.turns, "outcome": step.value},
    )
