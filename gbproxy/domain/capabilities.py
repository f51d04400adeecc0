"""What an account's live configuration says that it has: models and tools. Source:
docs/upstream.md, live configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gbproxy.domain.models import ALL_TOOLS, Tool


@dataclass(frozen=True, slots=True)
class AccountCapabilities:
    """Whatever is empty is not said. `listed`: upstream ids to choose from, in order, without those
    of `automatic`.

    `automatic` are ids that stand for the upstream's own choice.
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
        """Capabilities as a worker, maybe of another version, has written them."""
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
