"""A model: its names at the upstreams, its tools and quota; and what an account's live
configuration offers of models and tools.

Source: docs/upstream.md, live configuration. The widget takes a `modelId`, or none for its own
choice ("Auto"), and a set of tools.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from gbproxy.domain.account import QuotaClass, QuotaScope

Tool = Literal["webGroundingSpec", "toolRegistry", "imageGenerationSpec", "videoGenerationSpec"]

ALL_TOOLS: tuple[Tool, ...] = (
    "webGroundingSpec",
    "toolRegistry",
    "imageGenerationSpec",
    "videoGenerationSpec",
)

_DRAWS_ON: Mapping[Tool, QuotaClass] = {
    "imageGenerationSpec": "images",
    "videoGenerationSpec": "videos",
}


@dataclass(frozen=True, slots=True)
class Model:
    """`names`: the upstreams that serve it, each with what the model is called there; None is that
    upstream's own choice. `successor`: the name to use when the upstream has retired this one;
    `fallback`: the one that answers when this one's quota is used up on all accounts.
    """

    id: str
    names: Mapping[str, str | None] = field(hash=False)
    tools: tuple[Tool, ...] = ALL_TOOLS
    quota: QuotaClass = "text"
    aliases: tuple[str, ...] = ()
    successor: str | None = None
    fallback: str | None = None

    def is_served_by(self, upstream: str) -> bool:
        return upstream in self.names

    def name_at(self, upstream: str) -> str | None:
        """Its name at an upstream that serves it, or None for the upstream's own choice."""
        return self.names[upstream]

    @property
    def quota_scope(self) -> QuotaScope:
        """What pauses an account when the quota is used up: all models of its kind, or, where
        another model is to answer then, this one alone.
        """
        return f"{self.quota}:{self.id}" if self.fallback else self.quota

    @property
    def essential_tools(self) -> frozenset[Tool]:
        """The tools that the model cannot do without: those of its own quota, or its only one."""
        own = {tool for tool in self.tools if _DRAWS_ON.get(tool) == self.quota}
        return frozenset(own or (self.tools if len(self.tools) == 1 else ()))

    @property
    def makes_media(self) -> bool:
        """True if the model answers with pictures or videos rather than text."""
        return self.quota != "text" or (
            bool(self.tools) and all(tool in _DRAWS_ON for tool in self.tools)
        )

    def without(self, cooling: Collection[QuotaClass]) -> Model:
        """The same model without the tools of these quotas, except those of its own quota."""
        spared = {quota for quota in cooling if quota != self.quota}
        return self.with_tools(tool for tool in self.tools if _DRAWS_ON.get(tool) not in spared)

    def without_tools(self, unwanted: Collection[Tool]) -> Model:
        """The same model without these tools, except its essential ones."""
        return self.with_tools(
            tool for tool in self.tools if tool not in unwanted or tool in self.essential_tools
        )

    def narrowed_to(self, tool: Tool) -> Model:
        """The same model with this tool alone, and on its quota; unchanged if it lacks the tool."""
        if tool not in self.tools:
            return self
        return replace(self, tools=(tool,), quota=_DRAWS_ON.get(tool, "text"))

    def with_tools(self, tools: Iterable[Tool]) -> Model:
        kept = tuple(tools)
        return self if kept == self.tools else replace(self, tools=kept)


@dataclass(frozen=True, slots=True)
class AccountCapabilities:
    """Models and tools that an account's live configuration names; a field that it omits is empty.

    `listed`: upstream ids to choose from, in order, without those of `automatic`, which stand for
    the upstream's own choice.
    """

    listed: tuple[str, ...] = ()
    disabled: frozenset[str] = frozenset()
    automatic: frozenset[str] = frozenset()
    tools_on: frozenset[Tool] = frozenset()
    tools_off: frozenset[Tool] = frozenset()

    def to_json(self) -> dict[str, list[str]]:
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read what `to_json` of any version has written; unknown values are ignored."""
        texts = {
            name: [text for text in each if isinstance(text, str)]
            for name, each in value.items()
            if isinstance(each, list)
        }
        tools = {
            name: frozenset(tool for tool in ALL_TOOLS if tool in texts.get(name, ()))
            for name in ("tools_on", "tools_off")
        }
        return cls(
            tuple(texts.get("listed", ())),
            frozenset(texts.get("disabled", ())),
            frozenset(texts.get("automatic", ())),
            tools["tools_on"],
            tools["tools_off"],
        )


NOTHING_SAID = AccountCapabilities()
