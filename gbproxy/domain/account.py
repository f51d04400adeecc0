"""One Gemini Business seat that answers requests."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Account:
    """The values that a signed-in browser shows (docs/upstream.md, credentials).

    `id` and `name` may be logged; the cookies never leave `upstreams/`, and `repr` does not show them.
    """

    id: str
    name: str
    csesidx: str
    config_id: str
    secure_c_ses: str = field(repr=False)
    host_c_oses: str | None = field(default=None, repr=False)
