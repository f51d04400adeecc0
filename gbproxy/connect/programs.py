"""All programs whose connection is known."""

from __future__ import annotations

import re

from gbproxy.connect.agents import AGENTS
from gbproxy.connect.chats import CHATS
from gbproxy.connect.code import CODE
from gbproxy.connect.program import Program

PROGRAMS: tuple[Program, ...] = (*CHATS, *AGENTS, *CODE)


def find(name: str) -> Program | None:
    """The program of a name or title, however it is spelled: `Open WebUI`, `openwebui`."""
    return next((p for p in PROGRAMS if _plain(name) in (_plain(p.name), _plain(p.title))), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
