"""The gateway itself, over the parts of the other packages."""

from __future__ import annotations

from collections.abc import Callable

from gbproxy.bootstrap.accounts import AccountParts
from gbproxy.bootstrap.background import BackgroundParts
from gbproxy.bootstrap.files import FileParts
from gbproxy.bootstrap.foundation import Foundation
from gbproxy.bootstrap.keys import KeyParts
from gbproxy.bootstrap.sessions import SessionParts
from gbproxy.domain.chat import ChatRequest
from gbproxy.emulation.request_emulation import RequestEmulation
from gbproxy.gateway import Gateway
from gbproxy.upstreams.registry import Upstreams


def make_gateway(
    base: Foundation,
    upstreams: Upstreams,
    sessions: SessionParts,
    accounts: AccountParts,
    keys: KeyParts,
    files: FileParts,
    background: BackgroundParts,
    emulation: Callable[[ChatRequest], RequestEmulation],
) -> Gateway:
    settings = base.settings
    return Gateway(
        accounts.models,
        accounts.pool,
        upstreams,
        sessions.conversations,
        sessions.prewarmed,
        keys.limiter,
        files.transfer,
        media=files.media_out,
        show_thoughts=settings.thoughts == "show",
        max_attempts=settings.max_attempts,
        suspect=accounts.probes.request,
        record_activity=background.loop.record_activity,
        note_use=accounts.daily_use.note,
        request_timeout_s=settings.request_timeout_s,
        emulation=emulation,
    )
