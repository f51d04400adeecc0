"""What an account's live configuration says that it has: models and tools. Source:
docs/upstream.md, live configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.domain.models import Tool


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


NOTHING_SAID = AccountCapabilities()
